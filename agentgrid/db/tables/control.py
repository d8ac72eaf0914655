"""Intent: commands, principals and keys, policies and kill switches; and the events of live streams."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    text,
)
from sqlmodel import Field, SQLModel

from agentgrid.db.tables import columns
from agentgrid.domain.approvals import Changes
from agentgrid.domain.commands import CommandStatus
from agentgrid.domain.principals import PrincipalKind
from agentgrid.domain.reads import ReadOutcome
from agentgrid.domain.steps import StepKind


class Command(SQLModel, table=True):
    """One requested change, recorded before it is carried out. This table is the audit log."""

    __tablename__ = "commands"
    __table_args__ = (
        columns.one_of("status", CommandStatus),
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
        Index(
            "ix_commands_target",
            "target",
            text("created_at DESC"),
            text("command_id DESC"),
            postgresql_where=text("target IS NOT NULL"),
        ),
        Index(
            "ix_commands_address",
            "address",
            text("created_at DESC"),
            text("command_id DESC"),
            postgresql_where=text("address IS NOT NULL"),
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

    command_id: str = columns.text(primary=True)
    kind: str = columns.text()
    status: str = columns.text()
    principal: str = columns.text()
    key_id: str | None = columns.text(null=True)
    """The id of the API key used, not its secret."""
    session_id: str | None = columns.text(null=True)
    """The browser session used, if any."""
    run_id: str | None = columns.text(null=True)
    execution_id: str | None = columns.text(null=True)
    approval_id: str | None = columns.text(null=True)
    target: str | None = columns.text(null=True)
    """The tool, workflow, rule, principal or key, for commands that are not about a run."""
    route: str = columns.text(default="''")
    idempotency_key: str | None = columns.text(null=True)
    body_digest: str | None = columns.text(null=True)
    body: Any = columns.json()
    reason: str | None = columns.text(null=True)
    """The principal's own words: the reason for a cancel, the comment on a decision."""
    outcome: Any = columns.json()
    """The error of a refused or failed command; otherwise Temporal's response."""
    address: str | None = columns.text(null=True)
    created_at: datetime = columns.time(null=False, now=True)
    delivered_at: datetime | None = columns.time()
    settled_at: datetime | None = columns.time()
    attempts: int = Field(default=0, nullable=False, sa_column_kwargs={"server_default": "0"})
    next_attempt_at: datetime | None = columns.time()


class ReadRow(SQLModel, table=True):
    """Identical reads, refusals or requests without a valid key within a minute: same principal, route and subject."""

    __tablename__ = "reads"
    __table_args__ = (
        columns.one_of("outcome", ReadOutcome),
        Index("ix_reads_newest", text("at DESC"), text("read_id DESC")),
        Index(
            "ix_reads_principal",
            "principal",
            text("at DESC"),
            text("read_id DESC"),
            postgresql_where=text("principal IS NOT NULL"),
        ),
        Index(
            "ix_reads_subject",
            "subject",
            text("at DESC"),
            text("read_id DESC"),
            postgresql_where=text("subject IS NOT NULL"),
        ),
        Index(
            "ix_reads_outcome",
            "outcome",
            text("at DESC"),
            text("read_id DESC"),
            postgresql_where=text("outcome <> 'read'"),
        ),
    )

    read_id: str = columns.text(primary=True)
    at: datetime = columns.time(null=False)
    """The time of the first one."""
    last_at: datetime = columns.time(null=False)
    principal: str | None = columns.text(null=True)
    key_id: str | None = columns.text(null=True)
    address: str | None = columns.text(null=True)
    route: str = columns.text()
    """The route's path pattern."""
    subject: str | None = columns.text(null=True)
    """The run, approval or command; None if there were too many within the minute to list separately."""
    outcome: str = columns.text()
    count: int = Field(nullable=False)


class PrincipalRow(SQLModel, table=True):
    """Who may use the API, with roles and groups."""

    __tablename__ = "principals"
    __table_args__ = (columns.one_of("kind", PrincipalKind),)

    name: str = columns.text(primary=True)
    kind: str = columns.text()
    roles: list[str] = columns.texts()
    groups: list[str] = columns.texts()
    workflows: list[str] = columns.texts(default="'{*}'")
    """Globs of the workflows whose runs the principal may see."""
    disabled_at: datetime | None = columns.time()
    created_at: datetime = columns.time(null=False, now=True)


