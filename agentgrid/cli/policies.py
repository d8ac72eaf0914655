"""`agentgrid policy`: rules for tools and plain activities, by name or glob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.text import Text

from agentgrid.cli import names, words
from agentgrid.cli.groups import make_group
from agentgrid.cli.inputs import part
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.output import facts, indented
from agentgrid.cli.rules import about, effect_text, narrowing, print_applicable_rule
from agentgrid.cli.session import (
    CursorOption,
    LimitOption,
    OutputOption,
    ProfileOption,
    ReasonOption,
    YesOption,
    confirm,
    reporting,
    session,
    show_list,
    show_named,
)
from agentgrid.cli.show import show_answer
from agentgrid.cli.tables import TextTable, ago, fixed, text, time
from agentgrid.cli.text import safe
from agentgrid.domain.effects import Effect

if TYPE_CHECKING:
    from rich.console import RenderableType

app = make_group()

RuleId = Annotated[str, typer.Argument(metavar="RULE", help="The rule's id.", autocompletion=names.rules)]
ApproverOption = Annotated[
    list[str] | None, typer.Option(help="Who may approve: a principal, a group or role:approver; may be repeated.")
]
ExpiresOption = Annotated[float | None, typer.Option(help="Seconds until an approval expires.", min=1)]


ChangesOption = Annotated[
    str | None,
    typer.Option(
        metavar="one_person|second_person",
        help="How many people must approve a tool call with changed arguments; default: one_person.",
    ),
]


TitleOption = Annotated[
    str | None, typer.Option(help="What the rule says, in a few words; shown to approvers together with the reason.")
]


@app.command("list")
def list_(
    tool: Annotated[str | None, typer.Option(help="Only rules that match this tool or activity.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only rules that name this agent, directly or by a glob.")] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List the rules in force."""
    show_list(
        "/policies",
        _table,
        empty="no rules",
        profile=profile,
        output=output,
        tool=tool,
        agent=agent,
        limit=limit,
        cursor=cursor,
    )


@app.command()
def show(rule_id: RuleId, profile: ProfileOption = None, output: OutputOption = OutputFormat.TABLE) -> None:
    """Show a rule, the tools it governs and its versions. Works for withdrawn rules too."""
    show_named("policies", rule_id, _detail, profile=profile, output=output)


