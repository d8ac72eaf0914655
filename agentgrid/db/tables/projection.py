"""Runs, their executions and steps, as folded from history."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlmodel import Field, SQLModel

from agentgrid.db.tables import columns
from agentgrid.domain.runs import ExecutionKind, ExecutionStatus, RunStatus, RunTrigger, WaitingOn
from agentgrid.domain.steps import StepKind, StepStatus


class Run(SQLModel, table=True):
    """One execution of a workflow from its user's point of view."""

    __tablename__ = "runs"
    __table_args__ = (
        columns.one_of("status", RunStatus),
        columns.one_of("waiting_on", WaitingOn),
        columns.one_of("trigger", RunTrigger),
        UniqueConstraint("namespace", "workflow_id", "first_execution_id", name="uq_runs_chain"),
        Index("ix_runs_newest", text("created_at DESC"), text("run_id DESC")),
        Index("ix_runs_status", "status", text("created_at DESC"), text("run_id DESC")),
        Index("ix_runs_workflow", "workflow", text("created_at DESC"), text("run_id DESC")),
        Index("ix_runs_initiator", "initiator", text("created_at DESC"), text("run_id DESC")),
        Index(
            "ix_runs_reference", "reference", text("created_at DESC"), postgresql_where=text("reference IS NOT NULL")
        ),
        Index(
            "ix_runs_waiting",
            "waiting_on",
            text("created_at DESC"),
            text("run_id DESC"),
            postgresql_where=text("waiting_on IS NOT NULL"),
        ),
        Index(
            "ix_runs_trigger",
            "trigger",
            text("created_at DESC"),
            text("run_id DESC"),
            postgresql_where=text(f"trigger <> '{RunTrigger.API}'"),
        ),
        Index(
            "ix_runs_parent",
            "parent_run_id",
            text("created_at DESC"),
            text("run_id DESC"),
            postgresql_where=text("parent_run_id IS NOT NULL"),
        ),
        Index("ix_runs_workflow_id", "workflow_id"),
        Index("ix_runs_tags", "tags", postgresql_using="gin", postgresql_with=columns.SHORT_LIST),
        Index("ix_runs_tools", "tools", postgresql_using="gin", postgresql_with=columns.SHORT_LIST),
        Index("ix_runs_closed", text("closed_at DESC"), "status", postgresql_where=text("closed_at IS NOT NULL")),
        Index("ix_runs_updated", text("updated_at DESC"), text("run_id DESC")),
        Index(
            "ix_runs_took",
            text("(closed_at - coalesce(started_at, created_at))"),
            postgresql_where=text("closed_at IS NOT NULL"),
        ),
        Index("ix_runs_next", "next_at", "run_id", postgresql_where=text("next_at IS NOT NULL")),
        Index(
            "ix_runs_delayed",
            "start_at",
            postgresql_where=text(f"status = '{RunStatus.QUEUED}' AND start_at IS NOT NULL"),
        ),
    )

    run_id: str = columns.text(primary=True)
    namespace: str = columns.text()
    workflow_id: str = columns.text()
    first_execution_id: str | None = columns.text(null=True)
    execution_id: str | None = columns.text(null=True)
    """The execution shown: the newest of the newest continue-as-new segment."""
    workflow: str = columns.text()
    version: str | None = columns.text(null=True)
    build: str | None = columns.text(null=True)
    task_queue: str = columns.text()
    status: str = columns.text()
    waiting_on: str | None = columns.text(null=True)
    status_reason: str | None = columns.text(null=True)
    """Free text, which may quote payloads."""
    hold: str | None = columns.text(null=True)
    """Why the run paused itself: `loop`, `budget_exceeded`, or a value from a later version."""
    error_type: str | None = columns.text(null=True)
    """The class of the error's innermost cause."""
    temporal_status: str | None = columns.text(null=True)
    governed: bool = columns.flag()
    initiator: str = columns.text(default="'unknown'")
    issuers: list[str] = columns.texts()
    """Who issued the API key that started the run, apart from the initiator."""
    trigger: str = columns.text(default=f"'{RunTrigger.EXTERNAL}'")
    command_id: str | None = columns.text(null=True)
    parent_run_id: str | None = columns.text(null=True)
    root_run_id: str | None = columns.text(null=True)
    reference: str | None = columns.text(null=True)
    tags: list[str] = columns.texts()
    tools: list[str] = columns.texts()
    """The names of the tools that the run has called, for the filter `tool`."""
    priority: int | None = Field(default=None, nullable=True)
    note: str | None = columns.text(null=True)
    subject: str | None = columns.text(null=True)
    """The run's subject: its version's template with fields of its input. Quotes payloads. Empty if the input doesn't fill the template."""
    template: str | None = columns.text(null=True)
    template_version: int | None = Field(default=None, nullable=True)
    input: Any = columns.json()
    """A stored payload: see `temporal/payloads.py`."""
    result: Any = columns.json()
    error: Any = columns.json()
    created_at: datetime = columns.time(null=False, now=True)
    start_at: datetime | None = columns.time()
    started_at: datetime | None = columns.time()
    closed_at: datetime | None = columns.time()
    current_step: str | None = columns.text(null=True)
    current_kind: str | None = columns.text(null=True)
    """The kind of the current step. For an explicit approval, `current_step` is the title, which may quote payloads."""
    asked: str | None = columns.text(null=True)
    """What the open approvals ask, in one line: the first one's question, and how many more there are. Quotes payloads."""
    next_at: datetime | None = columns.time()
    """When the next timer, retry or expiry is due."""
    usage: Any = columns.json()
    """The total of the run's model turns, `domain.agents.Usage`; None without any."""
    step_count: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    steps_done: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    steps_failed: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    approvals_pending: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    updated_at: datetime = columns.time(null=False, now=True)


