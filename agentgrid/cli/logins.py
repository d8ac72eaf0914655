"""`agentgrid db worker-login` and its kin: the database logins of processes, with the URL of the login that owns the schema."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from agentgrid.cli.database import reach_database
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.session import OutputOption, YesOption, confirm, reporting

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from agentgrid.control.plane import Caller
    from agentgrid.db.logins import WorkerLoginStatus

Result = TypeVar("Result")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The login's name, for the whole PostgreSQL server.")]
FileOption = Annotated[
    Path | None, typer.Option(help="Write the login's URL there, readable by you alone, instead of printing it.")
]
RotateOption = Annotated[bool, typer.Option("--rotate", help="Give a login that exists a new password.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group `db`."""
    app.command("worker-login")(worker_login)
    app.command("worker-logins")(worker_logins)
    app.command("close-worker-login")(close_worker_login)
    app.command("control-login")(control_login)
    app.command("move-grid")(move_grid)


def worker_login(
    name: Name,
    grid: Annotated[str, typer.Option(help="The grid whose workflows and tools it registers; * for any.")],
    queue: Annotated[list[str], typer.Option(help="A task queue that it serves; may be repeated; * for any.")],
    rate: Annotated[float, typer.Option(min=1, help="How many reports it may send a second.")] = 2_000,
    connections: Annotated[int, typer.Option(min=1, max=10_000, help="How many connections it may hold.")] = 60,
    rotate: RotateOption = False,
    file: FileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Make a database login for workers, or bind one to another grid or other queues.

    It reads the policy, and reports about the runs of its own queues. It sees no run, no payload and no key.
    """
    with reporting(output):
        password = secrets.token_urlsafe(32)

        async def put(engine: AsyncEngine, caller: Caller) -> bool:
            from agentgrid.control import logins
            from agentgrid.db.logins import Binding

            binding = Binding(grid=grid, queues=tuple(queue), rate=rate, connections=connections)
            return await logins.put_worker(engine, caller, name, binding, password=password, keep=not rotate)

        given = _with_owner(put)
        words = f"{name} serves {', '.join(queue)} for the grid {grid}"
        _hand_over(name, password if given else None, file, output, words)


def control_login(
    name: Name,
    rotate: RotateOption = False,
    file: FileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Make a database login for the API and the projector: it reads and writes rows, and changes no table and no role."""
    with reporting(output):
        password = secrets.token_urlsafe(32)

        async def put(engine: AsyncEngine, caller: Caller) -> bool:
            from agentgrid.control import logins

            return await logins.put_control(engine, caller, name, password=password, keep=not rotate)

        given = _with_owner(put)
        _hand_over(name, password if given else None, file, output, f"{name} is for the API and the projector")


def worker_logins(output: OutputOption = OutputFormat.TABLE) -> None:
    """List the workers' logins, and how many of their reports were refused since the database server last crashed."""
    with reporting(output):

        async def read(engine: AsyncEngine, _caller: Caller) -> list[WorkerLoginStatus]:
            from agentgrid.control import logins

            return await logins.worker_logins(engine)

        found = _with_owner(read)
        if output is OutputFormat.JSON:
            from dataclasses import asdict

            for each in found:
                typer.echo(json.dumps(asdict(each), default=str))
            return
        from agentgrid.cli.output import more, put, rows, stdout, table

        if found:
            made = table("login", "grid", "queues", "a second", "too fast", "malformed", "not its own", "closed")
            put(stdout(), rows(made, (_row(each) for each in found)))
        more({}, len(found))


def _row(login: WorkerLoginStatus) -> tuple[object, ...]:
    closed = login.closed_at.isoformat(timespec="seconds") if login.closed_at else None
    refused = (login.dropped, login.bad, login.unattributed)
    return (login.login, login.grid, login.queues, f"{login.rate:g}", *refused, closed)


def close_worker_login(name: Name, yes: YesOption = False, output: OutputOption = OutputFormat.TABLE) -> None:
    """End a worker's login: its sessions are ended, and it connects no more. What it reported stays."""
    with reporting(output):
        confirm(f"End the login {name}? Its workers then report nothing and see no new policy.", yes=yes)

        async def close(engine: AsyncEngine, caller: Caller) -> None:
            from agentgrid.control import logins

            await logins.close_worker(engine, caller, name)

        _with_owner(close)
        _say(output, {"login": name, "closed": True}, f"{name} is closed")


def move_grid(
    before: Annotated[str, typer.Argument(metavar="FROM", help="The grid that registered the names.")],
    after: Annotated[str, typer.Argument(metavar="TO", help="The grid that is to have them.")],
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Let one grid have the workflows and tools that another one registered: for a grid that was renamed."""
    with reporting(output):

        async def move(engine: AsyncEngine, caller: Caller) -> int:
            from agentgrid.control import logins

            return await logins.move_grid(engine, caller, before, after)

        moved = _with_owner(move)
        _say(output, {"from": before, "to": after, "names": moved}, f"{moved} names of {before} are {after}'s now")


def _with_owner(work: Callable[[AsyncEngine, Caller], Awaitable[Result]]) -> Result:
    """Do it as `system`, over the database's URL. A login that doesn't own the schema is refused by the server."""
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


def _hand_over(name: str, password: str | None, file: Path | None, output: OutputFormat, done: str) -> None:
    """Print the login's URL, or write it to the file; a password that was kept is shown by nobody."""
    from sqlalchemy.engine import make_url

    from agentgrid.control.private import write_private
    from agentgrid.settings import Settings

    if password is None:
        _say(output, {"login": name, "url": None}, f"{done}; its password stays as it is")
        return
    url = make_url(Settings.load().require_database()).set(username=name, password=password)
    text = url.render_as_string(hide_password=False)
    if file is not None:
        write_private(file, text + "\n")
        _say(output, {"login": name, "file": str(file)}, f"{done}; its URL is in {file}")
        return
    _say(output, {"login": name, "url": text}, f"{done}. Its AGENTGRID_DATABASE_URL, shown this one time:\n{text}")


def _say(output: OutputFormat, values: dict[str, object], words: str) -> None:
    typer.echo(json.dumps(values) if output is OutputFormat.JSON else words)
