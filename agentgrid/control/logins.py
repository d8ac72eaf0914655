"""Database logins of processes, made and closed by the schema's owner. Each change is a command, in the transaction that carries it out."""

from __future__ import annotations

from dataclasses import asdict
from typing import cast

from sqlalchemy.ext.asyncio import AsyncEngine

from agentgrid.control import commands
from agentgrid.control.plane import Caller
from agentgrid.db import logins as table
from agentgrid.db.pool import Connection
from agentgrid.db.session import WriteSession, writing
from agentgrid.domain.commands import CommandKind


async def put_worker(
    engine: AsyncEngine, caller: Caller, name: str, binding: table.Binding, *, password: str, keep: bool
) -> bool:
    """Make a worker's login, or bind an existing one to something else, which keeps its password if `keep`.

    Returns whether the password is this one now. Raises InvalidInput, Conflict.
    """
    async with writing(engine) as session:
        given = await table.put_worker(await _driver(session), name, binding, password=password, keep=keep)
        outcome = {"group": table.WORKER_GROUP, **asdict(binding), "new_password": given}
        await commands.apply(session, caller, CommandKind.LOGIN_PUT, outcome, target=name)
    return given


async def put_control(engine: AsyncEngine, caller: Caller, name: str, *, password: str, keep: bool) -> bool:
    """Make a login for the API and the projector; the password as in `put_worker`. Raises InvalidInput, Conflict."""
    async with writing(engine) as session:
        given = await table.put_control(await _driver(session), name, password=password, keep=keep)
        outcome = {"group": table.CONTROL_GROUP, "new_password": given}
        await commands.apply(session, caller, CommandKind.LOGIN_PUT, outcome, target=name)
    return given


async def worker_logins(engine: AsyncEngine) -> list[table.WorkerLoginStatus]:
    """Every worker's login, by name, and what was refused of what it sent."""
    async with writing(engine) as session:
        return await table.workers(await _driver(session))


async def close_worker(engine: AsyncEngine, caller: Caller, name: str) -> None:
    """End a worker's login and its sessions. Raises NotFound."""
    async with writing(engine) as session:
        await table.close_worker(await _driver(session), name)
        await commands.apply(session, caller, CommandKind.LOGIN_CLOSE, {}, target=name)


async def move_grid(engine: AsyncEngine, caller: Caller, before: str, after: str) -> int:
    """Let one grid have the names that another one registered; how many. Raises NotFound."""
    async with writing(engine) as session:
        moved = await table.move_grid(await _driver(session), before, after)
        await commands.apply(session, caller, CommandKind.GRID_MOVE, {"to": after, "names": moved}, target=before)
    return moved


async def _driver(session: WriteSession) -> Connection:
    """The session's own connection, in its transaction: statements about roles take no parameters, so the driver quotes them itself."""
    raw = await (await session.connection()).get_raw_connection()
    return cast("Connection", raw.driver_connection)