class RunSearch(SQLModel, table=True):
    """The search index of runs. Written only by a trigger on `runs`."""

    __tablename__ = "run_search"
    __table_args__ = (
        columns.searched("ix_run_search_grams", "words"),
        columns.searched("ix_run_search_subjects", "lower(subject)", where="subject IS NOT NULL"),
        Index("ix_run_search_beginning", "run_id", postgresql_ops={"run_id": "text_pattern_ops"}),
        Index(
            "ix_run_search_end", func.reverse(text("run_id")).label("end"), postgresql_ops={"end": "text_pattern_ops"}
        ),
    )

    run_id: str = columns.text(primary=True)
    words: str = columns.text()
    """Workflow, reference, note, and the workflow id if it differs from the run id; lower case, one per line."""
    subject: str | None = columns.text(null=True)
    """The run's subject, in its own column because it quotes payloads."""


class ExecutionRow(SQLModel, table=True):
    """One Temporal run in a run's chain, and the fold's state over its history."""

    __tablename__ = "executions"
    __table_args__ = (
        columns.one_of("status", ExecutionStatus),
        columns.one_of("kind", ExecutionKind),
        Index("ix_executions_run", "run_id", "started_at"),
        Index("ix_executions_open", "live_checked_at", postgresql_where=text("status = 'running'")),
        Index(
            "ix_executions_failing",
            "run_id",
            postgresql_where=text("status = 'running' AND live_problem IS NOT NULL"),
        ),
        Index("ix_executions_workflow", "workflow_id"),
    )

    execution_id: str = columns.text(primary=True)
    run_id: str = columns.text(references="runs.run_id")
    namespace: str = columns.text()
    workflow_id: str = columns.text()
    first_execution_id: str = columns.text()
    workflow: str = columns.text()
    task_queue: str = columns.text()
    kind: str = columns.text()
    status: str = columns.text()
    build: str | None = columns.text(null=True)
    started_at: datetime = columns.time(null=False)
    closed_at: datetime | None = columns.time()
    continued_from: str | None = columns.text(null=True)
    continued_to: str | None = columns.text(null=True)
    """The next execution, according to the close event."""
    reset_from: str | None = columns.text(null=True)
    reset_to: str | None = columns.text(null=True)
    reset_event_id: int | None = columns.big(null=True)
    """Events up to this id are copies of the base execution's events."""
    reset_reason: str | None = columns.text(null=True)
    result: Any = columns.json()
    error: Any = columns.json()
    last_event_id: int = columns.big(default="0")
    fold_version: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    fold_state: Any = columns.json()
    """Internal to the projector. PostgreSQL can't query into it if a text contains U+0000, which a worker may send."""
    taken: bool = columns.flag()
    """Whether a worker has completed a workflow task."""
    opaque_events: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    last_event_at: datetime | None = columns.time()
    live_task_attempt: int | None = Field(default=None, nullable=True)
    live_problem: str | None = columns.text(null=True)
    """Temporal's last report about a workflow task that keeps failing."""
    live_checked_at: datetime | None = columns.time()
    projected_at: datetime = columns.time(null=False, now=True)


