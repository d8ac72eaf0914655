"""`agentgrid tool`: registered tools and their policy."""

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
from agentgrid.cli.names import suggesting
from agentgrid.cli.output import facts, indented
from agentgrid.cli.policies import ApproverOption, ChangesOption, ExpiresOption, TitleOption, rule_body
from agentgrid.cli.rules import effect_text
from agentgrid.cli.schemas import description_and_schemas
from agentgrid.cli.session import (
    CursorOption,
    LimitOption,
    OutputOption,
    ProfileOption,
    ReasonOption,
    YesOption,
    confirm,
    session,
    show_list,
    show_named,
)
from agentgrid.cli.show import show_answer
from agentgrid.cli.switches import put_switch, switch_facts, unless_disabled
from agentgrid.cli.tables import TextTable, fixed, text
from agentgrid.cli.text import safe
from agentgrid.domain.effects import Effect

if TYPE_CHECKING:
    from rich.console import RenderableType

app = make_group()

ToolName = Annotated[str, typer.Argument(metavar="TOOL", help="The tool's name.", autocompletion=names.tools)]


@app.command("list")
def list_(
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List the registered tools with their policy."""
    show_list("/tools", _table, empty="no tools", profile=profile, output=output, limit=limit, cursor=cursor)


@app.command()
def show(name: ToolName, profile: ProfileOption = None, output: OutputOption = OutputFormat.TABLE) -> None:
    """Show a tool: its input and output, its risk and the rule that applies to it. -o json prints the full schemas."""
    show_named("tools", name, _detail, profile=profile, output=output)


@app.command()
def policy(
    name: ToolName,
    effect: Annotated[Effect, typer.Argument(help="The effect on the tool's calls.")],
    approver: ApproverOption = None,
    expires: ExpiresOption = None,
    title: TitleOption = None,
    reason: Annotated[str | None, typer.Option(help="The reason; shown to approvers.")] = None,
    changes: ChangesOption = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Create or replace the rule for a tool. Workers receive it within seconds."""
    body = rule_body(effect, approver, expires, reason, changes, title)
    with session(profile, output) as client:
        place = f"/tools/{part(name)}"
        with suggesting(client, "tools", name):
            if effect is Effect.ALLOW and not yes:
                tool = client.get(place).json()
                if tool.get("risk") == "destructive":
                    confirm(f"{name!r} is destructive. Allow it to be called without approval?", yes=yes)
            answer = client.write("PUT", f"{place}/policy", body, doing=f"the policy on {name}")
        show_answer(answer, output, _summary)


@app.command()
def disable(
    name: ToolName,
    reason: ReasonOption = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Turn on a tool's kill switch: every call fails. Its rules are unaffected."""
    with session(profile, output) as client:
        confirm(f"Every call of {name} will fail from now on, without retries. Disable it?", yes=yes)
        put_switch(client, "tool", name, "disable", reason, output, _summary)


@app.command()
def enable(
    name: ToolName,
    reason: ReasonOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Turn off a tool's kill switch: its current rules apply again."""
    with session(profile, output) as client:
        put_switch(client, "tool", name, "enable", reason, output, _summary)


def _table(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    return TextTable(
        (
            text("TOOL", least=24),
            text("TITLE", 4, least=20),
            fixed("RISK", 2),
            fixed("POLICY", 1),
            text("RULE", 5, least=16),
            text("QUEUE", 6, least=16),
            fixed("SERVED", 3),
        ),
        (
            (
                tool["name"],
                tool["title"],
                words.styled(tool["risk"], words.RISK_STYLES),
                unless_disabled(tool["switch"], effect_text(tool["policy"])),
                tool["policy"]["rule"],
                tool["task_queue"],
                words.yes_no(tool["served"]),
            )
            for tool in items
        ),
    )


def _summary(tool: Mapping[str, Any]) -> RenderableType:
    rule = tool["policy"]
    asks = rule["effect"] == Effect.REQUIRE_APPROVAL
    note = [Text(safe(tool["note"]), style="yellow")] if tool.get("note") else []
    return Group(
        Text(safe(tool["title"]), style="bold"),
        indented(
            facts(
                {
                    "tool": tool["name"],
                    "risk": words.styled(tool["risk"], words.RISK_STYLES),
                    **switch_facts(tool["switch"]),
                    "policy": effect_text(rule),
                    "rule": f"{rule['rule']} on {rule['tool']}",
                    "approvers": rule["approvers"] if asks else None,
                    "expires after": words.duration(rule["expires_seconds"]) if asks else None,
                    "changes require": "two approvers" if asks and rule["changes"] == "second_person" else None,
                    "reason": rule["reason"],
                    "set by": rule["created_by"],
                    "timeout": words.duration(tool["timeout_seconds"]),
                    "retries": tool["retries"],
                    "idempotent": words.yes_no(tool["idempotent"], no_style="dim"),
                    "task queue": tool["task_queue"],
                    "served": words.yes_no(tool["served"]),
                    "version": tool["version"],
                    "tags": tool["tags"],
                }
            )
        ),
        *(indented(line) for line in note),
    )


def _detail(tool: Mapping[str, Any]) -> RenderableType:
    return Group(_summary(tool), *description_and_schemas(tool))
