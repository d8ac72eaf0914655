"""A store over a pool of connections of its own."""

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
"""Whatever is read or written here is a few rows found by their keys, and never a share of a table. A plan that was made while the tables
were small would scan and hash them: it costs what the table holds, until the next ANALYZE (seen: 2 ms a row instead of 0.1)."""


@asynccontextmanager
async def open_store(dsn: str, namespace: str) -> AsyncIterator[Store]:
    """A store over a pool of its own, whose commits don't wait for the disk."""
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
