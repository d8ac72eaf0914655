"""Every table of the control-plane database, as SQLModel classes.

Who writes what: `projector/store/` alone writes the columns derived from history; `control` alone writes intent (`commands`, the insert of
a queued run, policies, principals, keys); workers write through three functions that only insert. Identifiers are text in the canonical
lower-case UUID form. Payload columns are `json`, not `jsonb`: they keep the exact text, and `\\u0000` with it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlmodel import Field, SQLModel

from agentgrid.domain.approvals import ApprovalStatus
from agentgrid.domain.commands import CommandStatus
from agentgrid.domain.principals import PrincipalKind
from agentgrid.domain.runs import ExecutionKind, ExecutionStatus, RunStatus, WaitingOn
from agentgrid.domain.steps import StepKind, StepStatus

NAMING = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}
SQLModel.metadata.naming_convention = NAMING

SHORT_LIST = {"gin_pending_list_limit": 512}
"""In kilobytes. A reader goes through what is pending one by one: at the default of 4 MB that would be most of its time."""


def _one_of(column: str, words: type[Any]) -> CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def _text(
    *, null: bool = False, primary: bool = False, default: str | None = None, references: str | None = None
) -> Any:
    keys = [ForeignKey(references, ondelete="CASCADE")] if references else []
    server = text(default) if default is not None else None
    return Field(sa_column=Column(Text, *keys, primary_key=primary, nullable=null, server_default=server))


def _texts() -> Any:
    return Field(sa_column=Column(ARRAY(Text), nullable=False, server_default=text("'{}'")))


def _time(*, null: bool = True, now: bool = False) -> Any:
    server = text("now()") if now else None
    return Field(sa_column=Column(DateTime(timezone=True), nullable=null, server_default=server))


def _json(*, null: bool = True, default: str | None = None) -> Any:
    server = text(default) if default is not None else None
    return Field(sa_column=Column(JSON(none_as_null=True), nullable=null, server_default=server))


def _big(*, null: bool = False, default: str | None = None, primary: bool = False) -> Any:
    server = text(default) if default is not None else None
    return Field(
        sa_column=Column(BigInteger, nullable=null, server_default=server, primary_key=primary, autoincrement=False)
    )


def _flag(default: str = "false") -> Any:
    return Field(sa_column=Column(Boolean, nullable=False, server_default=text(default)))


# --- catalog -------------------------------------------------------------------------------------------------------


class Workflow(SQLModel, table=True):
    """A definition registered in code, at its newest version."""

    __tablename__ = "workflows"

    name: str = _text(primary=True)
    version: str = _text()
    title: str = _text()
    description: str = _text(default="''")
    tags: list[str] = _texts()
    task_queue: str = _text()
    grid: str = _text()
    registered_at: datetime = _time(null=False, now=True)


class WorkflowVersion(SQLModel, table=True):
    """One version of a definition: a digest of its schemas and code. Immutable."""

    __tablename__ = "workflow_versions"
    __table_args__ = (Index(None, "name", text("first_seen_at DESC")),)

    name: str = _text(primary=True)
    version: str = _text(primary=True)
    input_schema: dict[str, Any] = _json(null=False)
    output_schema: dict[str, Any] | None = _json()
    build: str = _text()
    """The grid's digest, as Temporal's history names it on each completed workflow task."""
    first_seen_at: datetime = _time(null=False, now=True)


class WorkflowBuild(SQLModel, table=True):
    """Which version of a definition a build of a grid holds: history names builds, users ask for versions. Immutable."""

    __tablename__ = "workflow_builds"

    build: str = _text(primary=True)
    name: str = _text(primary=True)
    version: str = _text()


class Tool(SQLModel, table=True):
    """A tool registered in code, at its newest version."""

    __tablename__ = "tools"
    __table_args__ = (CheckConstraint("risk IN ('read', 'write', 'destructive')", name="risk"),)

    name: str = _text(primary=True)
    version: str = _text()
    title: str = _text()
    description: str = _text(default="''")
    risk: str = _text()
    tags: list[str] = _texts()
    input_schema: dict[str, Any] = _json(null=False)
    output_schema: dict[str, Any] | None = _json()
    timeout_seconds: float = Field(nullable=False)
    retries: int = Field(nullable=False)
    local: bool = _flag()
    idempotent: bool = _flag()
    task_queue: str = _text()
    grid: str = _text()
    registered_at: datetime = _time(null=False, now=True)


# --- projection ----------------------------------------------------------------------------------------------------


class Run(SQLModel, table=True):
    """One execution of a workflow from its user's point of view."""

    __tablename__ = "runs"
    __table_args__ = (
        _one_of("status", RunStatus),
        _one_of("waiting_on", WaitingOn),
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
            postgresql_where=text("trigger <> 'api'"),
        ),
        Index(
            "ix_runs_parent",
            "parent_run_id",
            text("created_at DESC"),
            text("run_id DESC"),
            postgresql_where=text("parent_run_id IS NOT NULL"),
        ),
        Index("ix_runs_workflow_id", "workflow_id"),
        Index("ix_runs_tags", "tags", postgresql_using="gin", postgresql_with=SHORT_LIST),
        Index("ix_runs_tools", "tools", postgresql_using="gin", postgresql_with=SHORT_LIST),
        Index("ix_runs_closed", text("closed_at DESC"), "status", postgresql_where=text("closed_at IS NOT NULL")),
    )

    run_id: str = _text(primary=True)
    namespace: str = _text()
    workflow_id: str = _text()
    first_execution_id: str | None = _text(null=True)
    execution_id: str | None = _text(null=True)
    """The execution shown: the newest of the newest continue-as-new segment."""
    workflow: str = _text()
    version: str | None = _text(null=True)
    build: str | None = _text(null=True)
    task_queue: str = _text()
    status: str = _text()
    waiting_on: str | None = _text(null=True)
    status_reason: str | None = _text(null=True)
    temporal_status: str | None = _text(null=True)
    governed: bool = _flag()
    initiator: str = _text(default="'unknown'")
    trigger: str = _text(default="'external'")
    """`api`, `child` or `external`."""
    command_id: str | None = _text(null=True)
    parent_run_id: str | None = _text(null=True)
    root_run_id: str | None = _text(null=True)
    reference: str | None = _text(null=True)
    tags: list[str] = _texts()
    tools: list[str] = _texts()
    """The names of the tools that the run has called: what the filter `tool` looks at."""
    priority: int | None = Field(default=None, nullable=True)
    note: str | None = _text(null=True)
    template: str | None = _text(null=True)
    template_version: int | None = Field(default=None, nullable=True)
    input: Any = _json()
    """A stored payload: see `temporal/payloads.py`."""
    result: Any = _json()
    error: Any = _json()
    created_at: datetime = _time(null=False, now=True)
    start_at: datetime | None = _time()
    started_at: datetime | None = _time()
    closed_at: datetime | None = _time()
    current_step: str | None = _text(null=True)
    next_at: datetime | None = _time()
    """When the next timer, retry or expiry is due."""
    step_count: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    steps_done: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    steps_failed: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    approvals_pending: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    updated_at: datetime = _time(null=False, now=True)


