"""`agentgrid audit`: who asked for what, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgrid.cli.groups import group
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.session import CursorOption, LimitOption, OutputOption, ProfileOption, session

if TYPE_CHECKING:
    from rich.console import RenderableType

app = group("See who asked for what, and what came of it.")


@app.command("list")
def list_(
    run: Annotated[str | None, typer.Option(help="Only about this run.")] = None,
    approval: Annotated[str | None, typer.Option(help="Only about this approval.")] = None,
    principal: Annotated[str | None, typer.Option(help="Only asked by this principal.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind, such as run.start; may be repeated.")] = None,
    status: Annotated[
        list[str] | None, typer.Option(help="Only this status, such as refused; may be repeated.")
    ] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List commands, newest first, refused ones too."""
    with session(profile, output) as client:
        answer = client.get(
            "/commands",
            run=run,
            approval=approval,
            principal=principal,
            kind=kind,
            status=status,
            limit=limit,
            cursor=cursor,
        )
        from agentgrid.cli.show import show_page

        show_page(answer, output, _table)


@app.command()
def unattributed(
    run: Annotated[str | None, typer.Option(help="Only of this run.")] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List what moved a run and is no command: decisions, pauses and resumes that are nobody's act."""
    with session(profile, output) as client:
        answer = client.get("/commands/unattributed", run=run, limit=limit, cursor=cursor)
        from agentgrid.cli.show import show_page

        show_page(answer, output, _acts)


def _acts(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    from agentgrid.cli import words
    from agentgrid.cli.output import rows, table

    return rows(
        table("WHEN", "WHO", "WHAT", "ON", "WHY", "SENDER"),
        (
            (
                words.absolute(act["signalled_at"]),
                words.unattributed(act),
                act["action"],
                act["approval_id"] or act["run_id"],
                act["unattributed_because"],
                act["identity"],
            )
            for act in items
        ),
    )


def _table(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    from agentgrid.cli import words
    from agentgrid.cli.output import rows, table

    return rows(
        table("WHEN", "WHO", "WHAT", "ON", "STATUS", "SAID", "OUTCOME", "COMMAND"),
        (
            (
                words.absolute(command["created_at"]),
                command["principal"],
                command["kind"],
                command["approval_id"] or command["run_id"] or command["target"],
                words.status(command["status"]),
                command["reason"],
                (command["outcome"] or {}).get("message"),
                command["command_id"],
            )
            for command in items
        ),
    )
