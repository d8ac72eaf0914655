"""Which rule would apply to a call, and why."""

from __future__ import annotations

from agentgrid.api.schemas.policies import ConditionOut, ConsideredOut, PolicyTest, PolicyTested
from agentgrid.control import snapshots
from agentgrid.control.switches import refusal
from agentgrid.db import policies, switches, tools
from agentgrid.db.session import ReadSession
from agentgrid.domain.activities import governed
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Considered, Risk, Rule
from agentgrid.domain.steps import StepKind
from agentgrid.domain.switches import SwitchKind, Thing
from agentgrid.errors import InvalidInput, InvalidPlace

MAX_SHOWN = 200


async def tested(session: ReadSession, call: PolicyTest) -> PolicyTested:
    """The rule that would apply to the call, and the other rules considered. Raises InvalidInput for an impossible call."""
    risks = await tools.risks(session)
    kind = call.kind or (StepKind.TOOL if call.tool in risks else StepKind.ACTIVITY)
    switch = next((noun.switch for noun in governed() if noun.step is kind), None)
    if switch is None:
        kinds = ", ".join(sorted(noun.step for noun in governed()))
        raise InvalidInput("invalid call", [InvalidPlace(pointer="/kind", message=f"must be one of: {kinds}")])
    agent = _caller(kind, call)
    risk = Risk(risks.get(call.tool, Risk.READ)) if kind is StepKind.TOOL else Risk.READ
    weighed = snapshots.of(await policies.in_force(session)).weigh(
        call.tool,
        risk,
        kind,
        agent=agent,
        arguments=None if call.arguments is None else lambda: call.arguments,
    )
    things = [Thing(switch, call.tool)]
    if agent is not None:
        things.append(Thing(SwitchKind.AGENT, agent))
    disabled = next((why for row in await switches.of(session, things) if (why := refusal(row)) is not None), None)
    rule = weighed.rule
    return PolicyTested(
        kind=kind,
        risk=risk,
        rule=rule.reference,
        effect=rule.effect,
        approvers=list(rule.approvers) if rule.effect is Effect.REQUIRE_APPROVAL else [],
        reason=rule.reason,
        disabled=None if disabled is None else disabled.message,
        considered=[_shown(considered, rule) for considered in weighed.considered[:MAX_SHOWN]],
    )


def _caller(kind: StepKind, call: PolicyTest) -> str | None:
    """The agent that makes the call. A model turn always belongs to its own agent."""
    if kind is not StepKind.MODEL:
        return call.agent
    if call.agent not in (None, call.tool):
        message = f"must be omitted: {call.tool} takes its own model turns"
        raise InvalidInput("invalid call", [InvalidPlace(pointer="/agent", message=message)])
    return call.tool


def _shown(considered: Considered, applied: Rule) -> ConsideredOut:
    rule = considered.rule
    return ConsideredOut(
        rule=rule.reference,
        tool=rule.tool,
        agent=rule.agent,
        when=[ConditionOut.model_validate(condition) for condition in rule.when],
        effect=rule.effect,
        holds=considered.holds,
        applies=rule is applied,
        because=_because(considered, applied),
    )


def _because(considered: Considered, applied: Rule) -> str:
    rule = considered.rule
    undecided = considered.holds is None
    if rule is applied:
        return (
            "it applies: its conditions can't be evaluated, and it denies or requires approval"
            if undecided
            else "it applies"
        )
    if considered.holds is False:
        return "a condition doesn't hold"
    if considered.displaced_by is not None:
        return f"{considered.displaced_by.reference} is more specific"
    if undecided and rule.effect is Effect.ALLOW:
        return "its conditions can't be evaluated, and a rule that allows then doesn't apply"
    return f"{applied.reference} is as strict or stricter"
