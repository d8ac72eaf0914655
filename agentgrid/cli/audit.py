"""`agentgrid audit`: who requested what, and the outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.text import Text

from agentgrid.cli import words
from agentgrid.cli.groups import make_group
from agentgrid.cli.identifiers import approval_id_of, command_id_of, run_id_of
from agentgrid.cli.inputs import moment_of, part
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.output import facts, indented
from agentgrid.cli.readable import Readable
from agentgrid.cli.session import CursorOption, LimitOption, OutputOption, ProfileOption, session
from agentgrid.cli.show import details, show_answer, show_page
from agentgrid.cli.tables import TextTable, fixed, ids, text, time
from agentgrid.cli.text import safe
from agentgrid.domain.commands import HANDLING, CommandStatus, Target

if TYPE_CHECKING:
    from rich.console import RenderableType

    from agentgrid.cli.client import ApiClient

app = make_group()


@app.command("list")
def list_(
    run: Annotated[str | None, typer.Option(help="Only commands on this run.")] = None,
    approval: Annotated[str | None, typer.Option(help="Only commands on this approval.")] = None,
    principal: Annotated[str | None, typer.Option(help="Only commands of this principal.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind, such as run.start; may be repeated.")] = None,
    status: Annotated[
        list[CommandStatus] | None,
        typer.Option(metavar="STATUS", help="Only this status, such as refused; may be repeated."),
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
            run=run and run_id_of(client, run),
            approval=approval and approval_id_of(client, approval),
            principal=principal,
            kind=kind,
            status=status,
            limit=limit,
            cursor=cursor,
        )
        show_page(answer, output, _table, empty="no commands")


@app.command()
def show(
    command_id: Annotated[
        str,
        typer.Argument(
            metavar="COMMAND", help="The command's id, or a unique beginning or end of it, of at least 4 characters."
        ),
    ],
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Show one command: who requested what, from where, and the outcome."""
    with session(profile, output) as client:
        answer = client.get(f"/commands/{part(command_id_of(client, command_id))}")
        show_answer(answer, output, _detail)


@app.command()
def unattributed(
    run: Annotated[str | None, typer.Option(help="Only actions on this run.")] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List decisions, pauses and resumes that took effect but can't be attributed to anyone."""
    with session(profile, output) as client:
        answer = client.get("/commands/unattributed", run=run and run_id_of(client, run), limit=limit, cursor=cursor)
        show_page(answer, output, _actions, empty="no unattributed actions")


def _actions(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    return TextTable(
        (
            time("WHEN", 2),
            text("WHO", 1, least=16),
            fixed("WHAT"),
            ids("ON", 1),
            text("WHY", 3, least=16),
            text("SENDER", 4, least=12),
        ),
        (
            (
                action["signalled_at"],
                words.unattributed(action),
                action["action"],
                action["approval_id"] or action["run_id"],
                action["unattributed_because"],
                action["identity"],
            )
            for action in items
        ),
    )


@app.command()
def reads(
    principal: Annotated[str | None, typer.Option(help="Only reads by this principal.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only reads of this run, approval or command.")] = None,
    outcome: Annotated[
        list[str] | None, typer.Option(help="Only this outcome: read, refused or unauthenticated. May be repeated.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only since this date or time: 2030-01-31 (UTC), or 2030-01-31T09:00:00Z.")
    ] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List payload reads, refusals and requests without a valid key, newest first."""
    with session(profile, output) as client:
        answer = client.get(
            "/reads",
            principal=principal,
            subject=subject and _subject(client, subject),
            outcome=outcome,
            since=moment_of(since, "--since"),
            limit=limit,
            cursor=cursor,
        )
        show_page(answer, output, _reads, empty="no reads")


def _subject(client: ApiClient, identifier: str) -> str:
    """The full id of a run, an approval or a command."""
    for resolve in (run_id_of, approval_id_of, command_id_of):
        if (resolved := resolve(client, identifier)) != identifier:
            return resolved
    return identifier


def _reads(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    return TextTable(
        (
            time("WHEN", 1),
            text("WHO", 0, least=8),
            text("KEY", 6, least=10),
            text("FROM", 5, least=9),
            fixed("OUTCOME", 1),
            fixed("TIMES", 4),
            text("ROUTE", 3, least=16),
            ids("ON", 2),
        ),
        (
            (
                read["at"],
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
    reason: str | None = outcome.get("message") or outcome.get("code")
    return reason


def _table(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    return TextTable(
        (
            time("WHEN", 1),
            text("WHO", 1, least=8),
            text("WHAT", least=24),
            ids("ON", 4),
            fixed("STATUS", 2),
            text("REASON", 6, least=12),
            text("OUTCOME", 5, least=16),
            ids("COMMAND", 3),
        ),
        (
            (
                command["created_at"],
                command["principal"],
                _what(command),
                command["approval_id"] or command["run_id"] or command["target"],
                words.status(command["status"]),
                command["reason"],
                _outcome(command["outcome"] or {}),
                command["command_id"],
            )
            for command in items
        ),
    )


def _what(command: Mapping[str, Any]) -> str:
    """The kind and its specifics: `approval.decide approved`, `run.signal hold`, `tool.policy deny`, `run.start pay_invoice`."""
    handling = HANDLING.get(command["kind"])
    starts = handling is not None and handling.target is Target.WORKFLOW_START
    about = command.get("what") or (command["target"] if starts else None)
    return f"{command['kind']} {about}" if about else str(command["kind"])


def _detail(command: Mapping[str, Any]) -> RenderableType:
    heading = Text(safe(_what(command)), style="bold")
    heading.append("  ").append_text(words.status(command["status"]))
    outcome = dict(command["outcome"] or {})
    about = {
        "command": command["command_id"],
        "by": command["principal"],
        "key": command["key_id"],
        "from": command["address"],
        "route": command["route"],
        "run": command["run_id"],
        "approval": command["approval_id"],
        "target": command["target"],
        "reason": command["reason"],
        "idempotency key": command["idempotency_key"],
        "requested": words.absolute(command["created_at"]),
        "delivered": words.absolute(command["delivered_at"]) if command["delivered_at"] else None,
        "settled": words.absolute(command["settled_at"]) if command["settled_at"] else None,
    }
    parts: list[RenderableType] = [heading, indented(facts(about))]
    if outcome:
        parts += [Text("\nOutcome", style="bold"), indented(facts(details(outcome)))]
    if command["body"] is not None:
        parts += [Text("\nRequest", style="bold"), indented(Readable(command["body"]))]
    return Group(*parts)
