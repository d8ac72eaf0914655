"""`agentgrid worker` runs a worker; `agentgrid worker list` lists all workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgrid.cli import words
from agentgrid.cli.groups import make_group
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.session import OutputOption, ProfileOption, show_list
from agentgrid.cli.tables import TextTable, ago, fixed, text

if TYPE_CHECKING:
    from rich.console import RenderableType

NONE = "no workers; a new worker appears within ten seconds of its start"

app = make_group(bare=True)


@app.callback(invoke_without_command=True)
def worker(
    context: typer.Context,
    task_queue: Annotated[str | None, typer.Option(help="The task queue to poll; default: the grid's name.")] = None,
) -> None:
    """Run a worker for this project, or list all workers."""
    if context.invoked_subcommand is None:
        from agentgrid.cli.processes import worker as run

        run(task_queue)


@app.command("list")
def list_(profile: ProfileOption = None, output: OutputOption = OutputFormat.TABLE) -> None:
    """List workers with a recent heartbeat in Temporal."""
    show_list("/workers", _table, empty=NONE, profile=profile, output=output)


def _table(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    return TextTable(
        (
            text("WORKER", least=24),
            text("QUEUE", 1, least=16),
            fixed("STATUS", 0),
            ago("LAST SEEN", 3),
            ago("UP SINCE", 6),
            fixed("WORKFLOWS", 4),
            fixed("ACTIVITIES", 5),
            text("BUILD", 2, least=12),
            text("DEPLOYMENT", 7, least=8),
        ),
        (
            (
                worker["identity"],
                worker["task_queue"],
                words.status(worker["status"]),
                worker["last_heartbeat_at"],
                worker["started_at"],
                _slots(worker["workflow_slots"]),
                _slots(worker["activity_slots"]),
                *_build(worker["build"]),
            )
            for worker in items
        ),
    )


def _build(build: str | None) -> tuple[str | None, str | None]:
    """The build's id and its deployment, whose name contains no dot."""
    if build is None:
        return None, None
    deployment, _, identifier = build.partition(".")
    return identifier, deployment


def _slots(slots: Mapping[str, int] | None) -> str | None:
    return None if slots is None else f"{slots['used']} of {slots['used'] + slots['available']}"