class RunSearch(SQLModel, table=True):
    """What a run is found by when it is searched for. A trigger on `runs` keeps it; nobody else writes it."""

    __tablename__ = "run_search"
    __table_args__ = (
        Index(
            "ix_run_search_grams",
            text("agentgrid_grams(words)"),
            postgresql_using="gin",
            postgresql_with=SHORT_LIST,
        ),
        Index("ix_run_search_beginning", "run_id", postgresql_ops={"run_id": "text_pattern_ops"}),
        Index(
            "ix_run_search_end", func.reverse(text("run_id")).label("end"), postgresql_ops={"end": "text_pattern_ops"}
        ),
    )

    run_id: str = _text(primary=True)
    words: str = _text()
    """Workflow, reference, note, and the workflow id where it isn't the run id; lower case, a line for each."""


class Execution(SQLModel, table=True):
    """One Temporal run in a run's chain, and the fold's state over its history."""

    __tablename__ = "executions"
    __table_args__ = (
        _one_of("status", ExecutionStatus),
        _one_of("kind", ExecutionKind),
        Index("ix_executions_run", "run_id", "started_at"),
        Index("ix_executions_open", "live_checked_at", postgresql_where=text("status = 'running'")),
        Index(
            "ix_executions_failing",
            "run_id",
            postgresql_where=text("status = 'running' AND live_problem IS NOT NULL"),
        ),
        Index("ix_executions_workflow", "workflow_id"),
    )

    execution_id: str = _text(primary=True)
    run_id: str = _text(references="runs.run_id")
    namespace: str = _text()
    workflow_id: str = _text()
    first_execution_id: str = _text()
    workflow: str = _text()
    task_queue: str = _text()
    kind: str = _text()
    status: str = _text()
    build: str | None = _text(null=True)
    started_at: datetime = _time(null=False)
    closed_at: datetime | None = _time()
    continued_from: str | None = _text(null=True)
    continued_to: str | None = _text(null=True)
    """The execution that the close event names as the next one."""
    reset_from: str | None = _text(null=True)
    reset_to: str | None = _text(null=True)
    reset_event_id: int | None = _big(null=True)
    """Events up to this one are copies of the base's."""
    reset_reason: str | None = _text(null=True)
    result: Any = _json()
    error: Any = _json()
    last_event_id: int = _big(default="0")
    fold_version: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    fold_state: Any = _json()
    opaque_events: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    last_event_at: datetime | None = _time()
    live_task_attempt: int | None = Field(default=None, nullable=True)
    live_problem: str | None = _text(null=True)
    """What Temporal last said of a workflow task that keeps failing."""
    live_checked_at: datetime | None = _time()
    projected_at: datetime = _time(null=False, now=True)


