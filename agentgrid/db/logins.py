"""Database logins of the installation's processes, which the schema's owner creates, binds and closes.

A worker's login is bound to a grid and its task queues. The functions that it may call look up the binding by `session_user`, which a
session can't change. `sql/grants.sql` defines the rights of the two login groups.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from agentgrid.db.pool import Connection
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import WorkerBudget
from agentgrid.errors import Conflict, InvalidInput, InvalidPlace, NotFound

B: Any = WorkerBudget

ANY = "*"
"""Means every grid, or every task queue."""

WORKER_GROUP = "agentgrid_worker"
CONTROL_GROUP = "agentgrid_control"

NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
RATE = 2_000.0
"""Default reports per second. A three-step run sends about a dozen reports."""
CONNECTIONS = 60
"""Default connection limit. A worker process uses three connections."""
RESERVED = frozenset({"agentgrid_worker", "agentgrid_control", "agentgrid_reports"})


HAS_MORE_RIGHTS = """
SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
    OR pg_has_role(oid, 'agentgrid_control', 'MEMBER') OR pg_has_role(oid, 'agentgrid_reports', 'MEMBER')
FROM pg_roles WHERE rolname = $1
"""


@dataclass(frozen=True, kw_only=True)
class Binding:
    """The grid and queues of a worker's login, and its limits."""

    grid: str
    """A grid's name, or `*` for any."""
    queues: tuple[str, ...]
    """Task queues, or `*` for any."""
    rate: float = RATE
    """Maximum reports per second; the excess is dropped and counted."""
    connections: int = CONNECTIONS
    """Maximum open connections."""


@dataclass(frozen=True, kw_only=True)
class WorkerLoginStatus:
    """A worker's login, with the number of its refused reports."""

    login: str
    grid: str
    queues: tuple[str, ...]
    rate: float
    created_at: datetime
    closed_at: datetime | None
    dropped: int
    bad: int
    unattributed: int


async def put_role(connection: Connection, name: str, *, password: str, keep: bool = False) -> bool:
    """Create a login with this password. With `keep`, an existing open login keeps its password. Returns whether the password was set."""
    _check(name)
    is_open = await connection.fetchval("SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", name)
    if is_open is None:
        await _run(connection, "CREATE ROLE %I", name)
    if not is_open:
        keep = False
    if not keep:
        await _run(connection, "ALTER ROLE %I LOGIN PASSWORD %L", name, password)
    return not keep


async def put_control(connection: Connection, name: str, *, password: str, keep: bool = False) -> bool:
    """Like `put_role`, for a login of the API and the projector. Raises InvalidInput, Conflict for a worker's login."""
    if await connection.fetchval("SELECT 1 FROM worker_logins WHERE login = $1 AND closed_at IS NULL", name):
        raise Conflict(f"{name} is a worker's login: choose another name for the API's login")
    password_set = await put_role(connection, name, password=password, keep=keep)
    await _grant_access(connection, name, CONTROL_GROUP)
    return password_set


async def put_worker(connection: Connection, name: str, binding: Binding, *, password: str, keep: bool = False) -> bool:
    """Create a worker's login, or rebind an existing one. `password` and `keep` as in `put_role`.

    Raises InvalidInput, Conflict for a login with more rights than a worker's.
    """
    _check_binding(binding)
    password_set = await put_role(connection, name, password=password, keep=keep)
    if await connection.fetchval(HAS_MORE_RIGHTS, name):
        raise Conflict(f"{name} already exists and has more rights than a worker's login: choose another name")
    await _grant_access(connection, name, WORKER_GROUP)
    await _run(connection, f"ALTER ROLE %I CONNECTION LIMIT {binding.connections:d}", name)
    await connection.execute(
        "INSERT INTO worker_logins AS w (login, grid, queues, rate) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (login) DO UPDATE SET "
        "grid = excluded.grid, queues = excluded.queues, rate = excluded.rate, closed_at = NULL",
        name,
        binding.grid,
        list(binding.queues),
        binding.rate,
    )
    return password_set


async def close_worker(connection: Connection, name: str) -> None:
    """Close the login and end its sessions. Its past reports are kept. Raises NotFound."""
    closed = await connection.fetchval(
        "UPDATE worker_logins SET closed_at = coalesce(closed_at, now()) WHERE login = $1 RETURNING login", name
    )
    if closed is None:
        raise NotFound("worker login", name)
    await _run(connection, "ALTER ROLE %I NOLOGIN", name)
    await _run(connection, f"REVOKE {WORKER_GROUP} FROM %I", name)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND datname = current_database()",
        name,
    )


async def workers(connection: Connection) -> list[WorkerLoginStatus]:
    """All worker logins, by name, with the number of reports refused since the database server last crashed."""
    records = await connection.fetch(
        "SELECT w.login, w.grid, w.queues, w.rate, w.created_at, w.closed_at, coalesce(b.dropped, 0) AS dropped, "
        "coalesce(b.bad, 0) AS bad, coalesce(b.unattributed, 0) AS unattributed "
        "FROM worker_logins AS w LEFT JOIN worker_budgets AS b USING (login) ORDER BY w.login"
    )
    return [WorkerLoginStatus(**{**record, "queues": tuple(record["queues"])}) for record in records]


async def budgets(session: ReadSession) -> Sequence[WorkerBudget]:
    """The remaining budgets and refused reports of worker logins, by login."""
    return (await session.execute(select(WorkerBudget).order_by(B.login))).scalars().all()


async def move_grid(connection: Connection, before: str, after: str) -> int:
    """Move the names registered by one grid to another; returns how many moved. Raises NotFound if there are none."""
    async with connection.transaction():
        moved = 0
        for table in ("workflows", "tools", "agents"):
            status = await connection.execute(f"UPDATE {table} SET grid = $2 WHERE grid = $1", before, after)  # noqa: S608
            moved += int(status.rsplit(" ", 1)[1])
        # The new grid's workers report their servers when they start.
        await connection.execute("DELETE FROM mcp_servers WHERE grid = $1", before)
    if moved == 0:
        raise NotFound("grid", before)
    return moved


async def _grant_access(connection: Connection, name: str, group: str) -> None:
    database = await connection.fetchval("SELECT current_database()")
    await _run(connection, "GRANT CONNECT ON DATABASE %I TO %I", database, name)
    await _run(connection, f"GRANT {group} TO %I", name)


async def _run(connection: Connection, template: str, *values: str) -> None:
    """Run a statement about roles. Such statements can't take parameters, so the server quotes the values."""
    names = ", ".join(f"${number}::text" for number in range(2, len(values) + 2))
    await connection.execute(await connection.fetchval(f"SELECT format($1, {names})", template, *values))


def _check(name: str) -> None:
    if not NAME.fullmatch(name) or name in RESERVED or name.startswith("pg_"):
        message = "must be lower-case letters, digits and _, at most 63 characters, not beginning with a digit; some names are reserved"
        raise InvalidInput("invalid login name", [InvalidPlace(pointer="name", message=message)])


def _check_binding(binding: Binding) -> None:
    faults = []
    if not binding.grid.strip() or len(binding.grid) > 200:
        faults.append(
            InvalidPlace(pointer="grid", message="must be a grid's name of at most 200 characters, or * for any")
        )
    if not binding.queues or any(not queue.strip() or len(queue) > 1000 for queue in binding.queues):
        message = "must be at least one task queue, each at most 1,000 characters, or * for any"
        faults.append(InvalidPlace(pointer="queue", message=message))
    if faults:
        raise InvalidInput("invalid binding for the login", faults)
