"""Words that options take. A separate module without imports, because every command's options need it.

The statuses duplicate those in `agentgrid.domain`, to avoid the cost of importing it at every start.
"""

from __future__ import annotations

from enum import StrEnum


class OutputFormat(StrEnum):
    """The output format."""

    TABLE = "table"
    JSON = "json"


class RunStatus(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"
    TIMED_OUT = "timed_out"


class WaitingOn(StrEnum):
    """What a waiting run waits on."""

    APPROVAL = "approval"
    TIMER = "timer"
    SIGNAL = "signal"
    CHILD = "child"
    WORKER = "worker"
    RETRY = "retry"
    POLICY = "policy"


class ApprovalStatus(StrEnum):
    """Where an approval stands."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class CommandStatus(StrEnum):
    """What became of a command."""

    PROPOSED = "proposed"
    PENDING = "pending"
    DELIVERED = "delivered"
    APPLIED = "applied"
    SUPERSEDED = "superseded"
    REFUSED = "refused"
    FAILED = "failed"