class ApiKey(SQLModel, table=True):
    """A principal's key: only the SHA-256 of its secret is stored."""

    __tablename__ = "api_keys"
    __table_args__ = (
        Index("ix_api_keys_newest", text("created_at DESC"), text("key_id DESC")),
        Index("ix_api_keys_principal", "principal", text("created_at DESC"), text("key_id DESC")),
    )

    key_id: str = columns.text(primary=True)
    principal: str = columns.text(references="principals.name")
    secret_hash: str = columns.text()
    note: str = columns.text(default="''")
    created_by: str = columns.text(default="'system'")
    """Who first requested the key."""
    issuers: list[str] = columns.texts()
    """Everybody who saw the key, took part in creating it, or issued a key used to create it; `system` is the database machine's command line."""
    created_at: datetime = columns.time(null=False, now=True)
    expires_at: datetime = columns.time(null=False)
    last_used_at: datetime | None = columns.time()
    revoked_at: datetime | None = columns.time()


class SessionRow(SQLModel, table=True):
    """A browser session, used instead of a key. It ends with the key, or when it expires."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("uq_sessions_token_hash", "token_hash", unique=True),
        Index("ix_sessions_key", "key_id"),
        Index(
            "ix_sessions_open",
            text("opened_at DESC"),
            text("session_id DESC"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    session_id: str = columns.text(primary=True)
    token_hash: str = columns.text()
    """SHA-256 of the cookie's value."""
    key_id: str = columns.text(references="api_keys.key_id")
    opened_at: datetime = columns.time(null=False, now=True)
    expires_at: datetime = columns.time(null=False)
    """Extended by each recorded use."""
    last_used_at: datetime = columns.time(null=False, now=True)
    ended_at: datetime | None = columns.time()
    address: str | None = columns.text(null=True)
    user_agent: str | None = columns.text(null=True)


class SignInCode(SQLModel, table=True):
    """A single-use code that opens a session under its key."""

    __tablename__ = "sign_in_codes"
    __table_args__ = (Index("ix_sign_in_codes_key", "key_id", "expires_at"),)

    code_hash: str = columns.text(primary=True)
    key_id: str = columns.text(references="api_keys.key_id")
    expires_at: datetime = columns.time(null=False)
    used_at: datetime | None = columns.time()


class WorkerLogin(SQLModel, table=True):
    """A worker's database login, with the grid and the task queues that it may report about. Only the schema's owner writes this table."""

    __tablename__ = "worker_logins"
    __table_args__ = (CheckConstraint("rate > 0", name="rate"),)

    login: str = columns.text(primary=True)
    grid: str = columns.text()
    """A grid's name, or `*` for any."""
    queues: list[str] = columns.texts()
    """Task queues, or `*` for any."""
    rate: float | None = Field(default=None)
    """Maximum reports per second. Never null here: in the SQL functions, null means a control-plane login."""
    created_at: datetime = columns.time(null=False, now=True)
    closed_at: datetime | None = columns.time()


class WorkerBudget(SQLModel, table=True):
    """The remaining budget of a worker's login, and its reports refused since the database server last crashed."""

    __tablename__ = "worker_budgets"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    login: str = columns.text(primary=True)
    reports: float = Field(nullable=False)
    strangers: float = Field(nullable=False)
    """Touches of executions that the projection doesn't know yet."""
    refilled_at: datetime = columns.time(null=False, now=True)
    dropped: int = columns.big(default="0")
    """Refused reports over the rate limit."""
    bad: int = columns.big(default="0")
    """Refused reports that were malformed or had an impossible time."""
    unattributed: int = columns.big(default="0")
    """Refused reports about queues that the login does not serve."""
    registered: float = Field(nullable=False, sa_column_kwargs={"server_default": text("0")})
    """Bytes of new versions that the login registered; decays continuously, by one day's allowance per day."""
    registered_at: datetime = columns.time(null=False, now=True)


class Lock(SQLModel, table=True):
    """A row to lock for changes that must not run concurrently. Worker logins can't access this table."""

    __tablename__ = "locks"

    name: str = columns.text(primary=True)


