"""`agentgrid worker` runs a worker; `agentgrid worker list` lists all workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgrid.cli.groups import group
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.session import OutputOption, ProfileOption, session

if TYPE_CHECKING:
    from rich.console import RenderableType

app = group("Run a worker for this project; or `worker list`: list all workers.", bare=True)


@app.callback(invoke_without_command=True)
def worker(
    context: typer.Context,
    task_queue: Annotated[str | None, typer.Option(help="The task queue to poll; default: the grid's name.")] = None,
) -> None:
    """Run a worker for this project; or `worker list`: list all workers."""
    if context.invoked_subcommand is None:
        from agentgrid.cli.processes import worker as run

        run(task_queue)


@app.command("list")
def list_(profile: ProfileOption = None, output: OutputOption = OutputFormat.TABLE) -> None:
    """List workers with a recent heartbeat in Temporal."""
    with session(profile, output) as client:
        answer = client.get("/workers")
        from agentgrid.cli.show import show_page

        show_page(answer, output, _table)


def _table(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    from agentgrid.cli import words
    from agentgrid.cli.output import rows, table

    return rows(
        table("WORKER", "QUEUE", "STATUS", "HEARD", "UP SINCE", "WORKFLOWS", "ACTIVITIES", "BUILD"),
        (
            (
                worker["identity"],
                worker["task_queue"],
                words.status(worker["status"]),
                words.ago(worker["last_heartbeat_at"]),
                words.ago(worker["started_at"]),
                _slots(worker["workflow_slots"]),
                _slots(worker["activity_slots"]),
                (worker["build"] or "")[:12],
            )
            for worker in items
        ),
    )


def _slots(slots: Mapping[str, int] | None) -> str | None:
    return None if slots is None else f"{slots['used']} of {slots['used'] + slots['available']}"
