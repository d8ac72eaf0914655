"""Registers a grid's workflows, tools and agents, with their schemas and versions, once when the worker starts."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import asyncpg

from agentgrid.db.away import DATABASE_FAULTS
from agentgrid.domain.backoff import backoff, jittered
from agentgrid.logging import get_logger, worth_a_line
from agentgrid.sdk.grid import Grid

log = get_logger()

SYNC_TIMEOUT_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0


def document(grid: Grid, task_queue: str) -> dict[str, Any]:
    """The argument of `agentgrid_catalog`."""
    return {
        "grid": grid.name,
        "build": grid.digest,
        "task_queue": task_queue,
        "workflows": [
            {
                "name": registered.spec.name,
                "version": registered.version,
                "title": registered.spec.title,
                "description": registered.description,
                "tags": list(registered.spec.tags),
                "subject": registered.spec.subject,
                "input_schema": registered.input_schema,
                "output_schema": registered.output_schema,
                "handlers": registered.handlers.model_dump(mode="json"),
            }
            for registered in (*grid.workflows, *grid.tool_runs)
        ],
        "tools": [
            {
                "name": tool.name,
                "version": tool.version,
                "title": tool.title,
                "description": tool.description,
                "risk": str(tool.risk),
                "tags": list(tool.tags),
                "input_schema": tool.signature.input_schema,
                "output_schema": tool.signature.output_schema,
                "timeout_seconds": tool.timeout.total_seconds() if tool.timeout else 0.0,
                "retries": tool.retries,
                "local": tool.local,
                "idempotent": tool.idempotent,
                "reach": list(tool.reach),
                "undoable": tool.undoable,
                "asks": tool.asks,
            }
            for tool in grid.tools
        ],
        "agents": [
            {
                "name": agent.name,
                "version": agent.version,
                "title": agent.title,
                "models": list(agent.models),
                "instructions": agent.instructions,
                "tools": agent.tool_names,
                "output_schema": agent.output_schema,
                "limits": dataclasses.asdict(agent.limits),
                "timeout_seconds": agent.timeout.total_seconds(),
                "retries": agent.retries,
            }
            for agent in grid.agents
        ],
    }


async def sync(dsn: str, grid: Grid, task_queue: str) -> None:
    """Retry the registration until it succeeds; an unreachable database delays the catalog, never the worker."""
    text = json.dumps(document(grid, task_queue))
    failures = 0
    while True:
        try:
            connection = await asyncpg.connect(dsn, timeout=SYNC_TIMEOUT_SECONDS, command_timeout=SYNC_TIMEOUT_SECONDS)
            try:
                await connection.execute("SELECT agentgrid_catalog($1::json)", text)
            finally:
                await connection.close(timeout=1)
        except DATABASE_FAULTS as error:
            failures += 1
            if worth_a_line(failures):
                log.warning("catalog_not_synced", error=str(error) or type(error).__name__)
            await asyncio.sleep(jittered(backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, tries=failures - 1)))
        else:
            log.info(
                "catalog_synced",
                grid=grid.name,
                build=grid.digest,
                workflows=len(grid.workflows),
                tools=len(grid.tools),
                agents=len(grid.agents),
            )
            return
