"""Engines and sessions. Reading and writing sessions are different types; only the edge of the application commits."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NewType

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from agentgrid.db.away import DATABASE_FAULTS

ReadSession = NewType("ReadSession", AsyncSession)
"""A session in a read-only transaction."""

WriteSession = NewType("WriteSession", AsyncSession)
"""A session whose owner, at the edge, commits."""

Pool = asyncpg.Pool
Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

SESSION_FAULTS = (SQLAlchemyError, *DATABASE_FAULTS)
"""What a session raises when the database can't answer: SQLAlchemy passes on as they are the errors of the driver that it doesn't know."""

STATEMENT_TIMEOUT_MS = 10_000
LOCK_TIMEOUT_MS = 5_000
POOL_TIMEOUT_SECONDS = 5.0
CONNECT_SECONDS = 5
DIRECT_CONNECTIONS = 5
"""Each is held for about a millisecond, so a few serve thousands of requests a second."""


def make_engine(dsn: str, *, pool_size: int = 10, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> AsyncEngine:
    """An engine over asyncpg for `postgresql://...`; every statement, lock and wait for a connection is bounded."""
    url = make_url(dsn).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        # Some two hundred statements are all there are; a compiled one holds 50 kB.
        query_cache_size=250,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": statement_timeout_ms / 1000 + 5,
            "server_settings": _server_settings(statement_timeout_ms),
        },
    )
    event.listen(engine.sync_engine, "checkout", _still_open)
    return engine


@asynccontextmanager
async def open_pool(dsn: str) -> AsyncIterator[Pool]:
    """Connections of the driver itself, for what a request asks before anything else: a session around it costs more than the question does.

    Each statement is a transaction of its own. It opens also while the database is away.
    """
    pool = asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=DIRECT_CONNECTIONS,
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_TIMEOUT_MS / 1000 + 5,
        init=_read_json,
        reset=_keep,
        server_settings=_server_settings(STATEMENT_TIMEOUT_MS),
    )
    async with pool:
        try:
            yield pool
        finally:
            # Whoever still held one would keep the process for ever.
            pool.terminate()


@asynccontextmanager
async def direct(pool: Pool) -> AsyncIterator[Connection]:
    """One connection of the pool."""
    async with pool.acquire(timeout=POOL_TIMEOUT_SECONDS) as connection:
        yield connection


async def _read_json(connection: asyncpg.Connection[Any]) -> None:
    await connection.set_type_codec("json", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


async def _keep(_connection: object) -> None:
    """Nothing here changes a connection's state, so it goes back to the pool without a statement to clean it."""


def _server_settings(statement_timeout_ms: int) -> dict[str, str]:
    return {
        "application_name": "agentgrid",
        "timezone": "UTC",
        "statement_timeout": str(statement_timeout_ms),
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        # What fits one status, tag or workflow ruins another: a plan is made for the values asked for.
        "plan_cache_mode": "force_custom_plan",
        # A request reads a page of rows by index, from memory or a disk without heads: nothing here is worth a whole table, a
        # second process or a compiler.
        "random_page_cost": "1.1",
        "max_parallel_workers_per_gather": "0",
        "jit": "off",
    }


def _still_open(connection: Any, _record: Any, _proxy: Any) -> None:
    """Let the pool make another connection for one that has ended meanwhile: the socket says so, without asking the server each time."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError("the connection has ended")


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[ReadSession]:
    """A session that only reads; nothing it does is kept."""
    async with AsyncSession(engine, expire_on_commit=False, autoflush=False) as session:
        await session.connection(execution_options={"postgresql_readonly": True})
        yield ReadSession(session)


@asynccontextmanager
async def stating(engine: AsyncEngine) -> AsyncIterator[WriteSession]:
    """A session without a transaction around it, for a change that is a single statement: each counts at once."""
    autocommitting = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with AsyncSession(autocommitting, expire_on_commit=False, autoflush=False) as session:
        yield WriteSession(session)


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[WriteSession]:
    """One transaction: committed when the block ends well, else rolled back."""
    async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
        yield WriteSession(session)
