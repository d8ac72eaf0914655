"""The first rows of the lists behind the overview's counts, so that a page can fetch them all in one request."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from agentgrid.api import agent_tools, letters, views
from agentgrid.api.schemas.overview import (
    AgentShown,
    AgentsShown,
    Lists,
    ToolShown,
    ToolsShown,
    WorkflowShown,
    WorkflowsShown,
)
from agentgrid.api.schemas.runs import RunRow
from agentgrid.api.schemas.workflows import LastRun
from agentgrid.api.shown import Shown
from agentgrid.api.tool_policies import ToolPolicies
from agentgrid.control import workers
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import (
    agent_usage,
    agents,
    approval_context,
    approval_urgency,
    policies,
    runs,
    switches,
    tools,
    workflows,
)
from agentgrid.db.approvals import ApprovalFilter
from agentgrid.db.run_filter import OPEN_WORDS, RunFilter, Scope
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import PolicyRow, Run, Workflow
from agentgrid.domain.policies import Risk
from agentgrid.domain.principals import Principal
from agentgrid.domain.runs import RunStatus, WaitingOn
from agentgrid.domain.switches import SwitchKind

ROWS = 6
OPEN_ROWS = 12
DAY = timedelta(days=1)
UNSUCCESSFUL = (RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.TERMINATED)
TEMPORAL_SECONDS = 2.0
"""How long the overview waits for Temporal's information about workers."""

_OPEN_ORDER = (
    RunFilter(waiting_on=(WaitingOn.RETRY.value,)),
    RunFilter(status=(RunStatus.RUNNING.value,)),
    RunFilter(status=OPEN_WORDS),
)
"""Open runs in display order. Those that wait for people are in the inbox anyway."""


async def lists_of(
    session: ReadSession, plane: ControlPlane, caller: Caller, shown: Shown, inbox: ApprovalFilter, now: datetime
) -> Lists:
    """The first rows of each list. inbox: the approvals that the caller can decide now."""
    scope = caller.principal.workflows
    opened = await _opened(session, scope)
    failed = await runs.last_ended(session, scope=scope, status=UNSUCCESSFUL, since=DAY, limit=ROWS)
    titles = await approval_context.titles_of(session, Workflow, {run.workflow for run in (*opened, *failed)})

    def row(run: Run) -> RunRow:
        return views.run_row(vars(run), titles.get(run.workflow), shown)

    urgent = await approval_urgency.most_urgent(session, wanted=inbox, scope=scope, now=now, limit=ROWS)
    context = await approval_context.read(session, urgent)
    rules = await policies.in_force(session)
    return Lists(
        started=bool(opened or failed) or await runs.any_seen(session, scope=scope),
        approvals=letters.rows(plane, caller, shown, urgent, context),
        open=[row(run) for run in opened],
        unsuccessful=[row(run) for run in failed],
        workflows=await _workflows(session, plane, caller.principal),
        agents=await _agents(session, scope, rules),
        tools=await _tools(session, ToolPolicies(rules)),
    )


async def _opened(session: ReadSession, scope: Scope) -> list[Run]:
    """Open runs: the newest retrying ones, then the newest running ones, then the newest others."""
    by_id: dict[str, Run] = {}
    for filters in _OPEN_ORDER:
        if len(by_id) < OPEN_ROWS:
            batch = await runs.newest(session, wanted=filters, scope=scope, limit=OPEN_ROWS + len(by_id))
            by_id |= {run.run_id: run for run in batch}
    return list(by_id.values())[:OPEN_ROWS]


async def _workflows(session: ReadSession, plane: ControlPlane, principal: Principal) -> WorkflowsShown:
    rows = await workflows.by_name(session, limit=ROWS)
    names = [row.name for row in rows]
    last = await runs.last_of(session, [name for name in names if principal.sees(name)])
    kill_switches = await switches.newest(session, SwitchKind.WORKFLOW, names)
    current = await workflows.current(session, rows)
    polled = await polled_within(plane, [row.task_queue for row in rows if row.name in current])
    items = [
        WorkflowShown(
            name=row.name,
            title=row.title,
            description=row.description,
            disabled=row.name in kill_switches and kill_switches[row.name].disabled,
            served=polled.get(row.task_queue) if row.name in current else False,
            last_run=None if row.name not in last else LastRun.model_validate(last[row.name]),
        )
        for row in rows
    ]
    return WorkflowsShown(total=await workflows.count(session), items=items)


async def polled_within(plane: ControlPlane, queues: list[str]) -> dict[str, bool | None]:
    """Whether a live worker polls each queue for workflow tasks; empty if Temporal doesn't answer in time."""
    try:
        async with asyncio.timeout(TEMPORAL_SECONDS):
            return await workers.served(plane, queues, workers.WORKFLOW)
    except TimeoutError:
        return {}


async def _agents(session: ReadSession, scope: Scope, rules: Sequence[PolicyRow]) -> AgentsShown:
    rows = await agents.by_name(session, limit=ROWS)
    names = [row.name for row in rows]
    kill_switches = await switches.newest(session, SwitchKind.AGENT, names)
    stats = await agent_usage.stats(session, names, since=DAY, scope=scope)
    code, active = await agents.codes(session, rows), await agents.active(session, rows)
    versions = [(code[name], active.get(name)) for name in names if name in code]
    agent_tools_by_name = await agent_tools.read(session, versions, rules)
    uses = {name: Counter(tool.use for tool in agent_tools_by_name.get(name, ())) for name in names}
    items = [
        AgentShown(
            name=row.name,
            title=row.title,
            disabled=row.name in kill_switches and kill_switches[row.name].disabled,
            unasked=uses[row.name]["unasked"],
            asking=uses[row.name]["asking"],
            open=stats[row.name].open,
            usd=stats[row.name].usage.usd,
        )
        for row in rows
    ]
    return AgentsShown(total=await agents.count(session), items=items)


async def _tools(session: ReadSession, tool_policies: ToolPolicies) -> ToolsShown:
    rows, acting, total = await tools.acting(session, limit=ROWS)
    kill_switches = await switches.newest(session, SwitchKind.TOOL, [row.name for row in rows])
    items = []
    for row in rows:
        policy = tool_policies.of(row)
        items.append(
            ToolShown(
                name=row.name,
                title=row.title,
                risk=Risk(row.risk),
                disabled=row.name in kill_switches and kill_switches[row.name].disabled,
                effect=policy.effect,
                approvers=policy.approvers,
            )
        )
    return ToolsShown(total=total, acting=acting, items=items)