class Step(SQLModel, table=True):
    """One thing that an execution did or waits on. A gated call is one step: its first activity's event id is its key."""

    __tablename__ = "steps"
    __table_args__ = (
        _one_of("kind", StepKind),
        _one_of("status", StepStatus),
        Index("ix_steps_run", "run_id", "scheduled_at", "event_id"),
        Index(
            "ix_steps_pending", "execution_id", postgresql_where=text("status IN ('scheduled', 'running', 'waiting')")
        ),
        Index("ix_steps_agent", "name", "run_id", postgresql_where=text("kind = 'agent'")),
    )

    execution_id: str = _text(primary=True, references="executions.execution_id")
    event_id: int = _big(primary=True)
    run_id: str = _text()
    kind: str = _text()
    name: str = _text()
    """The tool's name, activity type, child's workflow, signal's or update's name, approval's title, timer's summary."""
    title: str | None = _text(null=True)
    status: str = _text()
    inherited: bool = _flag()
    attempts: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    activity_id: str | None = _text(null=True)
    task_queue: str | None = _text(null=True)
    worker: str | None = _text(null=True)
    call_key: str | None = _text(null=True)
    """The value of the header `agentgrid-key`."""
    tool_version: str | None = _text(null=True)
    local: bool = _flag()
    governed: bool = _flag()
    approval_id: str | None = _text(null=True)
    child_workflow_id: str | None = _text(null=True)
    child_execution_id: str | None = _text(null=True)
    scheduled_at: datetime = _time(null=False)
    started_at: datetime | None = _time()
    closed_at: datetime | None = _time()
    due_at: datetime | None = _time()
    """When a timer fires or a gate expires."""
    closed_event_id: int | None = _big(null=True)
    input: Any = _json()
    output: Any = _json()
    error: Any = _json()
    live_state: str | None = _text(null=True)
    live_attempt: int | None = Field(default=None, nullable=True)
    live_error: Any = _json()
    live_next_retry_at: datetime | None = _time()
    live_heartbeat_at: datetime | None = _time()
    live_worker: str | None = _text(null=True)


