"""Approvals, and the signals that decide and control runs, as folded from history."""

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
from agentgrid.domain.approval_status import ApprovalStatus

EXPIRY = text("coalesce(expires_at, 'infinity'::timestamptz)")
"""When an approval expires, for sorting: approvals without an expiry yet come last."""


class Approval(SQLModel, table=True):
    """A request in a run that waits, or waited, for people."""

    __tablename__ = "approvals"
    __table_args__ = (
        columns.one_of("status", ApprovalStatus),
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
        Index(
            "ix_approvals_agent",
            "agent",
            text("opened_at DESC"),
            text("approval_id DESC"),
            postgresql_where=text("NOT inherited AND agent IS NOT NULL"),
        ),
        Index("ix_approvals_run", "run_id", "opened_at"),
        Index("ix_approvals_expiring", "expires_at", postgresql_where=text("status = 'pending' AND NOT inherited")),
        Index(
            "ix_approvals_urgency",
            "risk",
            EXPIRY,
            "approval_id",
            postgresql_where=text("status = 'pending' AND NOT inherited"),
        ),
        columns.searched("ix_approvals_titles", "lower(asked)", where="asked IS NOT NULL AND NOT inherited"),
        Index(
            "ix_approvals_shape",
            "shape",
            text("closed_at DESC"),
            postgresql_where=text("NOT inherited AND closed_at IS NOT NULL"),
        ),
        Index(
            "ix_approvals_decided_by",
            "decided_by",
            text("opened_at DESC"),
            text("approval_id DESC"),
            postgresql_where=text("NOT inherited AND decided_by IS NOT NULL"),
        ),
        Index(
            "ix_approvals_approvers", "approvers", postgresql_using="gin", postgresql_where=text("status = 'pending'")
        ),
    )

    execution_id: str = columns.text(primary=True, references="executions.execution_id")
    approval_id: str = columns.text(primary=True)
    run_id: str = columns.text()
    step_event_id: int = columns.big()
    opened_event_id: int = columns.big()
    inherited: bool = columns.flag()
    kind: str = columns.text()
    title: str = columns.text()
    asked: str | None = columns.text(null=True)
    """What the approval asks, in one line: an explicit approval's title, or the tool's template filled with the arguments. Quotes payloads. None
    without a template, or if the tool's version was not registered yet when the approval opened."""
    tool: str | None = columns.text(null=True)
    tool_version: str | None = columns.text(null=True)
    risk: str | None = columns.text(null=True)
    """The tool's risk on the requesting worker; None for an explicit approval, a plain activity, and an older worker."""
    shape: str | None = columns.text(null=True)
    """Equal for approvals that ask for the same thing with different values: `domain.shapes`."""
    arguments: Any = columns.json()
    """The small scalars among the arguments, for lists."""
    agent: str | None = columns.text(null=True)
    """The requesting agent, from the call's header."""
    agent_version: str | None = columns.text(null=True)
    turn: int | None = columns.big(null=True)
    """The agent's model turn that requested the call."""
    digest: str = columns.text()
    policy: str | None = columns.text(null=True)
    approvers: list[str] = columns.texts()
    initiator: str | None = columns.text(null=True)
    """The initiator claimed by the worker; the run's own `initiator` is authoritative."""
    terms: Any = columns.json(null=False)
    payload: Any = columns.json()
    """What approvers see, as a stored payload: exactly the arguments that the digest covers."""
    status: str = columns.text()
    decidable: bool = columns.flag()
    """True while the expiry timer runs; the API signs decisions only then."""
    opened_at: datetime = columns.time(null=False)
    expires_at: datetime | None = columns.time()
    closed_at: datetime | None = columns.time()
    decided_by: str | None = columns.text(null=True)
    """None if undecided or if the decision is unattributed."""
    attributed: bool | None = Field(default=None, nullable=True)
    """Whether a registered key and a matching command confirm who decided; None if undecided."""
    unattributed_because: str | None = columns.text(null=True)
    decision_event_id: int | None = columns.big(null=True)
    command_id: str | None = columns.text(null=True)
    changed: Any = columns.json()
    """The arguments that the decision approved instead of the requested ones, as a stored payload."""
    changed_digest: str | None = columns.text(null=True)
    proposed_by: str | None = columns.text(null=True)
    """The other approver, who proposed the changed arguments, according to the decision."""
    change_refused: str | None = columns.text(null=True)
    """Why the worker rejected an earlier decision's changed arguments, which opened this approval."""


class DecisionRow(SQLModel, table=True):
    """The verdict of `judge` on one decision signal, refused ones included."""

    __tablename__ = "decisions"
    __table_args__ = (
        CheckConstraint("judged IN ('counted', 'superseded', 'refused')", name="judged"),
        Index("ix_decisions_approval", "approval_id"),
        Index("ix_decisions_run", "run_id", "signalled_at"),
        Index(
            "ix_decisions_refused",
            text("signalled_at DESC"),
            postgresql_where=text("judged = 'refused' AND NOT inherited"),
        ),
        Index(
            "ix_decisions_unattributed",
            text("signalled_at DESC"),
            text("execution_id DESC"),
            text("event_id DESC"),
            postgresql_where=text("judged = 'counted' AND NOT attributed AND NOT inherited"),
        ),
    )

    execution_id: str = columns.text(primary=True, references="executions.execution_id")
    event_id: int = columns.big(primary=True)
    run_id: str = columns.text()
    approval_id: str | None = columns.text(null=True)
    """None if the signal doesn't name an approval of this execution."""
    judged: str = columns.text()
    reason: str | None = columns.text(null=True)
    verdict: str | None = columns.text(null=True)
    principal: str | None = columns.text(null=True)
    """The principal that the signal names; trustworthy only if `attributed`."""
    attributed: bool = columns.flag()
    unattributed_because: str | None = columns.text(null=True)
    approver: str | None = columns.text(null=True)
    key_id: str | None = columns.text(null=True)
    decided_at: datetime | None = columns.time()
    signalled_at: datetime = columns.time(null=False)
    identity: str | None = columns.text(null=True)
    command_id: str | None = columns.text(null=True)
    inherited: bool = columns.flag()


class Control(SQLModel, table=True):
    """A signal that paused, resumed or interrupted an execution."""

    __tablename__ = "controls"
    __table_args__ = (
        CheckConstraint("action IN ('pause', 'resume', 'interrupt')", name="action"),
        Index("ix_controls_run", "run_id", "signalled_at"),
        Index(
            "ix_controls_unattributed",
            text("signalled_at DESC"),
            text("execution_id DESC"),
            text("event_id DESC"),
            postgresql_where=text("NOT attributed AND NOT inherited"),
        ),
    )

    execution_id: str = columns.text(primary=True, references="executions.execution_id")
    event_id: int = columns.big(primary=True)
    run_id: str = columns.text()
    action: str = columns.text()
    principal: str | None = columns.text(null=True)
    """The principal that the signal names; trustworthy only if `attributed`."""
    attributed: bool = columns.flag()
    unattributed_because: str | None = columns.text(null=True)
    signalled_at: datetime = columns.time(null=False)
    identity: str | None = columns.text(null=True)
    command_id: str | None = columns.text(null=True)
    inherited: bool = columns.flag()
