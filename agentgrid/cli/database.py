"""`agentgrid db upgrade` and `agentgrid rebuild`: look after the control-plane database."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import typer

from agentgrid.cli.exits import CommandFailed, ExitCode

Result = TypeVar("Result")

app = typer.Typer(no_args_is_help=True, help="Look after the control-plane database.")


@app.command()
def upgrade() -> None:
    """Bring the database to the schema of this version. Safe to run again, and by several at once."""
    from agentgrid.settings import Settings

    dsn = Settings.load().require_database()
    from agentgrid.db import migrate

    before, after = reach_database(migrate.upgrade(dsn))
    typer.echo(
        f"the schema is at {after}" if before == after else f"the schema went from {before or 'nothing'} to {after}"
    )


def reach_database(work: Coroutine[Any, Any, Result]) -> Result:
    """Run it; a database that can't be reached, or does not let us in, ends the command plainly."""
    import asyncpg
    from sqlalchemy.exc import DBAPIError

    try:
        return asyncio.run(work)
    except (OSError, TimeoutError, asyncpg.PostgresError, DBAPIError) as error:
        reason = next(iter(str(getattr(error, "orig", None) or error).splitlines()), type(error).__name__)
        raise CommandFailed(f"the database: {reason}", ExitCode.UNAVAILABLE) from None
