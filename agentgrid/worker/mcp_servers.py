"""Reports what the worker found when it compared its MCP servers with their pins, so that operators see which are held, and why."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import asyncpg

from agentgrid.db.away import DATABASE_FAULTS
from agentgrid.logging import get_logger, worth_a_line
from agentgrid.sdk.grid import Grid
from agentgrid.sdk.toolsets import SourceReport
from agentgrid.worker.catalog import SYNC_TIMEOUT_SECONDS

log = get_logger()

EVERY_SECONDS = 15.0
"""A comparison that is younger than a minute is not made again for a report."""
AGAIN_SECONDS = 300.0
"""After this an unchanged report is sent again: its age shows that a worker still looks."""
MAX_SERVERS = 100
MAX_REPORT = 1_000_000
"""Bytes. The database refuses a report of over 1 MiB."""
MAX_CHANGES = 250_000
"""Bytes of one server's changes. The database keeps none that are over 256 KiB."""
MAX_REASON = 1_000
_TOOLS = (500, 50, 5)
"""How many tools of each server a report names: the first number with which it is short enough."""


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
                if worth_a_line(failures):
                    log.warning("mcp_servers_not_reported", error=str(error) or type(error).__name__)
        await asyncio.sleep(EVERY_SECONDS)


def document(grid: Grid, task_queue: str, found: Sequence[SourceReport]) -> str:
    """The argument of `agentgrid_mcp_servers`: at most `MAX_REPORT` bytes. What is too long goes without changes, and then without most tools."""
    servers = [_server(each) for each in found]
    text = _written(grid, task_queue, servers)
    if len(text) > MAX_REPORT:
        servers = [each | {"changes": []} for each in servers]
    for most in _TOOLS:
        if len(text) <= MAX_REPORT:
            break
        text = _written(grid, task_queue, [each | {"tools": each["tools"][:most]} for each in servers])
    return text


def _server(found: SourceReport) -> dict[str, Any]:
    changes, left = [], MAX_CHANGES
    for each in found.changes:
        left -= len(json.dumps(asdict(each))) + 2
        if left < 0:
            break
        changes.append(asdict(each))
    cut = {"tools": found.tools[: _TOOLS[0]], "reason": found.reason[:MAX_REASON], "changes": changes}
    return asdict(found) | cut


def _written(grid: Grid, task_queue: str, servers: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"grid": grid.name, "task_queue": task_queue, "servers": servers})


async def _send(dsn: str, text: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=SYNC_TIMEOUT_SECONDS, command_timeout=SYNC_TIMEOUT_SECONDS)
    try:
        await connection.execute("SELECT agentgrid_mcp_servers($1::json)", text)
    finally:
        await connection.close(timeout=1)
