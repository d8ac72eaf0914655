"""Rules as text, their conditions, and testing them on a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from agentgrid.cli import words
from agentgrid.cli.inputs import read_json
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.output import facts, indented
from agentgrid.cli.session import reporting, session
from agentgrid.cli.show import show_answer
from agentgrid.cli.tables import TextTable, fixed, text
from agentgrid.cli.text import safe
from agentgrid.domain.condition_text import parsed, written

if TYPE_CHECKING:
    from rich.console import RenderableType


def effect_text(rule: Mapping[str, Any]) -> Text:
    """The rule's effect, or `withdrawn`."""
    effect = "withdrawn" if rule.get("withdrawn") else rule["effect"]
    return words.styled(effect, words.EFFECT_STYLES | {"withdrawn": "dim"})


def about(rule: Mapping[str, Any]) -> str:
    """The calls that a rule covers: their kind, if it names one, the name or glob, the agent and the conditions."""
    named = f"{rule['kind']} {rule['tool']}" if rule.get("kind") else str(rule["tool"])
    agent = f" by the agent {rule['agent']}" if rule.get("agent") else ""
    when = " and ".join(written(condition) for condition in rule.get("when") or ())
    return f"{named}{agent}{f' when {when}' if when else ''}"


def narrowing(kind: str | None, agent: str | None, when: Sequence[str] | None) -> dict[str, Any]:
    """The fields of a request that narrow a rule to a kind, an agent and conditions. Raises InvalidInput."""
    fields = {"kind": kind, "agent": agent, "when": [parsed(condition) for condition in when or ()] or None}
    return {name: value for name, value in fields.items() if value is not None}


def print_applicable_rule(
    tool: str, agent: str | None, arguments: str | None, kind: str | None, profile: str | None, output: OutputFormat
) -> None:
    """Ask the API which rule would apply, and print it."""
    body = {"tool": tool} | narrowing(kind, agent, None)
    with reporting(output):
        if arguments is not None:
            body["arguments"] = read_json(arguments, option="--arguments")
    with session(profile, output) as client:
        answer = client.ask("/policies/test", body)
        show_answer(answer, output, _test_result)


def _test_result(result: Mapping[str, Any]) -> RenderableType:
    heading = Text.assemble(effect_text(result), f"  by {safe(result['rule'])}")
    shown = {
        "kill switch": Text(safe(result["disabled"]), style="red") if result["disabled"] else None,
        "approvers": result["approvers"] or None,
        "reason": result["reason"] or None,
        "kind": f"{result['kind']}, {result['risk']}",
    }
    parts: list[RenderableType] = [heading, indented(facts(shown))]
    if result["considered"]:
        rules = TextTable(
            (text("RULE", least=20), text("ABOUT", 2, least=16), fixed("POLICY", 1)),
            (
                (
                    Text(safe(rule["rule"]), style="bold" if rule["applies"] else ""),
                    about(rule),
                    words.styled(rule["effect"], words.EFFECT_STYLES),
                )
                for rule in result["considered"]
            ),
            below=[Text(safe(rule["because"]), style="dim") for rule in result["considered"]],
        )
        parts += [Text("\nRules that cover this call", style="bold"), indented(rules)]
    return Group(*parts)
