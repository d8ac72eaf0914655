"""Connections of the driver itself, used besides SQLAlchemy sessions for a request's first queries and for the most frequent reads and writes
(decisions 16 and 24).

A statement that may wait for a lock takes a turn first. There are fewer turns than connections, so a connection is always left to authenticate
callers, however many statements are waiting.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import asyncpg.pool

Pool = asyncpg.Pool
"""A pool of connections in autocommit mode: each statement is its own transaction."""

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
"""A connection, from the pool or opened separately."""

STATEMENT_TIMEOUT_MS = 10_000
LOCK_TIMEOUT_MS = 5_000
POOL_TIMEOUT_SECONDS = 5.0
CONNECT_SECONDS = 5
CONNECTIONS = 5
"""Connections for reads. A read holds one for about a millisecond, so a few serve thousands of requests a second."""
TURNS = 10
"""Maximum concurrent writes. The pool has this many connections in addition to those for reads."""


@asynccontextmanager
async def open_pool(dsn: str) -> AsyncIterator[Pool]:
    """A pool that also opens while the database is unreachable. Every statement, and the wait for a connection, has a timeout."""
    pool = asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=CONNECTIONS + TURNS,
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_TIMEOUT_MS / 1000 + 5,
        init=_read_json,
        reset=keep,
        server_settings=server_settings(STATEMENT_TIMEOUT_MS),
    )
    async with pool:
        try:
            yield pool
        finally:
            # A connection that is still in use would keep the process from exiting.
            pool.terminate()


@asynccontextmanager
async def direct(pool: Pool) -> AsyncIterator[Connection]:
    """A connection from the pool, for a statement that doesn't wait for locks."""
    # A timeout costs a timer, and isn't needed while a connection is idle.
    async with pool.acquire(timeout=None if pool.get_idle_size() else POOL_TIMEOUT_SECONDS) as connection:
        yield connection


class Turns:
    """Limits the number of concurrent writes."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(TURNS)

    @asynccontextmanager
    async def changing(self, pool: Pool) -> AsyncIterator[Connection]:
        """A connection from the pool, for a statement that writes. Raises TimeoutError if other writes take too long."""
        if self._free.locked():
            async with asyncio.timeout(POOL_TIMEOUT_SECONDS):
                await self._free.acquire()
        else:
            await self._free.acquire()
        try:
            async with direct(pool) as connection:
                yield connection
        finally:
            self._free.release()


async def _read_json(connection: asyncpg.Connection[Any]) -> None:
    await connection.set_type_codec("json", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


async def keep(_connection: object) -> None:
    """Return a connection to the pool without a reset statement: nothing here changes a connection's state."""


def server_settings(statement_timeout_ms: int) -> dict[str, str]:
    """PostgreSQL settings for the API's connections, with or without a session."""
    return {
        "application_name": "agentgrid",
        "timezone": "UTC",
        "statement_timeout": str(statement_timeout_ms),
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        # The best plan for one status, tag or workflow can be disastrous for another, so plan for the actual values.
        "plan_cache_mode": "force_custom_plan",
        # A request reads a page of rows by index, from memory or an SSD: no query here is worth a table scan, parallel workers or JIT.
        "random_page_cost": "1.1",
        "max_parallel_workers_per_gather": "0",
        "jit": "off",
    }