class Approval(SQLModel, table=True):
    """A gate in a run that waits, or waited, for people."""

    __tablename__ = "approvals"
    __table_args__ = (
        _one_of("status", ApprovalStatus),
        Index("ix_approvals_id", "approval_id"),
        Index(
            "ix_approvals_newest",
            text("opened_at DESC"),
            text("approval_id DESC"),
            postgresql_where=text("NOT inherited"),
        ),
        Index(
            "ix_approvals_inbox",
            "status",
            text("opened_at DESC"),
            text("approval_id DESC"),
            postgresql_where=text("NOT inherited"),
        ),
        Index(
            "ix_approvals_tool",
            "tool",
            text("opened_at DESC"),
            text("approval_id DESC"),
            postgresql_where=text("NOT inherited AND tool IS NOT NULL"),
        ),
        Index("ix_approvals_run", "run_id", "opened_at"),
        Index(
            "ix_approvals_approvers", "approvers", postgresql_using="gin", postgresql_where=text("status = 'pending'")
        ),
    )

    execution_id: str = _text(primary=True, references="executions.execution_id")
    approval_id: str = _text(primary=True)
    run_id: str = _text()
    step_event_id: int = _big()
    opened_event_id: int = _big()
    inherited: bool = _flag()
    kind: str = _text()
    title: str = _text()
    tool: str | None = _text(null=True)
    digest: str = _text()
    policy: str | None = _text(null=True)
    approvers: list[str] = _texts()
    initiator: str | None = _text(null=True)
    terms: Any = _json(null=False)
    payload: Any = _json()
    """What the approver is shown, as a stored payload: the very arguments that the digest covers."""
    status: str = _text()
    decidable: bool = _flag()
    """True while its expiry timer runs: the API signs decisions only then."""
    opened_at: datetime = _time(null=False)
    expires_at: datetime | None = _time()
    closed_at: datetime | None = _time()
    decided_by: str | None = _text(null=True)
    decision_event_id: int | None = _big(null=True)
    command_id: str | None = _text(null=True)


class DecisionRow(SQLModel, table=True):
    """What `judge` said of one decision signal, refused ones too."""

    __tablename__ = "decisions"
    __table_args__ = (
        CheckConstraint("judged IN ('counted', 'superseded', 'refused')", name="judged"),
        Index("ix_decisions_approval", "approval_id"),
        Index("ix_decisions_run", "run_id", "signalled_at"),
    )

    execution_id: str = _text(primary=True, references="executions.execution_id")
    event_id: int = _big(primary=True)
    run_id: str = _text()
    approval_id: str | None = _text(null=True)
    """None where the signal names no approval of this execution."""
    judged: str = _text()
    reason: str | None = _text(null=True)
    verdict: str | None = _text(null=True)
    principal: str | None = _text(null=True)
    approver: str | None = _text(null=True)
    key_id: str | None = _text(null=True)
    decided_at: datetime | None = _time()
    signalled_at: datetime = _time(null=False)
    identity: str | None = _text(null=True)
    command_id: str | None = _text(null=True)
    inherited: bool = _flag()


class RunChange(SQLModel, table=True):
    """An execution to look at: a hint from a worker, the sweep, a command or the fold itself."""

    __tablename__ = "run_changes"
    __table_args__ = (Index("ix_run_changes_due", "due_at"),)

    execution_id: str = _text(primary=True)
    workflow_id: str = _text()
    namespace: str = _text()
    generation: int = _big(default="1")
    expect: int = _big(default="0")
    """The event id that history has reached at least."""
    due_at: datetime = _time(null=False, now=True)
    urgent_at: datetime | None = _time()
    """Since when it is known that nothing more is to be expected soon: the look needn't wait for it."""
    claimed_until: datetime | None = _time()
    failures: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    last_error: str | None = _text(null=True)


