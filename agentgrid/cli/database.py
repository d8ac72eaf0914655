"""`agentgrid db upgrade` and `agentgrid rebuild`: maintain the control-plane database."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import typer

from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.groups import make_group
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.session import OutputOption, reporting

Result = TypeVar("Result")

PROGRESS_EVERY = 100

app = make_group()


@app.command()
def upgrade() -> None:
    """Upgrade the database to this version's schema. Safe to repeat, and to run concurrently."""
    from agentgrid.settings import Settings

    dsn = Settings.load().require_database()
    from agentgrid.db import migrate

    before, after = reach_database(migrate.upgrade(dsn))
    typer.echo(
        f"the schema is at {after}" if before == after else f"upgraded the schema from {before or 'nothing'} to {after}"
    )


def rebuild(
    runs: Annotated[list[str] | None, typer.Argument(metavar="RUN", help="Only these runs (full ids).")] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Rebuild the projection from Temporal and the archive. Readers see the old rows until the new ones are ready."""
    with reporting(output):
        from agentgrid import logging
        from agentgrid.settings import Settings

        settings = Settings.load()
        settings.require_database()
        logging.configure(settings)
        from agentgrid.projector.rebuild import rebuild_projection

        done = reach_database(rebuild_projection(settings, run_ids=runs, progress=_progress()))
        if output is OutputFormat.JSON:
            typer.echo(json.dumps({"executions": done.executions, "unknown": done.unknown}))
            return
        left = f"; {done.unknown} without a readable history were left unchanged" if done.unknown else ""
        typer.echo(f"{done.executions} executions rebuilt{left}")


def _progress() -> Callable[[int], None] | None:
    """A callback that shows progress, if standard error is a terminal."""
    if not sys.stderr.isatty():
        return None

    def show(count: int) -> None:
        if count % PROGRESS_EVERY == 0:
            typer.echo(f"{count} executions", err=True)

    return show


def reach_database(work: Coroutine[Any, Any, Result]) -> Result:
    """Run the work; if the database or Temporal is unreachable or refuses access, end the command with one message."""
    from temporalio.service import RPCError

    from agentgrid.db.session import SESSION_FAULTS

    try:
        return asyncio.run(work)
    except (*SESSION_FAULTS, RPCError) as error:
        raise _unavailable(error) from None
    except BaseExceptionGroup as group:
        # Concurrent tasks may fail for the same reason: report the first.
        raise _unavailable(_first(group)) from group


def _unavailable(error: BaseException) -> CommandFailed:
    reason = next(iter(str(getattr(error, "orig", None) or error).splitlines()), type(error).__name__)
    if type(error).__name__ == "RPCError":
        return CommandFailed(f"Temporal: {reason}; check AGENTGRID_TEMPORAL_ADDRESS", ExitCode.UNAVAILABLE)
    return CommandFailed(f"the database: {reason}; check AGENTGRID_DATABASE_URL", ExitCode.UNAVAILABLE)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
