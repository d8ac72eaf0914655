"""Registers a grid's workflows, tools and agents, with their schemas and versions, once when the worker starts."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any, TypedDict

import asyncpg

from agentgrid.db.away import DATABASE_FAULTS
from agentgrid.domain.backoff import backoff, jittered
from agentgrid.logging import get_logger, worth_a_line
from agentgrid.sdk.agents import Agent
from agentgrid.sdk.discovery import RegisteredWorkflow
from agentgrid.sdk.grid import Grid
from agentgrid.sdk.tools import Tool

log = get_logger()

SYNC_TIMEOUT_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0


JsonSchema = dict[str, Any]


class WorkflowEntry(TypedDict):
    """A workflow in the catalog document."""

    name: str
    version: str
    title: str
    description: str
    tags: list[str]
    subject: str | None
    input_schema: JsonSchema
    output_schema: JsonSchema
    handlers: dict[str, Any]


class ToolEntry(TypedDict):
    """A tool in the catalog document."""

    name: str
    version: str
    title: str
    description: str
    risk: str
    tags: list[str]
    input_schema: JsonSchema
    output_schema: JsonSchema
    timeout_seconds: float
    retries: int
    local: bool
    idempotent: bool
    reach: list[str]
    undoable: bool | None
    asks: str | None


class AgentEntry(TypedDict):
    """An agent in the catalog document."""

    name: str
    version: str
    title: str
    models: list[str]
    instructions: str
    tools: list[str]
    output_schema: JsonSchema | None
    limits: dict[str, Any]
    timeout_seconds: float
    retries: int


class CatalogDocument(TypedDict):
    """The argument of `agentgrid_catalog` in `db/sql/functions.sql`. Workers of other versions send it too, so fields are only ever added."""

    grid: str
    build: str
    task_queue: str
    workflows: list[WorkflowEntry]
    tools: list[ToolEntry]
    agents: list[AgentEntry]


def document(grid: Grid, task_queue: str) -> CatalogDocument:
    """The catalog document for this grid."""
    return {
        "grid": grid.name,
        "build": grid.digest,
        "task_queue": task_queue,
        "workflows": [_workflow(registered) for registered in (*grid.workflows, *grid.tool_runs)],
        "tools": [_tool(tool) for tool in grid.tools],
        "agents": [_agent(agent) for agent in grid.agents],
    }


def _workflow(registered: RegisteredWorkflow) -> WorkflowEntry:
    return {
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


def _tool(tool: Tool[..., Any]) -> ToolEntry:
    return {
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


def _agent(agent: Agent[Any]) -> AgentEntry:
    return {
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


async def sync(dsn: str, grid: Grid, task_queue: str) -> None:
    """Register, retrying until it succeeds. An unreachable database delays the catalog, never the worker."""
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
