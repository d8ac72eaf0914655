"""The words of the overview: what happens next, and what needs attention."""

from __future__ import annotations

from enum import StrEnum


class NextKind(StrEnum):
    """What will happen by itself."""

    APPROVAL_EXPIRES = "approval_expires"
    TIMER = "timer"
    """A timer fires, or a run's wait ends in another way that its history sets a time for."""
    RETRY = "retry"
    START = "start"
    """A run that was started for later begins."""


class Sign(StrEnum):
    """What the database shows to need attention."""

    QUEUE = "queue"
    """Runs wait for a worker of the queue."""
    SWITCH = "switch"
    COMMANDS = "commands"
    SIGNALS = "signals"


class ConditionKind(StrEnum):
    """What needs attention, as the overview shows it."""

    TEMPORAL_AWAY = "temporal_away"
    """Temporal doesn't answer: lists show what was known, and what is started is queued."""
    PROJECTION_BEHIND = "projection_behind"
    """What is shown is older than Temporal's history."""
    QUEUE_UNSERVED = "queue_unserved"
    """No live worker polls the task queue, and runs wait for one."""
    QUEUE_WAITING = "queue_waiting"
    """Runs wait for a worker that has their code, although the task queue is polled, or Temporal doesn't say whether it is."""
    WORKER_STALE = "worker_stale"
    """A worker has sent no heartbeat for 150 s and did not shut down."""
    SWITCHED_OFF = "switched_off"
    """A kill switch is on."""
    COMMANDS_PENDING = "commands_pending"
    """Commands that were not delivered within 10 s. They are tried again until they are."""
    SIGNALS_REFUSED = "signals_refused"
    """Decision signals of the last 24 h that were unsigned, forged or for something else. They had no effect."""
