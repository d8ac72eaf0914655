"""Opens a store with its own connection pool."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from agentgrid.db.pool import keep
from agentgrid.projector.store import Store

POOL_SIZE = 8
BY_KEY = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""Every statement here reads or writes a few rows by key, never a large part of a table. A plan made while the tables were small would scan
and hash them, so until the next ANALYZE its cost would grow with the table (measured: 2 ms per row instead of 0.1)."""


@asynccontextmanager
async def open_store(dsn: str, namespace: str) -> AsyncIterator[Store]:
    """A store with its own connection pool, whose commits don't wait for the disk."""
    async with asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=POOL_SIZE,
        timeout=5,
        command_timeout=30,
        reset=keep,
        server_settings={
            "application_name": "agentgrid-projector",
            "timezone": "UTC",
            "synchronous_commit": "off",
            "statement_timeout": "30000",
            "lock_timeout": "5000",
            **BY_KEY,
        },
    ) as pool:
        yield Store(pool, namespace)
