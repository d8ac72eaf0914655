"""Agents: catalog, versions and usage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from starlette.requests import Request

from agentgrid.api import actions, agent_tools
from agentgrid.api.access import V1
from agentgrid.api.deps import DEFAULT_LIMIT, CurrentCaller, CurrentPrincipal, Cursor, Id, Limit, Plane, Search, Session
from agentgrid.api.paging import cut, decode, encode
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.agents import (
    AgentChanged,
    AgentDetail,
    AgentPut,
    AgentSummary,
    AgentUse,
    AgentVersionOut,
    FieldChange,
    LimitsIn,
    UsageOver,
)
from agentgrid.api.schemas.common import Page, SwitchOut
from agentgrid.api.usage import Span, over
from agentgrid.control import agents as control_agents
from agentgrid.control import workers
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import agent_usage, agents, policies, switches
from agentgrid.db.agent_usage import Stats
from agentgrid.db.session import ReadSession, reading
from agentgrid.db.tables import AgentRow, AgentVersionRow, Command, Switch
from agentgrid.domain.agent_versions import changes, faults
from agentgrid.domain.agents import Limits
from agentgrid.domain.principals import Principal
from agentgrid.domain.switches import SwitchKind
from agentgrid.errors import NotFound

router = make_router(tags=["agents"], prefix=f"{V1}/agents")

MAX_VERSIONS = 50
DAY = timedelta(days=1)


def _values(
    row: AgentRow, active: AgentVersionRow | None, served: bool | None, switch: Switch | None, stats: Stats
) -> dict[str, Any]:
    state = SwitchOut.of(switch)
    return {
        **row.model_dump(),
        "code_version": row.version,
        "version": row.version if active is None else active.version,
        "source": "code" if active is None else active.source,
        "models": [] if active is None else active.models,
        "state": "disabled" if state.disabled else "active",
        "switch": state,
        "served": served,
        "stats": asdict(stats),
    }


async def _served(session: ReadSession, plane: ControlPlane, rows: Sequence[AgentRow]) -> dict[str, bool | None]:
    """Whether the newest code of each agent's queue includes it and a live worker polls that queue."""
    current = await agents.current(session, rows)
    polled = await workers.served(plane, [row.task_queue for row in rows if row.name in current], workers.ACTIVITY)
    return {row.name: polled[row.task_queue] if row.name in current else False for row in rows}


@router.get("", summary="List agents by name")
async def list_agents(
    request: Request,
    session: Session,
    plane: Plane,
    principal: CurrentPrincipal,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    q: Search = None,
) -> Page[AgentSummary]:
    """All registered agents, each with its version in use and figures for the last 24 hours, over the runs that the caller may see."""
    after = decode(request, cursor, str)[0] if cursor else None
    rows = await agents.by_name(session, limit=limit + 1, after=after, q=q)
    page, next_cursor = cut(rows, limit, lambda row: encode(request, row.name))
    return Page[AgentSummary](
        items=[AgentSummary.model_validate(values) for _, _, values in await _read(session, plane, principal, page)],
        next_cursor=next_cursor,
    )


async def _read(
    session: ReadSession, plane: ControlPlane, principal: Principal, rows: Sequence[AgentRow]
) -> list[tuple[AgentRow, AgentVersionRow | None, dict[str, Any]]]:
    names = [row.name for row in rows]
    active = await agents.active(session, rows)
    kill_switches = await switches.newest(session, SwitchKind.AGENT, names)
    stats = await agent_usage.stats(session, names, since=DAY, scope=principal.workflows)
    served = await _served(session, plane, rows)
    return [
        (
            row,
            active.get(row.name),
            _values(row, active.get(row.name), served[row.name], kill_switches.get(row.name), stats[row.name]),
        )
        for row in rows
    ]


async def _detail(session: ReadSession, plane: ControlPlane, principal: Principal, name: str) -> dict[str, Any]:
    row = await agents.get(session, name)
    if row is None:
        raise NotFound("agent", name)
    ((row, active, values),) = await _read(session, plane, principal, [row])
    choice = (await agents.choices(session, [name])).get(name)
    code = await agents.version(session, name, row.version)
    return values | {
        "active": _version(active),
        "chosen_by": None if choice is None else choice.created_by,
        "chosen_at": None if choice is None else choice.created_at,
        "outdated": active is not None and active.made_for != row.version,
        "problems": _problems(plane, code, active),
        "tools": []
        if code is None
        else (await agent_tools.read(session, [(code, active)], await policies.in_force(session)))[name],
        "versions": [
            version
            for row in await agents.versions(session, name, limit=MAX_VERSIONS)
            if (version := _version(row)) is not None
        ],
        "actions": actions.of_agent(principal),
    }


