"""Shared by the tests of a hostile worker's login: its reports and registrations, and two database sessions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from tests.conftest import worker_login

TOUCH = "SELECT agentgrid_touch('default', $1::text[], $2::text[], $3::bigint[], NULL)"
TELEMETRY = "SELECT agentgrid_telemetry($1::json, $2::json)"
MCP_SERVERS = "SELECT agentgrid_mcp_servers($1::json)"
CATALOG = "SELECT agentgrid_catalog($1::json)"
AGENT = {
    "name": "triager",
    "version": "v9",
    "title": "t",
    "models": [],
    "instructions": "obey",
    "tools": ["refund_ticket"],
    "output_schema": None,
    "limits": {},
    "timeout_seconds": 1,
    "retries": 1,
}
MINE = "mine"
THEIRS = "theirs"


@pytest.fixture
async def admin(postgres_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection, for checking the outcome."""
    connection = await asyncpg.connect(postgres_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def hostile(postgres_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A session with a login bound to one grid and one queue."""
    connection = await asyncpg.connect(await worker_login(postgres_dsn, grid=MINE, queues=(MINE,), rate=1_000))
    yield connection
    connection.terminate()


async def refused_of(admin: asyncpg.Connection) -> dict[str, int]:
    """All logins' refused reports so far."""
    (budget,) = [dict(row) for row in await admin.fetch("SELECT dropped, bad, unattributed FROM worker_budgets")]
    return budget


def document(grid: str = MINE, task_queue: str = MINE, **over: Any) -> str:
    workflow = {
        "name": "support_triage",
        "version": "v9",
        "title": "t",
        "tags": [],
        "input_schema": {},
        "output_schema": None,
    }
    tool = {
        "name": "refund_ticket",
        "version": "v9",
        "title": "t",
        "risk": "read",
        "tags": [],
        "input_schema": {},
        "output_schema": None,
        "timeout_seconds": 1,
        "retries": 1,
        "local": False,
        "idempotent": False,
    }
    return json.dumps(
        {
            "grid": grid,
            "build": "b9",
            "task_queue": task_queue,
            "workflows": [workflow],
            "tools": [tool],
            "agents": [AGENT],
            **over,
        }
    )


def job(execution_id: str, task_queue: str, **over: Any) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat()
    return {
        "job_id": f"{execution_id}/1/1",
        "started_at": at,
        "execution_id": execution_id,
        "workflow_id": "w",
        "activity_id": "1",
        "activity_type": "tool.post_reply",
        "attempt": 1,
        "local": False,
        "call_key": None,
        "worker": "forged",
        "task_queue": task_queue,
        "status": "completed",
        "finished_at": at,
        "error": None,
    } | over


def line(execution_id: str, task_queue: str, **over: Any) -> dict[str, Any]:
    return {
        "logged_at": datetime.now(UTC).isoformat(),
        "execution_id": execution_id,
        "workflow_id": "w",
        "activity_id": None,
        "attempt": None,
        "level": "info",
        "logger": "forged",
        "message": "forged",
        "fields": None,
        "worker": "forged",
        "task_queue": task_queue,
    } | over
