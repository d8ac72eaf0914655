"""Enums of the overview: what happens next, and what needs attention."""

from __future__ import annotations

from enum import StrEnum


class NextKind(StrEnum):
    """What will happen without anybody's action."""

    APPROVAL_EXPIRES = "approval_expires"
    TIMER = "timer"
    """A timer fires, or another wait ends at a time known from history."""
    RETRY = "retry"
    START = "start"
    """A run with a delayed start begins."""


class Sign(StrEnum):
    """What needs attention, according to the database."""

    QUEUE = "queue"
    """Runs wait for a worker of the queue."""
    SWITCH = "switch"
    COMMANDS = "commands"
    SIGNALS = "signals"


class ConditionKind(StrEnum):
    """What needs attention, as the overview shows it."""

    TEMPORAL_AWAY = "temporal_away"
    """Temporal is unreachable: lists show the last known state, and new runs are queued."""
    PROJECTION_BEHIND = "projection_behind"
    """The projection lags behind Temporal's history."""
    QUEUE_UNSERVED = "queue_unserved"
    """No live worker polls the task queue, and runs wait for one."""
    QUEUE_WAITING = "queue_waiting"
    """Runs wait for a worker with their code, although the task queue is polled, or Temporal doesn't report whether it is."""
    WORKER_STALE = "worker_stale"
    """A worker has sent no heartbeat for 150 s and did not shut down."""
    SWITCHED_OFF = "switched_off"
    """A kill switch is on."""
    COMMANDS_PENDING = "commands_pending"
    """Commands were not delivered within 10 s. Delivery is retried until it succeeds."""
    SIGNALS_REFUSED = "signals_refused"
    """Decision signals of the last 24 h were unsigned, forged or for another approval. They had no effect."""
