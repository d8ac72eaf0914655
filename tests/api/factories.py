"""Rows as written by the projector and the workers, for tests of the API alone."""

from __future__ import annotations

import itertools
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from agentgrid.control.signing import Signer
from agentgrid.db import locks
from agentgrid.db.session import writing
from agentgrid.db.tables import (
    AgentRow,
    AgentVersionRow,
    Approval,
    DecisionRow,
    EventRow,
    ExecutionRow,
    Run,
    Step,
    ToolRow,
    ToolVersion,
    Workflow,
    WorkflowVersion,
)
from agentgrid.domain.canonical import digest
from agentgrid.domain.ids import new_id

_numbers = itertools.count(1)


async def insert(engine: AsyncEngine, *rows: Any) -> None:
    async with writing(engine) as session:
        for row in rows:
            session.add(row)
            await session.flush()


def workflow(name: str, schema: dict[str, Any] | None = None, **over: Any) -> tuple[Workflow, WorkflowVersion]:
    version = over.pop("version", "v1")
    queue = over.pop("task_queue", f"queue-{name}")
    return (
        Workflow(name=name, version=version, title=name, tags=[], task_queue=queue, grid="test", **over),
        WorkflowVersion(name=name, version=version, input_schema=schema if schema is not None else {}, build="b1"),
    )


def tool(name: str, **over: Any) -> ToolRow:
    values = {
        "version": "v1",
        "title": name,
        "risk": "write",
        "tags": [],
        "input_schema": {"type": "object"},
        "timeout_seconds": 10.0,
        "retries": 3,
        "task_queue": "tools",
        "grid": "test",
    }
    return ToolRow(name=name, **{**values, **over})


def tool_version(name: str, version: str = "v1", **over: Any) -> ToolVersion:
    return ToolVersion(**{"name": name, "version": version, "title": name, "reach": [], "input_schema": {}, **over})


def run(**over: Any) -> Run:
    run_id = over.pop("run_id", None) or new_id()
    execution_id = str(uuid.uuid4())
    values = {
        "namespace": "default",
        "workflow_id": run_id,
        "first_execution_id": execution_id,
        "execution_id": execution_id,
        "workflow": "made",
        "task_queue": "made",
        "status": "running",
        "temporal_status": "running",
        "initiator": "operator",
        "trigger": "api",
        "governed": True,
        "tags": [],
        "tools": [],
        "created_at": datetime.now(UTC) + timedelta(microseconds=next(_numbers)),
    }
    return Run(run_id=run_id, **{**values, **over})


def execution(of: Run, **over: Any) -> ExecutionRow:
    values = {
        "execution_id": of.execution_id,
        "run_id": of.run_id,
        "namespace": of.namespace,
        "workflow_id": of.workflow_id,
        "first_execution_id": of.first_execution_id,
        "workflow": of.workflow,
        "task_queue": of.task_queue,
        "kind": "first",
        "status": "running",
        "started_at": of.created_at,
    }
    return ExecutionRow(**{**values, **over})


def step(of: Run, event_id: int, **over: Any) -> Step:
    values = {
        "execution_id": of.execution_id,
        "event_id": event_id,
        "run_id": of.run_id,
        "kind": "tool",
        "name": "post_reply",
        "status": "completed",
        "scheduled_at": of.created_at + timedelta(seconds=event_id),
    }
    return Step(**{**values, **over})


def subject(of: Step | Approval) -> str:
    """The subject of events about it."""
    return of.approval_id if isinstance(of, Approval) else f"{of.execution_id}/{of.event_id}"


def approval(of: Run, **over: Any) -> Approval:
    approval_id = over.pop("approval_id", None) or new_id()
    arguments = {"ticket_id": "T-1", "body": "hello"}
    of_what = digest(["post_reply", "v1", arguments])
    approvers = over.pop("approvers", ["role:approver"])
    initiator = over.pop("initiator", of.initiator)
    terms = {
        "approval_id": approval_id,
        "kind": "tool",
        "title": "Post reply",
        "namespace": of.namespace,
        "workflow_id": of.workflow_id,
        "execution_id": of.execution_id,
        "digest": of_what,
        "tool": "post_reply",
        "tool_version": "v1",
        "key": "k1",
        "approvers": approvers,
        "initiator": initiator,
        "expires_seconds": 3600.0,
        "policy": "default:destructive@1",
    }
    values = {
        "execution_id": of.execution_id,
        "approval_id": approval_id,
        "run_id": of.run_id,
        "step_event_id": 5,
        "opened_event_id": 7,
        "kind": "tool",
        "title": "Post reply",
        "tool": "post_reply",
        "tool_version": "v1",
        "risk": "destructive",
        "shape": "0123456789abcdef",
        "arguments": arguments,
        "digest": of_what,
        "policy": "default:destructive@1",
        "approvers": approvers,
        "initiator": initiator,
        "terms": terms,
        "payload": {"size": 40, "value": arguments},
        "status": "pending",
        "decidable": True,
        "opened_at": datetime.now(UTC) + timedelta(microseconds=next(_numbers)),
        "expires_at": datetime.now(UTC) + timedelta(hours=1),
    }
    columns = {**values, **over}
    if columns["kind"] == "explicit":
        columns.setdefault("asked", columns["title"])
    return Approval(**columns)


def under(signer: Signer, approval_row: Approval) -> Approval:
    """The approval as opened under this signing key, so that it can be decided."""
    approval_row.terms = {**approval_row.terms, "keys": {signer.key_id: signer.public_key}}
    return approval_row


def decision(of: Approval, event_id: int, **over: Any) -> DecisionRow:
    values = {
        "execution_id": of.execution_id,
        "event_id": event_id,
        "run_id": of.run_id,
        "approval_id": of.approval_id,
        "judged": "counted",
        "verdict": "approved",
        "principal": "reviewer",
        "signalled_at": datetime.now(UTC),
    }
    return DecisionRow(**{**values, **over})


async def publish(
    engine: AsyncEngine, *events: tuple[str, str, dict[str, Any]], first: Any = None, subject: str | None = None
) -> list[int]:
    """Append `(run_id, kind, data)` events as the projector does, after another statement in the same transaction. Returns their ids."""
    async with writing(engine) as session:
        if first is not None:
            await session.execute(first)
        await locks.take(session, locks.EVENTS)
        rows = [EventRow(run_id=run_id, kind=kind, data=data, subject=subject) for run_id, kind, data in events]
        for row in rows:
            session.add(row)
            await session.flush()
        identifiers = [row.event_id for row in rows]
        await session.execute(text("SELECT pg_notify('agentgrid_events', :id)"), {"id": str(identifiers[-1])})
    return identifiers


def agent(name: str, version: str = "0123456789ab", **over: Any) -> tuple[AgentRow, AgentVersionRow]:
    """An agent as registered by its worker. over: columns of its version."""
    values: dict[str, Any] = {
        "models": ["openai:gpt-5"],
        "instructions": "Look up the order.\nRefund it if that is fair.",
        "tools": ["get_order", "refund_order"],
        "output_schema": {
            "type": "object",
            "properties": {"verdict": {"enum": ["refund", "reject"]}, "note": {"type": "string", "maxLength": 200}},
            "required": ["verdict"],
        },
        "limits": {"requests": 12, "tool_calls": 50, "tokens": None, "usd": 1.0, "seconds": None, "soft": None},
    }
    return (
        AgentRow(
            name=name, version=version, title=name, timeout_seconds=120.0, retries=4, task_queue="desk", grid="test"
        ),
        AgentVersionRow(agent=name, version=version, source="code", made_for=version, **{**values, **over}),
    )
