"""What an agent may do without approval, with approval or never, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from agentgrid.api.schemas.agents import AgentTool
from agentgrid.control import snapshots
from agentgrid.db import agents, switches, tools
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import AgentVersionRow, PolicyRow, Switch, ToolRow
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Risk, Rule, Snapshot
from agentgrid.domain.switches import SwitchKind

Use = Literal["unasked", "asking", "never"]


async def read(
    session: ReadSession,
    versions: Sequence[tuple[AgentVersionRow, AgentVersionRow | None]],
    rules: Sequence[PolicyRow],
) -> dict[str, list[AgentTool]]:
    """Each agent's tools, by agent name.

    versions: pairs of the newest code version and the version in use. rules: the rules in force.
    """
    names = sorted({name for code, _ in versions for name in code.tools})
    registered = {row.name: row for row in await tools.named(session, names)}
    registered_agents = {row.name for row in await agents.named(session, names)}
    kill_switches = await switches.newest(session, SwitchKind.TOOL, names)
    snapshot = snapshots.of(list(rules))
    return {
        code.agent: [
            _of(
                code.agent,
                name,
                registered.get(name),
                is_agent=name in registered_agents,
                allowed=name in (code if active is None else active).tools,
                switch=kill_switches.get(name),
                snapshot=snapshot,
            )
            for name in code.tools
        ]
        for code, active in versions
    }


def _of(
    agent: str,
    name: str,
    row: ToolRow | None,
    *,
    is_agent: bool,
    allowed: bool,
    switch: Switch | None,
    snapshot: Snapshot,
) -> AgentTool:
    """A tool available to the agent in its code. allowed: the version in use includes it."""
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
        return "never", "the version in use doesn't include it"
    if switch is not None and switch.disabled:
        return "never", f"its kill switch is on{': ' + switch.reason if switch.reason else ''}"
    if rule is None:
        return ("unasked", "") if is_agent else ("never", "no worker has registered it")
    why = rule.reason or f"the rule {rule.reference}"
    if rule.effect is Effect.DENY:
        return "never", why
    return ("asking", why) if rule.effect is Effect.REQUIRE_APPROVAL else ("unasked", rule.reason)
