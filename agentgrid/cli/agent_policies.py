"""`agentgrid agent policy`, `disable` and `enable`: what an agent may do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.text import Text

from agentgrid.cli.inputs import part
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.names import AgentName
from agentgrid.cli.output import facts, indented
from agentgrid.cli.policies import ApproverOption, ChangesOption, ExpiresOption, TitleOption, rule_body
from agentgrid.cli.rules import about, effect_text
from agentgrid.cli.session import OutputOption, ProfileOption, ReasonOption, YesOption, confirm, session
from agentgrid.cli.show import show_answer
from agentgrid.cli.switches import put_switch, switch_facts
from agentgrid.cli.tables import TextTable, ago, fixed, ids, text
from agentgrid.cli.text import safe
from agentgrid.domain.effects import Effect

if TYPE_CHECKING:
    from rich.console import RenderableType


def policy(
    name: AgentName,
    effect: Annotated[Effect, typer.Argument(help="The effect on all calls that the agent makes.")],
    approver: ApproverOption = None,
    expires: ExpiresOption = None,
    title: TitleOption = None,
    reason: Annotated[str | None, typer.Option(help="The reason; shown to approvers.")] = None,
    changes: ChangesOption = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Create or replace the rule for all calls of an agent. Workers receive it within seconds."""
    body = rule_body(effect, approver, expires, reason, changes, title)
    with session(profile, output) as client:
        if effect is Effect.ALLOW:
            confirm(f"Allow all calls of {name!r} without approval, unless a rule names the tool?", yes=yes)
        answer = client.write("PUT", f"/agents/{part(name)}/policy", body, doing=f"the policy on {name}")
        show_answer(answer, output, _governance)


def disable(
    name: AgentName,
    reason: ReasonOption = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Turn on an agent's kill switch: its next step fails in every run. Lists its open calls."""
    with session(profile, output) as client:
        confirm(f"Every step of {name} will fail from now on, without retries. Disable it?", yes=yes)
        put_switch(client, "agent", name, "disable", reason, output, _governance)


def enable(
    name: AgentName,
    reason: ReasonOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Turn off an agent's kill switch: the current rules apply again."""
    with session(profile, output) as client:
        put_switch(client, "agent", name, "enable", reason, output, _governance)


def _governance(agent: Mapping[str, Any]) -> RenderableType:
    own = next((rule for rule in agent["rules"] if rule["rule_id"] == f"agent:{agent['name']}"), None)
    named = {
        "policy": effect_text(own) if own else None,
        "approvers": own["approvers"] if own and own["effect"] == Effect.REQUIRE_APPROVAL else None,
        "rules that name it": [f"{rule['rule_id']}@{rule['version']}: {about(rule)}" for rule in agent["rules"]]
        or None,
    }
    parts: list[RenderableType] = [
        Text(safe(agent["name"]), style="bold"),
        indented(facts({**switch_facts(agent["switch"]), **named})),
    ]
    if agent["note"]:
        parts.append(indented(Text(safe(agent["note"]), style="yellow")))
    if agent["in_flight"]:
        calls = TextTable(
            (ids("RUN"), text("WORKFLOW", 2, least=16), fixed("STATUS", 1), fixed("VERSION", 3), ago("SINCE", 4)),
            (
                (call["run_id"], call["workflow"], call["run_status"], call["version"], call["started_at"])
                for call in agent["in_flight"]
            ),
        )
        parts += [Text("\nIn flight", style="bold"), indented(calls)]
    return Group(*parts)
