"""The login commands of `agentgrid db`. They connect with the URL of the login that owns the schema."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from agentgrid.cli.database import app, reach_database
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.output import more, put, stdout
from agentgrid.cli.session import OutputOption, YesOption, confirm, reporting
from agentgrid.cli.tables import TextTable, fixed, text, time

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from agentgrid.control.plane import Caller
    from agentgrid.db.logins import WorkerLoginStatus

Result = TypeVar("Result")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The login's name, unique on the PostgreSQL server.")]
FileOption = Annotated[
    Path | None, typer.Option(help="Write the login's URL to this file (mode 0600) instead of printing it.")
]
RotateOption = Annotated[bool, typer.Option("--rotate", help="Set a new password if the login exists.")]


@app.command("worker-login")
def worker_login(
    name: Name,
    grid: Annotated[str, typer.Option(help="The grid whose workflows and tools the worker registers; * for any.")],
    queue: Annotated[list[str], typer.Option(help="A task queue that the worker polls; may be repeated; * for any.")],
    rate: Annotated[float, typer.Option(min=1, help="Maximum reports per second.")] = 2_000,
    connections: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum open connections.")] = 60,
    rotate: RotateOption = False,
    file: FileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Create a database login for workers, or rebind an existing one. A login is bound to a grid and its task queues.

    The login reads the policy and reports on runs of its own queues. It can't read runs, payloads or keys.
    """
    with reporting(output):
        password = secrets.token_urlsafe(32)

        async def put(engine: AsyncEngine, caller: Caller) -> bool:
            from agentgrid.control import logins
            from agentgrid.db.logins import Binding

            binding = Binding(grid=grid, queues=tuple(queue), rate=rate, connections=connections)
            return await logins.put_worker(engine, caller, name, binding, password=password, keep=not rotate)

        password_set = _as_owner(put)
        summary = f"login {name} serves {', '.join(queue)} for the grid {grid}"
        _hand_over(name, password if password_set else None, file, output, summary)


@app.command("worker-logins")
def worker_logins(output: OutputOption = OutputFormat.TABLE) -> None:
    """List the worker logins with their refused reports. These are counted since the database server last crashed."""
    with reporting(output):

        async def read(engine: AsyncEngine, _caller: Caller) -> list[WorkerLoginStatus]:
            from agentgrid.control import logins

            return await logins.worker_logins(engine)

        rows = _as_owner(read)
        if output is OutputFormat.JSON:
            for login in rows:
                typer.echo(json.dumps(asdict(login), default=str))
            return
        if rows:
            columns = (
                text("LOGIN", least=24),
                text("GRID", 1, least=8),
                text("QUEUES", 2, least=12),
                fixed("RATE/S", 7),
                fixed("RATE LIMITED", 4),
                fixed("MALFORMED", 5),
                fixed("WRONG QUEUE", 6),
                time("CLOSED", 3),
            )
            put(stdout(), TextTable(columns, (_row(login) for login in rows)))
        more({}, len(rows), empty="no worker logins")


def _row(login: WorkerLoginStatus) -> tuple[object, ...]:
    closed = login.closed_at.isoformat(timespec="seconds") if login.closed_at else None
    refused = (login.dropped, login.bad, login.unattributed)
    return (login.login, login.grid, login.queues, f"{login.rate:g}", *refused, closed)


@app.command("close-worker-login")
def close_worker_login(name: Name, yes: YesOption = False, output: OutputOption = OutputFormat.TABLE) -> None:
    """Close a worker's login and end its sessions. Its past reports are kept."""
    with reporting(output):
        confirm(f"Close the login {name}? Its workers can then no longer report or receive policy changes.", yes=yes)

        async def close(engine: AsyncEngine, caller: Caller) -> None:
            from agentgrid.control import logins

            await logins.close_worker(engine, caller, name)

        _as_owner(close)
        _print(output, {"login": name, "closed": True}, f"{name} is closed")


@app.command("control-login")
def control_login(
    name: Name,
    rotate: RotateOption = False,
    file: FileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Create a database login for the API and the projector. It reads and writes rows but can't change tables or roles."""
    with reporting(output):
        password = secrets.token_urlsafe(32)

        async def put(engine: AsyncEngine, caller: Caller) -> bool:
            from agentgrid.control import logins

            return await logins.put_control(engine, caller, name, password=password, keep=not rotate)

        password_set = _as_owner(put)
        _hand_over(
            name, password if password_set else None, file, output, f"{name} can be used by the API and the projector"
        )


@app.command("move-grid")
def move_grid(
    before: Annotated[str, typer.Argument(metavar="FROM", help="The grid that registered the names.")],
    after: Annotated[str, typer.Argument(metavar="TO", help="The grid that receives them.")],
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Move the workflows, tools and agents registered by one grid to another. Use it after renaming a grid."""
    with reporting(output):

        async def move(engine: AsyncEngine, caller: Caller) -> int:
            from agentgrid.control import logins

            return await logins.move_grid(engine, caller, before, after)

        moved = _as_owner(move)
        _print(output, {"from": before, "to": after, "names": moved}, f"moved {moved} names from {before} to {after}")


def _as_owner(work: Callable[[AsyncEngine, Caller], Awaitable[Result]]) -> Result:
    """Run the work as `system`, with the database URL. The database server refuses logins that don't own the schema."""
    from agentgrid.cli.operator import database_caller
    from agentgrid.db.session import make_engine
    from agentgrid.settings import Settings

    dsn = Settings.load().require_database()

    async def run() -> Result:
        engine = make_engine(dsn, pool_size=1)
        try:
            return await work(engine, database_caller())
        finally:
            await engine.dispose()

    return reach_database(run())


def _hand_over(name: str, password: str | None, file: Path | None, output: OutputFormat, summary: str) -> None:
    """Print the login's URL or write it to the file. An unchanged password can't be shown."""
    from sqlalchemy.engine import make_url

    from agentgrid.control.private import write_private
    from agentgrid.settings import Settings

    if password is None:
        _print(output, {"login": name, "url": None}, f"{summary}; its password is unchanged")
        return
    url = make_url(Settings.load().require_database()).set(username=name, password=password)
    text = url.render_as_string(hide_password=False)
    if file is not None:
        write_private(file, text + "\n")
        _print(output, {"login": name, "file": str(file)}, f"{summary}; its URL is in {file}")
        return
    _print(
        output,
        {"login": name, "url": text},
        f"{summary}. Its AGENTGRID_DATABASE_URL, which is not shown again:\n{text}",
    )


def _print(output: OutputFormat, values: dict[str, object], message: str) -> None:
    typer.echo(json.dumps(values) if output is OutputFormat.JSON else message)