class DeltaChannel(SQLModel, table=True):
    """The name of the notification channel for parts of model answers: one row. The name is secret, because channels have no permissions."""

    __tablename__ = "delta_channels"

    name: str = columns.text(primary=True)


class SigningKey(SQLModel, table=True):
    """One of the API's public keys. New terms don't name a retired key; nothing signed with a revoked key counts."""

    __tablename__ = "signing_keys"

    key_id: str = columns.text(primary=True)
    public_key: str = columns.text()
    created_at: datetime = columns.time(null=False, now=True)
    retired_at: datetime | None = columns.time()
    revoked_at: datetime | None = columns.time()


class PolicyRow(SQLModel, table=True):
    """One version of a rule; the newest version of a rule id is in force, unless withdrawn."""

    __tablename__ = "policies"
    __table_args__ = (
        columns.one_of("kind", StepKind),
        CheckConstraint("effect IN ('allow', 'require_approval', 'deny')", name="effect"),
        CheckConstraint("expires_seconds > 0", name="expires_seconds"),
        columns.one_of("changes", Changes),
    )

    rule_id: str = columns.text(primary=True)
    version: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    kind: str | None = columns.text(null=True)
    """The kind of calls that the rule applies to; null: tools and plain activities."""
    tool: str = columns.text()
    agent: str | None = columns.text(null=True)
    """The agent whose calls the rule applies to, or a glob; null: all calls."""
    when: Any = columns.json(null=False, default="'[]'")
    """The rule's conditions: `domain.conditions.Condition`."""
    effect: str = columns.text()
    approvers: list[str] = columns.texts()
    expires_seconds: float = Field(nullable=False)
    title: str = columns.text(default="''")
    """The rule in a few words, for approvers."""
    reason: str = columns.text(default="''")
    changes: str = columns.text(default="'one_person'")
    """How many people must approve changed arguments."""
    withdrawn: bool = columns.flag()
    created_by: str = columns.text()
    created_at: datetime = columns.time(null=False, now=True)


class Switch(SQLModel, table=True):
    """One setting of the kill switch of something with a name; the newest version is in force."""

    __tablename__ = "switches"
    __table_args__ = (CheckConstraint("kind ~ '^[a-z][a-z_]{0,62}$'", name="kind"),)

    kind: str = columns.text(primary=True)
    """A `SwitchKind`, or another key of `control.switches.NOUNS`."""
    name: str = columns.text(primary=True)
    version: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    disabled: bool = columns.flag()
    """Whether it is blocked: a tool can't be called, a workflow can't be started."""
    reason: str = columns.text(default="''")
    created_by: str = columns.text()
    created_at: datetime = columns.time(null=False, now=True)


class View(SQLModel, table=True):
    """A saved filter for the list of runs."""

    __tablename__ = "views"

    owner: str = columns.text(primary=True)
    """The principal; empty for a shared view."""
    name: str = columns.text(primary=True)
    version: int = Field(nullable=False)
    title: str = columns.text()
    filter: Any = columns.json(null=False)
    """The list's query parameters, each with its values."""
    changed_by: str = columns.text()
    changed_at: datetime = columns.time(null=False)


class PolicySnapshot(SQLModel, table=True):
    """The document that workers read; the newest version is in force."""

    __tablename__ = "policy_snapshots"

    version: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    document: dict[str, Any] = columns.json(null=False)
    made_at: datetime = columns.time(null=False, now=True)


class EventRow(SQLModel, table=True):
    """One change for live readers. Sequence order is commit order: rows are inserted under a lock (`db/locks.py`), last in their transaction."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_run", "run_id", "event_id"), Index("ix_events_created", "created_at"))

    event_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    run_id: str = columns.text()
    """Empty if the event is not about a run."""
    kind: str = columns.text()
    """`run`, `step`, `approval`, `end`, `command` or `policy`."""
    subject: str | None = columns.text(null=True)
    """The step's, approval's or command's id."""
    data: Any = columns.json(null=False)
    created_at: datetime = columns.time(null=False, now=True)


class ProjectorState(SQLModel, table=True):
    """The projectors' own state: sweep cursors, lag, last verification."""

    __tablename__ = "projector_state"

    name: str = columns.text(primary=True)
    value: Any = columns.json(null=False)
    updated_at: datetime = columns.time(null=False, now=True)
