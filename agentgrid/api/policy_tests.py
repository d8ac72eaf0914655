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


async def tested(session: ReadSession, asked: PolicyTest) -> PolicyTested:
    """The rule that would apply to the call, and what became of the others. Raises InvalidInput for a call that there can't be."""
    risks = await tools.risks(session)
    kind = asked.kind or (StepKind.TOOL if asked.tool in risks else StepKind.ACTIVITY)
    switch = next((each.switch for each in governed() if each.step is kind), None)
    if switch is None:
        known = ", ".join(sorted(each.step for each in governed()))
        raise InvalidInput("invalid call", [InvalidPlace(pointer="/kind", message=f"rules can be about: {known}")])
    agent = _caller(kind, asked)
    risk = Risk(risks.get(asked.tool, Risk.READ)) if kind is StepKind.TOOL else Risk.READ
    weighed = snapshots.of(await policies.in_force(session)).weigh(
        asked.tool,
        risk,
        kind,
        agent=agent,
        arguments=None if asked.arguments is None else lambda: asked.arguments,
    )
    things = [Thing(switch, asked.tool)]
    if agent is not None:
        things.append(Thing(SwitchKind.AGENT, agent))
    off = next((why for each in await switches.of(session, things) if (why := refusal(each)) is not None), None)
    rule = weighed.rule
    return PolicyTested(
        kind=kind,
        risk=risk,
        rule=rule.reference,
        effect=rule.effect,
        approvers=list(rule.approvers) if rule.effect is Effect.REQUIRE_APPROVAL else [],
        reason=rule.reason,
        disabled=None if off is None else off.message,
        considered=[_shown(each, rule) for each in weighed.considered[:MAX_SHOWN]],
    )


def _caller(kind: StepKind, asked: PolicyTest) -> str | None:
    """The agent that makes the call. A model turn is always its own agent's."""
    if kind is not StepKind.MODEL:
        return asked.agent
    if asked.agent not in (None, asked.tool):
        message = f"the model turns of {asked.tool} are its own: leave it out"
        raise InvalidInput("invalid call", [InvalidPlace(pointer="/agent", message=message)])
    return asked.tool


def _shown(considered: Considered, applied: Rule) -> ConsideredOut:
    rule = considered.rule
    return ConsideredOut(
        rule=rule.reference,
        tool=rule.tool,
        agent=rule.agent,
        when=[ConditionOut.model_validate(each) for each in rule.when],
        effect=rule.effect,
        holds=considered.holds,
        applies=rule is applied,
        because=_because(considered, applied),
    )


def _because(considered: Considered, applied: Rule) -> str:
    rule = considered.rule
    doubtful = considered.holds is None
    if rule is applied:
        return "its conditions can't be judged, and it doesn't allow" if doubtful else "it applies"
    if considered.holds is False:
        return "a condition doesn't hold"
    if considered.displaced_by is not None:
        return f"{considered.displaced_by.reference} is more exact"
    if doubtful and rule.effect is Effect.ALLOW:
        return "its conditions can't be judged, and it allows"
    return f"{applied.reference} is as strict or stricter"
