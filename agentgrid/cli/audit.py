"""`agentgrid audit`: who requested what, and the outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgrid.cli.groups import group
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.session import CursorOption, LimitOption, OutputOption, ProfileOption, session

if TYPE_CHECKING:
    from rich.console import RenderableType

app = group("See who requested what, and the outcome.")


@app.command("list")
def list_(
    run: Annotated[str | None, typer.Option(help="Only commands on this run.")] = None,
    approval: Annotated[str | None, typer.Option(help="Only commands on this approval.")] = None,
    principal: Annotated[str | None, typer.Option(help="Only commands of this principal.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind, such as run.start; may be repeated.")] = None,
    status: Annotated[
        list[str] | None, typer.Option(help="Only this status, such as refused; may be repeated.")
    ] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List commands, newest first, including refused ones."""
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
    run: Annotated[str | None, typer.Option(help="Only acts on this run.")] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List decisions, pauses and resumes that took effect but can't be attributed to anybody."""
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


@app.command()
def reads(
    principal: Annotated[str | None, typer.Option(help="Only reads by this principal.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only reads of this run, approval or command.")] = None,
    outcome: Annotated[
        list[str] | None, typer.Option(help="Only this outcome: read, refused or unauthenticated. May be repeated.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only since this time, such as 2030-01-31T09:00:00Z.")] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List payload reads, refusals and requests without a valid key, newest first."""
    with session(profile, output) as client:
        answer = client.get(
            "/reads", principal=principal, subject=subject, outcome=outcome, since=since, limit=limit, cursor=cursor
        )
        from agentgrid.cli.show import show_page

        show_page(answer, output, _reads)


def _reads(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    from agentgrid.cli import words
    from agentgrid.cli.output import rows, table

    return rows(
        table("WHEN", "WHO", "KEY", "FROM", "OUTCOME", "TIMES", "ROUTE", "ON"),
        (
            (
                words.absolute(read["at"]),
                read["principal"],
                read["key_id"],
                read["address"],
                words.status(read["outcome"]),
                read["count"],
                read["route"],
                read["subject"],
            )
            for read in items
        ),
    )


def _outcome(outcome: Mapping[str, Any]) -> str | None:
    """The reason for a refusal. Every caller sees at least the code."""
    said: str | None = outcome.get("message") or outcome.get("code")
    return said


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
                _outcome(command["outcome"] or {}),
                command["command_id"],
            )
            for command in items
        ),
    )
