"""Connections to the back office: one bounded pool per event loop and address, created on first use.

asyncpg is imported when a pool is created, not with this module: workflow modules import the tools, so whatever the
tools import is loaded again in every workflow sandbox.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakKeyDictionary

import agentgrid as ag

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

# Quoted, so that the tool modules can import these names without importing asyncpg.
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
Row: TypeAlias = "asyncpg.Record"

ENVIRONMENT_VARIABLE = "APP_DATABASE_URL"
MAX_CONNECTIONS = 8
CONNECT_SECONDS = 5
ACQUIRE_SECONDS = 8
# Below the shortest tool timeout (10 s), so that a stuck statement fails with PostgreSQL's reason instead of a bare timeout.
STATEMENT_SECONDS = 8
LOCK_SECONDS = 4
IDLE_SECONDS = 60


class BackOfficeNotConfigured(RuntimeError):
    """`APP_DATABASE_URL` is not set, so the back office can't be reached.

    Not a ToolError: calls are retried until a worker with the variable completes them.
    """

    def __init__(self) -> None:
        super().__init__(
            f"{ENVIRONMENT_VARIABLE} is not set: set it to the URL of the back office's database, "
            f"for example {ENVIRONMENT_VARIABLE}=postgresql://user:password@127.0.0.1:5432/app"
        )


class _LoopPools:
    """The pools of one event loop. The lock prevents two first callers from creating a pool each."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.by_url: dict[str, Pool] = {}


_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopPools] = WeakKeyDictionary()


def database_url() -> str:
    """The back office's address in asyncpg's form. Raises BackOfficeNotConfigured."""
    url = os.environ.get(ENVIRONMENT_VARIABLE, "").strip()
    if not url:
        raise BackOfficeNotConfigured
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


async def pool() -> Pool:
    """The running loop's pool for `APP_DATABASE_URL`. The first caller creates it, without connecting yet."""
    url = database_url()
    here = _pools.setdefault(asyncio.get_running_loop(), _LoopPools())
    async with here.lock:
        found = here.by_url.get(url)
        if found is None:
            found = here.by_url[url] = await _make_pool(url)
        return found


async def close_pool() -> None:
    """Close the running loop's pools. Waits at most ten seconds for connections in use. Idempotent."""
    here = _pools.pop(asyncio.get_running_loop(), None)
    if here is None:
        return
    async with here.lock:
        for each in here.by_url.values():
            try:
                async with asyncio.timeout(10):
                    await each.close()
            except TimeoutError:
                each.terminate()


@asynccontextmanager
async def connection() -> AsyncIterator[Connection]:
    """A connection from the pool. If the database refuses data for its content, raises a non-retryable ToolError."""
    import asyncpg

    source = await pool()
    async with source.acquire(timeout=ACQUIRE_SECONDS) as db:
        try:
            yield db
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            raise ag.ToolError(f"the back office refused the data: {error}", retryable=False) from error
        except asyncpg.InterfaceError as error:
            # asyncpg's own error for an argument that it can't encode; other errors of this class are about connections.
            if isinstance(error, ValueError):
                raise ag.ToolError(f"the back office can't store the data: {error}", retryable=False) from error
            raise


@asynccontextmanager
async def transaction() -> AsyncIterator[Connection]:
    """A connection in a transaction, which commits when the block ends and rolls back if it raises."""
    async with connection() as db, db.transaction():
        yield db


async def _make_pool(url: str) -> Pool:
    import asyncpg

    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=MAX_CONNECTIONS,
        max_inactive_connection_lifetime=IDLE_SECONDS,
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_SECONDS,
        init=_prepare,
        server_settings={
            "application_name": "agentgrid-backoffice",
            "statement_timeout": f"{STATEMENT_SECONDS}s",
            "lock_timeout": f"{LOCK_SECONDS}s",
            "timezone": "UTC",
        },
    )


async def _prepare(db: asyncpg.Connection[asyncpg.Record]) -> None:
    await db.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
