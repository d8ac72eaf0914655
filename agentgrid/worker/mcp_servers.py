"""Reports how the worker's MCP servers compare with their pins, so that operators see which are held, and why."""

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

INTERVAL_SECONDS = 15.0
"""Comparisons are cached for a minute, so most reports don't cause a new one."""
RESEND_SECONDS = 300.0
"""An unchanged report is sent again after this time: its age shows that a worker is still checking."""
MAX_SERVERS = 100
MAX_REPORT = 1_000_000
"""In bytes. The database rejects reports over 1 MiB."""
MAX_CHANGES = 250_000
"""In bytes, for one server. The database stores no changes over 256 KiB."""
MAX_REASON = 1_000
_TOOLS = (500, 50, 5)
"""How many tools to name for each server: the first limit at which the report is small enough."""


async def report(dsn: str, grid: Grid, task_queue: str) -> None:
    """Report until cancelled. An unreachable database delays reports, never the worker."""
    sent, sent_at, failures = "", float("-inf"), 0
    while True:
        results = await asyncio.gather(*(toolset.look() for toolset in grid.toolsets))
        reports = [report for report in results if report is not None][:MAX_SERVERS]
        if not reports:
            return
        text = document(grid, task_queue, reports)
        if text != sent or time.monotonic() - sent_at > RESEND_SECONDS:
            try:
                await _send(dsn, text)
                sent, sent_at, failures = text, time.monotonic(), 0
            except DATABASE_FAULTS as error:
                failures += 1
                if worth_a_line(failures):
                    log.warning("mcp_servers_not_reported", error=str(error) or type(error).__name__)
        await asyncio.sleep(INTERVAL_SECONDS)


def document(grid: Grid, task_queue: str, reports: Sequence[SourceReport]) -> str:
    """The argument of `agentgrid_mcp_servers`, at most `MAX_REPORT` bytes: if it is too long, changes are dropped first, then most tools."""
    servers = [_server(report) for report in reports]
    text = _serialised(grid, task_queue, servers)
    if len(text) > MAX_REPORT:
        servers = [server | {"changes": []} for server in servers]
    for most in _TOOLS:
        if len(text) <= MAX_REPORT:
            break
        text = _serialised(grid, task_queue, [server | {"tools": server["tools"][:most]} for server in servers])
    return text


def _server(report: SourceReport) -> dict[str, Any]:
    changes, left = [], MAX_CHANGES
    for change in report.changes:
        left -= len(json.dumps(asdict(change))) + 2
        if left < 0:
            break
        changes.append(asdict(change))
    cut = {"tools": report.tools[: _TOOLS[0]], "reason": report.reason[:MAX_REASON], "changes": changes}
    return asdict(report) | cut


def _serialised(grid: Grid, task_queue: str, servers: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"grid": grid.name, "task_queue": task_queue, "servers": servers})


async def _send(dsn: str, text: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=SYNC_TIMEOUT_SECONDS, command_timeout=SYNC_TIMEOUT_SECONDS)
    try:
        await connection.execute("SELECT agentgrid_mcp_servers($1::json)", text)
    finally:
        await connection.close(timeout=1)
