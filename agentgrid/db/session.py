"""Engines and sessions. Read and write sessions are different types; only the application's entry points commit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NewType

from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from agentgrid.db.away import DATABASE_FAULTS
from agentgrid.db.pool import CONNECT_SECONDS, POOL_TIMEOUT_SECONDS, STATEMENT_TIMEOUT_MS, server_settings

ReadSession = NewType("ReadSession", AsyncSession)
"""A session in a read-only transaction."""

WriteSession = NewType("WriteSession", AsyncSession)
"""A session in a transaction that its owner commits."""

SESSION_FAULTS = (SQLAlchemyError, *DATABASE_FAULTS)
"""What a session raises on a database fault: SQLAlchemy doesn't wrap driver errors that it doesn't know."""


FRESH = {"populate_existing": True}
"""Execution options that refresh rows the session has already loaded; by default SQLAlchemy keeps their old values."""


def make_engine(dsn: str, *, pool_size: int = 10, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> AsyncEngine:
    """An asyncpg engine for `postgresql://...`. Every statement, lock and wait for a connection has a timeout."""
    url = make_url(dsn).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        # There are about two hundred distinct statements; a compiled one takes 50 kB.
        query_cache_size=250,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": statement_timeout_ms / 1000 + 5,
            "server_settings": server_settings(statement_timeout_ms),
        },
    )
    event.listen(engine.sync_engine, "checkout", _still_open)
    return engine


def _still_open(connection: Any, _record: Any, _proxy: Any) -> None:
    """Make the pool replace a closed connection. This checks the local socket, so it costs no round trip to the server."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError("the connection has ended")


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[ReadSession]:
    """A session in a read-only transaction, which is never committed."""
    async with AsyncSession(engine, expire_on_commit=False, autoflush=False) as session:
        await session.connection(execution_options={"postgresql_readonly": True})
        yield ReadSession(session)


@asynccontextmanager
async def stating(engine: AsyncEngine) -> AsyncIterator[WriteSession]:
    """A session in autocommit mode, for changes that are single statements."""
    autocommitting = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with AsyncSession(autocommitting, expire_on_commit=False, autoflush=False) as session:
        yield WriteSession(session)


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[WriteSession]:
    """A session in one transaction: committed when the block succeeds, otherwise rolled back."""
    async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
        yield WriteSession(session)