class Step(SQLModel, table=True):
    """One thing that an execution did or waits on. A call that needed approval is one step, keyed by its first activity's event id."""

    __tablename__ = "steps"
    __table_args__ = (
        columns.one_of("kind", StepKind),
        columns.one_of("status", StepStatus),
        Index("ix_steps_run", "run_id", "scheduled_at", "event_id"),
        Index(
            "ix_steps_pending", "execution_id", postgresql_where=text("status IN ('scheduled', 'running', 'waiting')")
        ),
        Index("ix_steps_agent", "name", "run_id", postgresql_where=text("kind = 'agent'")),
        Index("ix_steps_agent_open", "name", postgresql_where=text("kind = 'agent' AND status = 'running'")),
        Index("ix_steps_agent_time", "name", "scheduled_at", postgresql_where=text("kind = 'agent'")),
        Index("ix_steps_tool_time", "name", "scheduled_at", postgresql_where=text("kind = 'tool'")),
        Index("ix_steps_model_time", "name", "scheduled_at", postgresql_where=text("kind = 'model'")),
        Index("ix_steps_model_run", "run_id", "scheduled_at", postgresql_where=text("kind = 'model'")),
    )

    execution_id: str = columns.text(primary=True, references="executions.execution_id")
    event_id: int = columns.big(primary=True)
    run_id: str = columns.text()
    parent: int | None = columns.big(null=True)
    """The event id of the parent step, in the same execution."""
    turn: int | None = columns.big(null=True)
    """The number of this model turn, or of the model turn that requested this call."""
    kind: str = columns.text()
    name: str = columns.text()
    """The tool's name, activity type, child's workflow, signal's or update's name, approval's title, timer's summary."""
    title: str | None = columns.text(null=True)
    status: str = columns.text()
    inherited: bool = columns.flag()
    attempts: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    activity_id: str | None = columns.text(null=True)
    task_queue: str | None = columns.text(null=True)
    worker: str | None = columns.text(null=True)
    call_key: str | None = columns.text(null=True)
    """The value of the header `agentgrid-key`."""
    tool_version: str | None = columns.text(null=True)
    local: bool = columns.flag()
    governed: bool = columns.flag()
    approval_id: str | None = columns.text(null=True)
    child_workflow_id: str | None = columns.text(null=True)
    child_execution_id: str | None = columns.text(null=True)
    scheduled_at: datetime = columns.time(null=False)
    started_at: datetime | None = columns.time()
    closed_at: datetime | None = columns.time()
    due_at: datetime | None = columns.time()
    """When a timer fires or an approval expires."""
    closed_event_id: int | None = columns.big(null=True)
    input: Any = columns.json()
    """The arguments passed by the workflow's code."""
    changed_input: Any = columns.json()
    """The arguments that an approver gave instead, with which the call ran."""
    output: Any = columns.json()
    error: Any = columns.json()
    usage: Any = columns.json()
    """For a model turn: tokens, price, model, latency. For an agent: the totals so far."""
    live_state: str | None = columns.text(null=True)
    live_attempt: int | None = Field(default=None, nullable=True)
    live_error: Any = columns.json()
    live_next_retry_at: datetime | None = columns.time()
    live_heartbeat_at: datetime | None = columns.time()
    live_worker: str | None = columns.text(null=True)
