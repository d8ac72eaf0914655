"""Reports what the worker found when it compared its MCP servers with their pins, so that operators see which are held, and why."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict

import asyncpg

from agentgrid.db.away import DATABASE_FAULTS
from agentgrid.logging import get_logger
from agentgrid.sdk.grid import Grid
from agentgrid.sdk.toolsets import Found
from agentgrid.worker.catalog import SYNC_TIMEOUT_SECONDS

log = get_logger()

EVERY_SECONDS = 15.0
"""A comparison that is younger than a minute is not made again for a report."""
AGAIN_SECONDS = 300.0
"""After this an unchanged report is sent again: its age shows that a worker still looks."""
MAX_SERVERS = 100
MAX_REPORT = 1_000_000


async def report(dsn: str, grid: Grid, task_queue: str) -> None:
    """Report until cancelled; an unreachable database delays reports, never the worker."""
    sent, sent_at, failures = "", float("-inf"), 0
    while True:
        looked = await asyncio.gather(*(toolset.look() for toolset in grid.toolsets))
        found = [each for each in looked if each is not None][:MAX_SERVERS]
        if not found:
            return
        text = document(grid, task_queue, found)
        if text != sent or time.monotonic() - sent_at > AGAIN_SECONDS:
            try:
                await _send(dsn, text)
                sent, sent_at, failures = text, time.monotonic(), 0
            except DATABASE_FAULTS as error:
                failures += 1
                if failures in (1, 10) or failures % 100 == 0:
                    log.warning("mcp_servers_not_reported", error=str(error) or type(error).__name__)
        await asyncio.sleep(EVERY_SECONDS)


def document(grid: Grid, task_queue: str, found: list[Found]) -> str:
    """The argument of `agentgrid_mcp_servers`. What would be too long goes without the entries of the tools that changed."""
    head = {"grid": grid.name, "task_queue": task_queue}
    text = json.dumps(head | {"servers": [asdict(each) for each in found]})
    if len(text) <= MAX_REPORT:
        return text
    bare = [asdict(each) | {"changes": []} for each in found]
    return json.dumps(head | {"servers": bare})


async def _send(dsn: str, text: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=SYNC_TIMEOUT_SECONDS, command_timeout=SYNC_TIMEOUT_SECONDS)
    try:
        await connection.execute("SELECT agentgrid_mcp_servers($1::json)", text)
    finally:
        await connection.close(timeout=1)
