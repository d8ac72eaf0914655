"""`agentgrid proposal`: commands that a second administrator must confirm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgrid.cli.groups import make_group
from agentgrid.cli.inputs import part
from agentgrid.cli.modes import OutputFormat
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
)
from agentgrid.cli.show import details, proposal, show_answer
from agentgrid.cli.tables import TextTable, fixed, ids, text, time

if TYPE_CHECKING:
    from rich.console import RenderableType

app = make_group()

CommandId = Annotated[str, typer.Argument(metavar="COMMAND", help="The proposed command's id.")]


@app.command("list")
def list_(
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List the proposals waiting for confirmation."""
    show_list(
        "/commands",
        _table,
        empty="no proposals",
        profile=profile,
        output=output,
        status=["proposed"],
        limit=limit,
        cursor=cursor,
    )


@app.command()
def show(command_id: CommandId, profile: ProfileOption = None, output: OutputOption = OutputFormat.TABLE) -> None:
    """Show one proposal: who made it and what it changes."""
    with session(profile, output) as client:
        answer = client.get(f"/commands/{part(command_id)}")
        show_answer(answer, output, proposal)


@app.command("confirm")
def confirm_(
    command_id: CommandId,
    reason: ReasonOption = None,
    file: Annotated[
        Path | None, typer.Option(help="Write the proposed API key to this file (mode 0600) instead of printing it.")
    ] = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Confirm another administrator's proposal. If it creates an API key, the key is shown to you once."""
    with session(profile, output) as client:
        place = f"/commands/{part(command_id)}"
        if not yes:
            proposed = client.get_before(f"the confirmation of {command_id}", place).json()
            what = f"{proposed.get('kind')} {proposed.get('target')}, proposed by {proposed.get('principal')}"
            confirm(f"{what}: {_words((proposed.get('outcome') or {}).get('proposal') or {})}. Confirm it?", yes=yes)
        body = {} if reason is None else {"reason": reason}
        answer = client.write("POST", f"{place}/confirm", body, doing=f"the confirmation of {command_id}")
        key = answer.json().get("key")
        if key is not None and file is not None:
            from agentgrid.control.private import write_private

            write_private(file, key + "\n")
            typer.echo(f"the key was written to {file}", err=True)
            return
        if key is not None and output is OutputFormat.TABLE:
            typer.echo(key)
            return
        show_answer(answer, output, proposal)


@app.command()
def withdraw(
    command_id: CommandId,
    reason: ReasonOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Withdraw a proposal, your own or another administrator's."""
    with session(profile, output) as client:
        body = {} if reason is None else {"reason": reason}
        place = f"/commands/{part(command_id)}/withdraw"
        answer = client.write("POST", place, body, doing=f"the withdrawal of {command_id}")
        show_answer(answer, output, proposal)


def _words(proposed: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {value}" for name, value in details(proposed).items())


def _table(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    return TextTable(
        (
            time("WHEN", 4),
            text("WHO", 3, least=8),
            fixed("WHAT", 1),
            text("ON", 2, least=8),
            text("REASON", 6, least=12),
            text("PROPOSES", 5, least=16),
            ids("COMMAND"),
        ),
        (
            (
                command["created_at"],
                command["principal"],
                command["kind"],
                command["target"],
                command["reason"],
                _words((command["outcome"] or {}).get("proposal") or {}),
                command["command_id"],
            )
            for command in items
        ),
    )
