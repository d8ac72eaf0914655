"""Tools: the catalog, and the rule for each tool."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api import actions, views
from agentgrid.api.access import V1
from agentgrid.api.deps import DEFAULT_LIMIT, CurrentCaller, CurrentPrincipal, Cursor, Id, Limit, Plane, Search, Session
from agentgrid.api.letters import reach
from agentgrid.api.paging import cut, decode, encode
from agentgrid.api.routes.policies import approver_warning, rule_put
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.commands import Proposed
from agentgrid.api.schemas.common import Page, Reason, SwitchOut
from agentgrid.api.schemas.tools import ToolCalls, ToolDetail, ToolPolicyIn, ToolSummary, ToolVersionOut
from agentgrid.api.tool_policies import ToolPolicies
from agentgrid.control import policies, workers
from agentgrid.control import switches as control_switches
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import switches, tool_figures, tools
from agentgrid.db.session import ReadSession, reading
from agentgrid.db.tables import Switch, ToolRow
from agentgrid.domain.asks import MAX_TEMPLATE
from agentgrid.domain.policies import Risk
from agentgrid.domain.principals import Principal
from agentgrid.domain.switches import SwitchKind
from agentgrid.errors import NotFound

router = make_router(tags=["tools"], prefix=f"{V1}/tools")

DAY = timedelta(days=1)
WEEK = timedelta(days=7)


def _values(
    row: ToolRow,
    served: bool | None,
    tool_policies: ToolPolicies,
    switch: Switch | None,
    last_24h: tool_figures.ToolCallFigures,
) -> dict[str, Any]:
    return {
        **vars(row),
        "reach": reach(row.reach),
        "asks": None if row.asks is None else row.asks[:MAX_TEMPLATE],
        "served": served,
        "policy": tool_policies.of(row),
        "switch": SwitchOut.of(switch),
        "last_24h": ToolCalls.model_validate(last_24h),
    }


async def _served(session: ReadSession, plane: ControlPlane, rows: Sequence[ToolRow]) -> dict[str, bool | None]:
    """Whether the newest code of each tool's queue includes it and a live worker polls that queue."""
    current = await tools.current(session, rows)
    polled = await workers.served(plane, [row.task_queue for row in rows if row.name in current], workers.ACTIVITY)
    return {row.name: polled[row.task_queue] if row.name in current else False for row in rows}


@router.get("", summary="List tools by name")
async def list_tools(
    request: Request,
    session: Session,
    plane: Plane,
    principal: CurrentPrincipal,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    tag: Annotated[str | None, Query(min_length=1, max_length=300)] = None,
    risk: Risk | None = None,
    q: Search = None,
) -> Page[ToolSummary]:
    """All registered tools, each with the rule that applies to it."""
    after = decode(request, cursor, str)[0] if cursor else None
    rows = await tools.by_name(session, limit=limit + 1, after=after, tag=tag, risk=risk, q=q)
    page, next_cursor = cut(rows, limit, lambda row: encode(request, row.name))
    tool_policies = await ToolPolicies.read(session)
    kill_switches = await switches.newest(session, SwitchKind.TOOL, [row.name for row in page])
    served = await _served(session, plane, page)
    names = [row.name for row in page]
    last_24h = await tool_figures.calls(session, names, since=DAY, scope=principal.workflows)
    return Page[ToolSummary](
        items=[
            ToolSummary.model_validate(
                _values(row, served[row.name], tool_policies, kill_switches.get(row.name), last_24h[row.name])
            )
            for row in page
        ],
        next_cursor=next_cursor,
    )


async def _detail(session: ReadSession, plane: ControlPlane, principal: Principal, name: str) -> ToolDetail:
    row = await tools.get(session, name)
    if row is None:
        raise NotFound("tool", name)
    served = await _served(session, plane, [row])
    switch = (await switches.newest(session, SwitchKind.TOOL, [name])).get(name)
    scope = principal.workflows
    last_24h = await tool_figures.calls(session, [name], since=DAY, scope=scope)
    week = await tool_figures.calls(session, [name], since=WEEK, scope=scope)
    versions = await tool_figures.versions(session, name, since=WEEK, scope=scope)
    values = _values(row, served[name], await ToolPolicies.read(session), switch, last_24h[name])
    rule = values["policy"]
    note = await approver_warning(session, rule.effect, rule.approvers)
    values |= {
        "input_schema": views.schema(row.input_schema),
        "output_schema": None if row.output_schema is None else views.schema(row.output_schema),
        "last_7d": ToolCalls.model_validate(week[name]),
        "versions": [ToolVersionOut.model_validate(version) for version in versions],
        "note": note,
        "actions": actions.of_tool(principal),
    }
    return ToolDetail.model_validate(values)


@router.get("/{name}", summary="One tool: schemas, limits and the rule in force")
async def get_tool(session: Session, plane: Plane, principal: CurrentPrincipal, name: Id) -> ToolDetail:
    """If no operator's rule matches, `policy` is the built-in rule."""
    return await _detail(session, plane, principal, name)


@router.put(
    "/{name}/policy",
    summary="Create or replace the rule for one tool",
    response_model=ToolDetail,
    responses={202: {"model": Proposed}},
)
async def put_tool_policy(plane: Plane, caller: CurrentCaller, name: Id, body: ToolPolicyIn) -> ToolDetail | Response:
    """Workers receive it within seconds; it applies to the next call, including in running workflows.

    The rule's id is `tool:` followed by the tool's name. It takes precedence over every other rule but does not affect the kill switch.
    To withdraw it: `DELETE /api/v1/policies/tool:...`.

    `202` if the change relaxes the policy and there is a second administrator, who must confirm it.
    """
    command = await policies.put_tool_policy(plane, caller, name, rule_put(body), expected=body.expected_version)
    if views.is_proposed(command):
        return views.proposed(command)
    async with reading(plane.engine) as session:
        return await _detail(session, plane, caller.principal, name)


@router.post("/{name}/disable", summary="Turn on a tool's kill switch: every call is denied")
async def disable_tool(plane: Plane, caller: CurrentCaller, name: Id, body: Reason | None = None) -> ToolDetail:
    """Within seconds every call fails without a retry, including in running workflows. The tool's rules are unaffected."""
    return await _switch(plane, caller, name, True, body)


@router.post("/{name}/enable", summary="Turn off a tool's kill switch")
async def enable_tool(plane: Plane, caller: CurrentCaller, name: Id, body: Reason | None = None) -> ToolDetail:
    """The tool's current rules apply again."""
    return await _switch(plane, caller, name, False, body)


async def _switch(plane: ControlPlane, caller: Caller, name: str, disabled: bool, body: Reason | None) -> ToolDetail:
    reason = (body.reason if body else None) or ""
    await control_switches.put(plane, caller, SwitchKind.TOOL, name, disabled=disabled, reason=reason)
    async with reading(plane.engine) as session:
        return await _detail(session, plane, caller.principal, name)