def _version(row: AgentVersionRow | None) -> AgentVersionOut | None:
    """A version, or None if what the worker registered is not a valid version."""
    if row is None:
        return None
    try:
        return AgentVersionOut.model_validate({**row.model_dump(), "limits": asdict(agents.document(row).limits)})
    except ValueError:
        return None


def _problems(plane: ControlPlane, code: AgentVersionRow | None, active: AgentVersionRow | None) -> list[str]:
    if code is None or active is None or active.version == code.version:
        return []
    try:
        problems = faults(agents.document(code), agents.document(active), control_agents.allowed_models(plane.settings))
        return [f"{fault.pointer.lstrip('/')}: {fault.message}" for fault in problems]
    except ValueError:
        return ["what the worker registered is not a valid version of an agent"]


@router.get("/{name}", summary="One agent: versions, tools and what each requires, and figures for the last 24 hours")
async def get_agent(session: Session, plane: Plane, principal: CurrentPrincipal, name: Id) -> AgentDetail:
    """`active` is the version that new calls use. Open calls keep the version they started with."""
    return AgentDetail.model_validate(await _detail(session, plane, principal, name))


@router.get("/{name}/usage", summary="Usage of an agent over a period, by hour or day")
async def get_agent_usage(session: Session, principal: CurrentPrincipal, name: Id, span: Span) -> UsageOver:
    """Covers its own model turns, not those of the agents it calls."""
    if await agents.get(session, name) is None:
        raise NotFound("agent", name)
    buckets = await agent_usage.of_agent(
        session, name, since=span.since, before=span.before, bucket=span.bucket, scope=principal.workflows
    )
    return over(span, buckets)


@router.put("/{name}", summary="Create a version of an agent and use it for new calls")
async def put_agent(plane: Plane, caller: CurrentCaller, name: Id, body: AgentPut) -> AgentChanged:
    """Workers receive it within seconds. Open calls keep their version, even when their run is replayed.

    No field may exceed what the code allows: `tools` must be a subset, `limits` at most the code's, and `output_schema` must accept nothing that the
    code's doesn't; otherwise `422` with the reason. `409` if `expected_version` is no longer in use. If nothing differs, no version is created.
    """
    limits = None if body.limits is None else _limits(body.limits)
    edit = control_agents.Edit(
        models=body.models,
        instructions=body.instructions,
        tools=body.tools,
        output_schema=body.output_schema,
        limits=limits,
    )
    request = control_agents.VersionRequest(note=body.note, expected_version=body.expected_version)
    return await _changed(plane, caller, name, await control_agents.put(plane, caller, name, edit, request))


@router.post("/{name}/use", summary="Use another version of an agent for new calls")
async def use_agent(plane: Plane, caller: CurrentCaller, name: Id, body: AgentUse) -> AgentChanged:
    """Any version that the newest code still allows, or `code` for the version in its code. Otherwise the same as `PUT`."""
    request = control_agents.VersionRequest(note=body.note, expected_version=body.expected_version)
    return await _changed(plane, caller, name, await control_agents.use(plane, caller, name, body.version, request))


def _limits(limits: LimitsIn) -> Limits:
    return Limits(**limits.model_dump())


async def _changed(plane: ControlPlane, caller: Caller, name: str, command: Command) -> AgentChanged:
    outcome = command.outcome or {}
    async with reading(plane.engine) as session:
        values = await _detail(session, plane, caller.principal, name)
        field_changes: dict[str, FieldChange] = {}
        before = await agents.version(session, name, outcome["before"])
        after = await agents.version(session, name, outcome["version"])
        if before is not None and after is not None and outcome["changed"]:
            differs = changes(agents.document(before), agents.document(after))
            field_changes = {field: FieldChange.model_validate(change) for field, change in differs.items()}
    return AgentChanged.model_validate({**values, "changed": outcome["changed"], "changes": field_changes})