class History(SQLModel, table=True):
    """The whole history of a closed execution, for when Temporal has forgotten it: zstd over a serialized `History` message."""

    __tablename__ = "histories"

    execution_id: str = _text(primary=True)
    run_id: str = _text()
    workflow_id: str = _text()
    namespace: str = _text()
    event_count: int = Field(nullable=False)
    events: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    archived_at: datetime = _time(null=False, now=True)


# --- telemetry (partitioned by time in the migration) ---------------------------------------------------------------


class Job(SQLModel, table=True):
    """One attempt of a step on one worker, as the worker told it."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("status IN ('running', 'completed', 'failed', 'cancelled')", name="status"),
        Index("ix_jobs_execution", "execution_id", "started_at"),
        {"postgresql_partition_by": "RANGE (started_at)"},
    )

    job_id: str = _text(primary=True)
    """`execution/activity id/attempt`, with the start in milliseconds for a local activity."""
    started_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True, nullable=False))
    execution_id: str = _text()
    workflow_id: str = _text()
    activity_id: str = _text()
    activity_type: str = _text()
    attempt: int = Field(nullable=False)
    local: bool = _flag()
    call_key: str | None = _text(null=True)
    worker: str = _text()
    task_queue: str = _text()
    status: str = _text()
    finished_at: datetime | None = _time()
    error: Any = _json()


class Log(SQLModel, table=True):
    """One line that a workflow or a tool wrote."""

    __tablename__ = "logs"
    __table_args__ = (
        Index("ix_logs_execution", "execution_id", "log_id"),
        {"postgresql_partition_by": "RANGE (logged_at)"},
    )

    log_id: int = Field(sa_column=Column(BigInteger, primary_key=True, nullable=False, autoincrement=True))
    logged_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True, nullable=False))
    execution_id: str = _text()
    workflow_id: str = _text()
    activity_id: str | None = _text(null=True)
    attempt: int | None = Field(default=None, nullable=True)
    level: str = _text()
    logger: str = _text()
    message: str = _text()
    fields: Any = _json()
    worker: str = _text()


# --- control -------------------------------------------------------------------------------------------------------


class Command(SQLModel, table=True):
    """One change asked for by somebody, recorded before it is carried out. The audit log is this table."""

    __tablename__ = "commands"
    __table_args__ = (
        _one_of("status", CommandStatus),
        Index("ix_commands_newest", text("created_at DESC"), text("command_id DESC")),
        Index("ix_commands_run", "run_id", "created_at"),
        Index("ix_commands_principal", "principal", text("created_at DESC")),
        Index("ix_commands_kind", "kind", text("created_at DESC"), text("command_id DESC")),
        Index(
            "ix_commands_status",
            "status",
            text("created_at DESC"),
            text("command_id DESC"),
            postgresql_where=text("status <> 'applied'"),
        ),
        Index(
            "ix_commands_approval",
            "approval_id",
            text("created_at DESC"),
            text("command_id DESC"),
            postgresql_where=text("approval_id IS NOT NULL"),
        ),
        Index("ix_commands_undelivered", "next_attempt_at", postgresql_where=text("status = 'pending'")),
        Index(
            "uq_commands_idempotency",
            "principal",
            "route",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
    )

    command_id: str = _text(primary=True)
    kind: str = _text()
    status: str = _text()
    principal: str = _text()
    key_id: str | None = _text(null=True)
    """The API key that asked, not its secret."""
    run_id: str | None = _text(null=True)
    execution_id: str | None = _text(null=True)
    approval_id: str | None = _text(null=True)
    target: str | None = _text(null=True)
    """The tool, workflow, rule, principal or key meant, for commands that are not about a run."""
    route: str = _text(default="''")
    idempotency_key: str | None = _text(null=True)
    body_digest: str | None = _text(null=True)
    body: Any = _json()
    reason: str | None = _text(null=True)
    """What the principal said: the reason of a cancel, the comment of a decision."""
    outcome: Any = _json()
    """What came of it: the error of a refused or failed one, Temporal's answer otherwise."""
    address: str | None = _text(null=True)
    created_at: datetime = _time(null=False, now=True)
    delivered_at: datetime | None = _time()
    settled_at: datetime | None = _time()
    attempts: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    next_attempt_at: datetime | None = _time()


