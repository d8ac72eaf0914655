"""Database logins, which the schema's owner creates and closes. Each change is a command, recorded in the transaction that carries it out."""

from __future__ import annotations

from dataclasses import asdict
from typing import cast

from sqlalchemy.ext.asyncio import AsyncEngine

from agentgrid.control import commands
from agentgrid.control.plane import Caller
from agentgrid.db import logins as db_logins
from agentgrid.db.pool import Connection
from agentgrid.db.session import WriteSession, writing
from agentgrid.domain.commands import CommandKind


async def put_worker(
    engine: AsyncEngine, caller: Caller, name: str, binding: db_logins.Binding, *, password: str, keep: bool
) -> bool:
    """Create a worker's login, or rebind an existing one. With `keep`, an existing login keeps its password.

    Returns whether `password` was set. Raises InvalidInput, Conflict.
    """
    async with writing(engine) as session:
        password_set = await db_logins.put_worker(await _driver(session), name, binding, password=password, keep=keep)
        outcome = {"group": db_logins.WORKER_GROUP, **asdict(binding), "new_password": password_set}
        await commands.apply(session, caller, CommandKind.LOGIN_PUT, outcome, target=name)
    return password_set


async def put_control(engine: AsyncEngine, caller: Caller, name: str, *, password: str, keep: bool) -> bool:
    """Create a login for the API and the projector; `password` and `keep` as in `put_worker`. Raises InvalidInput, Conflict."""
    async with writing(engine) as session:
        password_set = await db_logins.put_control(await _driver(session), name, password=password, keep=keep)
        outcome = {"group": db_logins.CONTROL_GROUP, "new_password": password_set}
        await commands.apply(session, caller, CommandKind.LOGIN_PUT, outcome, target=name)
    return password_set


async def worker_logins(engine: AsyncEngine) -> list[db_logins.WorkerLoginStatus]:
    """All worker logins, by name, with the number of refused reports of each."""
    async with writing(engine) as session:
        return await db_logins.workers(await _driver(session))


async def close_worker(engine: AsyncEngine, caller: Caller, name: str) -> None:
    """Close a worker's login and end its sessions. Raises NotFound."""
    async with writing(engine) as session:
        await db_logins.close_worker(await _driver(session), name)
        await commands.apply(session, caller, CommandKind.LOGIN_CLOSE, {}, target=name)


async def move_grid(engine: AsyncEngine, caller: Caller, before: str, after: str) -> int:
    """Move the names registered by one grid to another; returns how many moved. Raises NotFound."""
    async with writing(engine) as session:
        moved = await db_logins.move_grid(await _driver(session), before, after)
        await commands.apply(session, caller, CommandKind.GRID_MOVE, {"to": after, "names": moved}, target=before)
    return moved


async def _driver(session: WriteSession) -> Connection:
    """The session's driver connection, in the session's transaction: `db/logins.py` builds statements that can't take parameters."""
    raw = await (await session.connection()).get_raw_connection()
    return cast("Connection", raw.driver_connection)
