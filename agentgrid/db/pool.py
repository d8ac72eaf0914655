"""Connections of the driver itself, used beside the sessions for a request's first queries and for the most frequent reads and writes
(decisions 16 and 24).

A statement that may wait for a lock takes a turn first. There are fewer turns than connections, so that however many statements wait, a connection
is left to authenticate callers.
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
"""Connections, each statement on which is a transaction of its own."""

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
"""One of them."""

STATEMENT_TIMEOUT_MS = 10_000
LOCK_TIMEOUT_MS = 5_000
POOL_TIMEOUT_SECONDS = 5.0
CONNECT_SECONDS = 5
CONNECTIONS = 5
"""For reads. Each is held for about a millisecond, so a few serve thousands of requests a second."""
TURNS = 10
"""Maximum concurrent writes. Each has a connection in addition to those for reads."""


@asynccontextmanager
async def open_pool(dsn: str) -> AsyncIterator[Pool]:
    """A pool that opens also while the database is away; every statement, and the wait for a connection, is bounded."""
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
            # A connection that is still held would keep the process from ending.
            pool.terminate()


@asynccontextmanager
async def direct(pool: Pool) -> AsyncIterator[Connection]:
    """One connection of the pool, for a statement that waits for no lock."""
    # A timeout costs a timer, and nothing waits while a connection is idle.
    async with pool.acquire(timeout=None if pool.get_idle_size() else POOL_TIMEOUT_SECONDS) as connection:
        yield connection


class Turns:
    """Limits the number of concurrent writes."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(TURNS)

    @asynccontextmanager
    async def changing(self, pool: Pool) -> AsyncIterator[Connection]:
        """One connection of the pool, for a statement that writes. Raises TimeoutError if other writes take too long."""
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
    """Give a connection back as it is: nothing changes the state of one, so no statement is spent on cleaning it."""


def server_settings(statement_timeout_ms: int) -> dict[str, str]:
    """How PostgreSQL is to treat a connection of the API's, through a session or not."""
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
