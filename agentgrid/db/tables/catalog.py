"""The catalog: what workers have registered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Index,
    text,
)
from sqlmodel import Field, SQLModel

from agentgrid.db.tables import columns
from agentgrid.domain.agent_versions import EDIT_PREFIX


class Workflow(SQLModel, table=True):
    """A definition registered in code, at its newest version."""

    __tablename__ = "workflows"

    name: str = columns.text(primary=True)
    version: str = columns.text()
    title: str = columns.text()
    description: str = columns.text(default="''")
    tags: list[str] = columns.texts()
    task_queue: str = columns.text()
    grid: str = columns.text()
    registered_at: datetime = columns.time(null=False, now=True)


class WorkflowVersion(SQLModel, table=True):
    """One version of a definition: a digest of its schemas and code. Immutable, except for its handlers' docstrings."""

    __tablename__ = "workflow_versions"
    __table_args__ = (Index(None, "name", text("first_seen_at DESC")),)

    name: str = columns.text(primary=True)
    version: str = columns.text(primary=True)
    input_schema: Any = columns.registered(null=False)
    """A JSON Schema, if the worker is honest."""
    output_schema: Any = columns.registered()
    handlers: Any = columns.registered()
    """`domain.handlers.Handlers` from the last worker that registered; null if it sent none."""
    build: str = columns.text()
    """The grid's digest, which Temporal's history records on each completed workflow task."""
    subject: str | None = columns.text(null=True)
    """The template for a run's subject: `domain.asks`."""
    first_seen_at: datetime = columns.time(null=False, now=True)


class WorkflowBuild(SQLModel, table=True):
    """The version of a definition in a build of a grid: history names builds, users ask for versions. Immutable."""

    __tablename__ = "workflow_builds"

    build: str = columns.text(primary=True)
    name: str = columns.text(primary=True)
    version: str = columns.text()


class ToolRow(SQLModel, table=True):
    """A tool registered in code, at its newest version."""

    __tablename__ = "tools"
    __table_args__ = (CheckConstraint("risk IN ('read', 'write', 'destructive')", name="risk"),)

    name: str = columns.text(primary=True)
    version: str = columns.text()
    title: str = columns.text()
    description: str = columns.text(default="''")
    risk: str = columns.text()
    tags: list[str] = columns.texts()
    input_schema: Any = columns.registered(null=False)
    """A JSON Schema, if the worker is honest."""
    output_schema: Any = columns.registered()
    timeout_seconds: float = Field(nullable=False)
    retries: int = Field(nullable=False)
    local: bool = columns.flag()
    idempotent: bool = columns.flag()
    reach: list[str] = columns.texts()
    """What a call does to whom, in its author's words."""
    undoable: bool | None = Field(default=None, nullable=True)
    """Whether the effect of a call can be undone; None if the author doesn't say."""
    asks: str | None = columns.text(null=True)
    """The template for the titles of the tool's approvals: `domain.asks`."""
    task_queue: str = columns.text()
    grid: str = columns.text()
    registered_at: datetime = columns.time(null=False, now=True)


class ToolVersion(SQLModel, table=True):
    """One version of a tool, used to show its approvals even after newer code has registered. Immutable."""

    __tablename__ = "tool_versions"

    name: str = columns.text(primary=True)
    version: str = columns.text(primary=True)
    title: str = columns.text()
    reach: list[str] = columns.texts()
    undoable: bool | None = Field(default=None, nullable=True)
    asks: str | None = columns.text(null=True)
    input_schema: Any = columns.registered(null=False)
    first_seen_at: datetime = columns.time(null=False, now=True)


class McpServer(SQLModel, table=True):
    """An MCP server whose tools a grid has pinned, as last reported by a worker of the queue. Not registered by code: it changes at run time."""

    __tablename__ = "mcp_servers"
    __table_args__ = (CheckConstraint("state IN ('ready', 'held', 'unreachable')", name="state"),)

    grid: str = columns.text(primary=True)
    task_queue: str = columns.text(primary=True)
    name: str = columns.text(primary=True)
    reached_by: str = columns.text()
    tools: list[str] = columns.texts()
    """The names of the server's tools in the grid."""
    state: str = columns.text()
    reason: str = columns.text()
    changes: Any = columns.registered(null=False)
    """`sdk.toolsets.Changed`, if the worker is honest."""
    since: datetime = columns.time(null=False, now=True)
    """When a worker first reported the current state and changes."""
    reported_at: datetime = columns.time(null=False, now=True)


class AgentRow(SQLModel, table=True):
    """An agent registered in code, at its newest version."""

    __tablename__ = "agents"

    name: str = columns.text(primary=True)
    version: str = columns.text()
    title: str = columns.text()
    timeout_seconds: float = Field(nullable=False)
    retries: int = Field(nullable=False)
    task_queue: str = columns.text()
    grid: str = columns.text()
    registered_at: datetime = columns.time(null=False, now=True)


class AgentVersionRow(SQLModel, table=True):
    """One version of an agent, from the code or created by an operator. Immutable."""

    __tablename__ = "agent_versions"
    __table_args__ = (
        CheckConstraint("source IN ('code', 'operator')", name="source"),
        # A worker can't take the name of an operator's version, and vice versa.
        CheckConstraint(f"(source = 'operator') = (version LIKE '{EDIT_PREFIX}%')", name="named"),
        Index("ix_agent_versions_newest", "agent", text("created_at DESC"), "version"),
    )

    agent: str = columns.text(primary=True)
    version: str = columns.text(primary=True)
    source: str = columns.text()
    made_for: str = columns.text()
    """The code version that it was checked against."""
    models: list[str] = columns.texts()
    instructions: str = columns.text()
    tools: list[str] = columns.texts()
    output_schema: Any = columns.registered()
    limits: Any = columns.registered(null=False)
    """`domain.agents.Limits`, if the worker is honest."""
    note: str = columns.text(default="''")
    created_by: str | None = columns.text(null=True)
    created_at: datetime = columns.time(null=False, now=True)


class AgentChoice(SQLModel, table=True):
    """The version of an agent that new calls use, since when and by whom. The newest row is in force; without one, the code's version is used."""

    __tablename__ = "agent_choices"

    agent: str = columns.text(primary=True)
    number: int = Field(primary_key=True)
    version: str | None = columns.text(null=True)
    """None for the version in the code."""
    note: str = columns.text(default="''")
    created_by: str = columns.text()
    created_at: datetime = columns.time(null=False, now=True)
