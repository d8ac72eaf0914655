"""Agents: their own rules and kill switches."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from agentgrid.api import actions, views
from agentgrid.api.access import V1
from agentgrid.api.deps import CurrentCaller, Id, Plane
from agentgrid.api.routes.policies import approver_warning, rule_put
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.agents import AgentCallOut, AgentGovernance, AgentPolicyIn
from agentgrid.api.schemas.commands import Proposed
from agentgrid.api.schemas.common import Reason, SwitchOut
from agentgrid.api.schemas.policies import PolicySummary
from agentgrid.control import policies as control_policies
from agentgrid.control import snapshots
from agentgrid.control import switches as control_switches
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import agents, policies, switches
from agentgrid.db.session import reading
from agentgrid.db.tables import Run, Step
from agentgrid.domain.policies import AGENT_RULE
from agentgrid.domain.principals import Principal
from agentgrid.domain.switches import SwitchKind

router = make_router(tags=["agents"], prefix=f"{V1}/agents")

MAX_SHOWN = 200


@router.put(
    "/{name}/policy",
    summary="Create or replace the rule for all calls of one agent",
    response_model=AgentGovernance,
    responses={202: {"model": Proposed}},
)
async def put_agent_policy(
    plane: Plane, caller: CurrentCaller, name: Id, body: AgentPolicyIn
) -> AgentGovernance | Response:
    """Workers receive it within seconds; it applies to the agent's next tool call, including in running workflows. It does not cover model turns.

    The rule's id is `agent:` followed by the agent's name. A tool's rule with the same or a stricter effect still applies, and so does a rule that
    names both. To withdraw it: `DELETE /api/v1/policies/agent:...`.

    `202` if the change relaxes the policy and there is a second administrator, who must confirm it.
    """
    command = await control_policies.put_agent_policy(
        plane, caller, name, rule_put(body), expected=body.expected_version
    )
    if views.is_proposed(command):
        return views.proposed(command)
    return await _governance(plane, caller.principal, name)


@router.post("/{name}/disable", summary="Turn on an agent's kill switch: its next step is denied")
async def disable_agent(plane: Plane, caller: CurrentCaller, name: Id, body: Reason | None = None) -> AgentGovernance:
    """Within seconds each of its model turns and tool calls fails without a retry, including in running workflows.

    `in_flight` lists the open calls.
    """
    return await _switch(plane, caller, name, True, body)


@router.post("/{name}/enable", summary="Turn off an agent's kill switch")
async def enable_agent(plane: Plane, caller: CurrentCaller, name: Id, body: Reason | None = None) -> AgentGovernance:
    """The current rules apply again. Calls that were denied stay failed."""
    return await _switch(plane, caller, name, False, body)


async def _switch(
    plane: ControlPlane, caller: Caller, name: str, disabled: bool, body: Reason | None
) -> AgentGovernance:
    reason = (body.reason if body else None) or ""
    await control_switches.put(plane, caller, SwitchKind.AGENT, name, disabled=disabled, reason=reason)
    return await _governance(plane, caller.principal, name)


async def _governance(plane: ControlPlane, principal: Principal, name: str) -> AgentGovernance:
    async with reading(plane.engine) as session:
        switch = (await switches.newest(session, SwitchKind.AGENT, [name])).get(name)
        rows = [
            row
            for row in await policies.in_force(session)
            if row.agent is not None and snapshots.rule_of(row).is_about(name)
        ]
        own = next((row for row in rows if row.rule_id == f"{AGENT_RULE}{name}"), None)
        called = await agents.was_called(session, name)
        note = None if own is None else await approver_warning(session, own.effect, own.approvers)
        in_flight = await agents.open_calls(session, name, scope=principal.workflows, limit=MAX_SHOWN)
    return AgentGovernance(
        name=name,
        called=called,
        switch=SwitchOut.of(switch),
        rules=[PolicySummary.model_validate(row) for row in rows[:MAX_SHOWN]],
        in_flight=[AgentCallOut.model_validate(_call(step, run)) for step, run in in_flight],
        note=note or (None if called else f"no run has called an agent named {name!r} yet"),
        actions=actions.of_agent(principal),
    )


def _call(step: Step, run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "workflow": run.workflow,
        "reference": run.reference,
        "run_status": run.status,
        "execution_id": step.execution_id,
        "event_id": step.event_id,
        "version": step.tool_version,
        "status": step.status,
        "started_at": step.started_at,
    }
