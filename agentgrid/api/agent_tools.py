"""What an agent may do without approval, with approval, or never, and why."""

from __future__ import annotations

from typing import Any, Literal

from agentgrid.api.schemas.agents import AgentTool
from agentgrid.db.tables import Switch, Tool
from agentgrid.domain.policies import Effect, Risk, Rule, Snapshot

Use = Literal["unasked", "asking", "never"]


def of(
    agent: str,
    name: str,
    row: Tool | None,
    *,
    is_agent: bool,
    allowed: bool,
    switch: Switch | None,
    snapshot: Snapshot,
) -> AgentTool:
    """A tool that the agent's code gives it. allowed: the version in use has it."""
    rule = None if row is None else snapshot.rule_for(name, Risk(row.risk), agent=agent)
    use, reason = _use(rule, is_agent=is_agent, allowed=allowed, switch=switch)
    kind: Any = "agent" if row is None and is_agent else "tool"
    return AgentTool(
        name=name,
        kind=kind,
        title=None if row is None else row.title,
        risk=None if row is None else Risk(row.risk),
        allowed=allowed,
        rule=None if rule is None else rule.reference,
        effect=None if rule is None else rule.effect,
        approvers=[] if rule is None else list(rule.approvers),
        use=use,
        reason=reason,
    )


def _use(rule: Rule | None, *, is_agent: bool, allowed: bool, switch: Switch | None) -> tuple[Use, str]:
    if not allowed:
        return "never", "the version in use doesn't have it"
    if switch is not None and switch.disabled:
        return "never", f"its kill switch is on{': ' + switch.reason if switch.reason else ''}"
    if rule is None:
        return ("unasked", "") if is_agent else ("never", "no worker has registered it")
    why = rule.reason or f"the rule {rule.reference}"
    if rule.effect is Effect.DENY:
        return "never", why
    return ("asking", why) if rule.effect is Effect.REQUIRE_APPROVAL else ("unasked", rule.reason)