class PrincipalRow(SQLModel, table=True):
    """Who may ask, with roles and groups."""

    __tablename__ = "principals"
    __table_args__ = (_one_of("kind", PrincipalKind),)

    name: str = _text(primary=True)
    kind: str = _text()
    roles: list[str] = _texts()
    groups: list[str] = _texts()
    disabled_at: datetime | None = _time()
    created_at: datetime = _time(null=False, now=True)


class ApiKey(SQLModel, table=True):
    """A principal's key: only SHA-256 of its secret is stored."""

    __tablename__ = "api_keys"
    __table_args__ = (
        Index("ix_api_keys_newest", text("created_at DESC"), text("key_id DESC")),
        Index("ix_api_keys_principal", "principal", text("created_at DESC"), text("key_id DESC")),
    )

    key_id: str = _text(primary=True)
    principal: str = _text(references="principals.name")
    secret_hash: str = _text()
    note: str = _text(default="''")
    created_by: str = _text(default="'system'")
    """Who has seen its secret beside its owner: `system` where it was made on the database's side."""
    created_at: datetime = _time(null=False, now=True)
    expires_at: datetime = _time(null=False)
    last_used_at: datetime | None = _time()
    revoked_at: datetime | None = _time()


class SigningKey(SQLModel, table=True):
    """A public key of the API's. Retired, new terms don't name it; revoked, nothing that it signed counts."""

    __tablename__ = "signing_keys"

    key_id: str = _text(primary=True)
    public_key: str = _text()
    created_at: datetime = _time(null=False, now=True)
    retired_at: datetime | None = _time()
    revoked_at: datetime | None = _time()


class Policy(SQLModel, table=True):
    """One version of a rule; the newest version of a rule id holds, unless withdrawn."""

    __tablename__ = "policies"
    __table_args__ = (
        CheckConstraint("effect IN ('allow', 'require_approval', 'deny')", name="effect"),
        CheckConstraint("expires_seconds > 0", name="expires_seconds"),
    )

    rule_id: str = _text(primary=True)
    version: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    tool: str = _text()
    effect: str = _text()
    approvers: list[str] = _texts()
    expires_seconds: float = Field(nullable=False)
    reason: str = _text(default="''")
    disabled: bool = _flag()
    """The kill switch: no call of the tool, whatever the effect says."""
    withdrawn: bool = _flag()
    created_by: str = _text()
    created_at: datetime = _time(null=False, now=True)


class WorkflowPolicy(SQLModel, table=True):
    """One setting of a workflow's kill switch; the newest version holds."""

    __tablename__ = "workflow_policies"

    workflow: str = _text(primary=True)
    version: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    disabled: bool = _flag()
    """No tool call of its runs passes, and nobody starts it."""
    reason: str = _text(default="''")
    created_by: str = _text()
    created_at: datetime = _time(null=False, now=True)


class PolicySnapshot(SQLModel, table=True):
    """The document that workers read; the newest version holds."""

    __tablename__ = "policy_snapshots"

    version: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    document: dict[str, Any] = _json(null=False)
    made_at: datetime = _time(null=False, now=True)


class Event(SQLModel, table=True):
    """One change for live readers. Sequence order is commit order: inserted under an advisory lock, last in its batch."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_run", "run_id", "event_id"), Index("ix_events_created", "created_at"))

    event_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    run_id: str = _text()
    kind: str = _text()
    """`run`, `step`, `approval` or `end`."""
    subject: str | None = _text(null=True)
    """The step's or approval's id."""
    data: Any = _json(null=False)
    created_at: datetime = _time(null=False, now=True)


class ProjectorState(SQLModel, table=True):
    """What the projectors know of themselves: cursors of the sweep, lag, last verification."""

    __tablename__ = "projector_state"

    name: str = _text(primary=True)
    value: Any = _json(null=False)
    updated_at: datetime = _time(null=False, now=True)