@app.command()
def put(
    rule_id: RuleId,
    tool: Annotated[str, typer.Argument(metavar="NAME", help="A tool, an activity type, or a glob such as 'crm_*'.")],
    effect: Annotated[Effect, typer.Argument(help="The effect on matching calls.")],
    approver: ApproverOption = None,
    expires: ExpiresOption = None,
    kind: Annotated[
        str | None, typer.Option(help="Only calls of this kind: tool or activity; default: both.", metavar="KIND")
    ] = None,
    agent: Annotated[
        str | None, typer.Option(help="Only calls by this agent: a name or a glob.", metavar="AGENT")
    ] = None,
    when: Annotated[
        list[str] | None,
        typer.Option(
            help="A condition on the arguments, such as 'amount_cents > 10000' or 'currency in [\"EUR\", \"USD\"]'; may be repeated; all must hold.",
            metavar="CONDITION",
        ),
    ] = None,
    title: TitleOption = None,
    reason: Annotated[str | None, typer.Option(help="The reason; shown to approvers and in denials.")] = None,
    changes: ChangesOption = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Create or replace the rule with this id. Workers receive it within seconds."""
    with reporting(output):
        body = (
            rule_body(effect, approver, expires, reason, changes, title) | {"tool": tool} | narrowing(kind, agent, when)
        )
    with session(profile, output) as client:
        if effect is Effect.ALLOW:
            confirm(f"Allow calls of {about(body)} without approval, even destructive ones?", yes=yes)
        answer = client.write("PUT", f"/policies/{part(rule_id)}", body, doing=f"the rule {rule_id}")
        show_answer(answer, output, _detail)


@app.command()
def withdraw(
    rule_id: RuleId,
    reason: ReasonOption = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Withdraw a rule. The next matching rule then applies, or the built-in one. Its versions are kept."""
    with session(profile, output) as client:
        place = f"/policies/{part(rule_id)}"
        if not yes:
            rule = client.get(place).json()
            confirm(f"{rule_id} sets {rule['effect']} for {about(rule)}. Withdraw it?", yes=yes)
        body = {} if reason is None else {"reason": reason}
        answer = client.write("DELETE", place, body, doing=f"the withdrawal of the rule {rule_id}")
        show_answer(answer, output, _detail)


@app.command("test")
def try_rules(
    tool: Annotated[
        str, typer.Option(help="A tool's name or the type of a plain activity; with --kind model, an agent's name.")
    ],
    agent: Annotated[str | None, typer.Option(help="The agent that makes the call; default: workflow code.")] = None,
    arguments: Annotated[
        str | None,
        typer.Option(
            help="The call's arguments as JSON; without them, conditions can't be judged.", metavar="JSON|@FILE|-"
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="tool, activity or model; default: the kind registered under this name.", metavar="KIND"),
    ] = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Show which rule would apply to a call, and why. Calls nothing."""
    print_applicable_rule(tool, agent, arguments, kind, profile, output)


def rule_body(
    effect: Effect,
    approver: list[str] | None,
    expires: float | None,
    reason: str | None,
    changes: str | None,
    title: str | None,
) -> dict[str, Any]:
    """The request body for a rule. Omitted options use the API's defaults."""
    optional = {
        "approvers": approver or None,
        "expires_seconds": expires,
        "reason": reason,
        "changes": changes,
        "title": title,
    }
    return {"effect": effect.value} | {key: value for key, value in optional.items() if value is not None}


def _requires_approval(rule: Mapping[str, Any]) -> bool:
    return bool(rule["effect"] == Effect.REQUIRE_APPROVAL)


def _table(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    return TextTable(
        (
            text("RULE", least=24),
            text("ABOUT", 2, least=16),
            fixed("POLICY", 1),
            text("APPROVERS", 3, least=12),
            text("REASON", 4, least=12),
            text("SET BY", 6, least=8),
            ago("WHEN", 5),
        ),
        (
            (
                f"{rule['rule_id']}@{rule['version']}",
                about(rule),
                effect_text(rule),
                rule["approvers"] if _requires_approval(rule) else None,
                rule["reason"],
                rule["created_by"],
                rule["created_at"],
            )
            for rule in items
        ),
    )


def _detail(rule: Mapping[str, Any]) -> RenderableType:
    shown = {
        "title": rule["title"] or None,
        "about": about(rule),
        "policy": effect_text(rule),
        "approvers": rule["approvers"] if _requires_approval(rule) else None,
        "expires after": words.duration(rule["expires_seconds"]) if _requires_approval(rule) else None,
        "changes require": "two approvers" if _requires_approval(rule) and rule["changes"] == "second_person" else None,
        "reason": rule["reason"],
        "set by": rule["created_by"],
        "set": words.absolute(rule["created_at"]),
        "applies to": rule["holds_for"],
    }
    parts: list[RenderableType] = [
        Text(f"{safe(rule['rule_id'])}@{safe(rule['version'])}", style="bold"),
        indented(facts(shown)),
    ]
    if rule["note"]:
        parts.append(indented(Text(safe(rule["note"]), style="yellow")))
    versions = TextTable(
        (
            fixed("VERSION"),
            text("ABOUT", 2, least=10),
            fixed("POLICY", 1),
            text("REASON", 4, least=12),
            text("SET BY", 3, least=8),
            time("WHEN", 5),
        ),
        (
            (
                str(version["version"]),
                about(version),
                effect_text(version),
                version["reason"],
                version["created_by"],
                version["created_at"],
            )
            for version in rule["versions"]
        ),
    )
    return Group(*parts, Text("\nVersions", style="bold"), indented(versions))
