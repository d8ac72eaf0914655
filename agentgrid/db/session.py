"""Engines and sessions. Reading and writing sessions are different types; only the edge of the application commits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NewType

from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from agentgrid.db.away import DATABASE_FAULTS

ReadSession = NewType("ReadSession", AsyncSession)
"""A session in a read-only transaction."""

WriteSession = NewType("WriteSession", AsyncSession)
"""A session whose owner, at the edge, commits."""

SESSION_FAULTS = (SQLAlchemyError, *DATABASE_FAULTS)
"""What a session raises when the database can't answer: SQLAlchemy passes on as they are the errors of the driver that it doesn't know."""

STATEMENT_TIMEOUT_MS = 10_000
LOCK_TIMEOUT_MS = 5_000
POOL_TIMEOUT_SECONDS = 5.0


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
            "timeout": 5,
            "command_timeout": statement_timeout_ms / 1000 + 5,
            "server_settings": {
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
            },
        },
    )
    event.listen(engine.sync_engine, "checkout", _still_open)
    return engine


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
async def asking(engine: AsyncEngine) -> AsyncIterator[ReadSession]:
    """A session for one question, without a transaction around it: that would cost as much as the question, twice."""
    async with _without_transaction(engine) as session:
        yield ReadSession(session)


@asynccontextmanager
async def stating(engine: AsyncEngine) -> AsyncIterator[WriteSession]:
    """A session for one change that is one statement, and so needs no transaction around it; each statement counts at once."""
    async with _without_transaction(engine) as session:
        yield WriteSession(session)


@asynccontextmanager
async def _without_transaction(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine, expire_on_commit=False, autoflush=False) as session:
        await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        yield session


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[WriteSession]:
    """One transaction: committed when the block ends well, else rolled back."""
    async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
        yield WriteSession(session)
