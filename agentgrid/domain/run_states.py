"""A run's state in one word: its status or, for a waiting run, what it waits for."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from agentgrid.domain.runs import RunStatus, WaitingOn


class RunState(StrEnum):
    """A status, or what a waiting run waits for. `stuck` overlaps with the others: a stuck run is also in one of them, unless it waits for a worker."""

    APPROVAL = "approval"
    """Waiting for people."""
    RETRYING = "retrying"
    """Waiting to retry a step."""
    SLEEPING = "sleeping"
    """Waiting for a timer."""
    STUCK = "stuck"
    """Open, and either waiting for a worker or its workflow task keeps failing."""
    WAITING = "waiting"
    """Waiting for anything else: a signal, a child, policy."""
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"
    TIMED_OUT = "timed_out"


WAITS: Mapping[RunState, tuple[str, ...]] = {
    RunState.APPROVAL: (WaitingOn.APPROVAL.value,),
    RunState.RETRYING: (WaitingOn.RETRY.value,),
    RunState.SLEEPING: (WaitingOn.TIMER.value,),
    RunState.WAITING: (WaitingOn.SIGNAL.value, WaitingOn.CHILD.value, WaitingOn.POLICY.value),
}
"""The `waiting_on` values of each waiting state. With `worker`, a run is stuck."""


def state_of(status: str, waiting_on: str | None) -> RunState:
    """The state of a run. A run whose workflow task keeps failing is also stuck, which these columns don't show."""
    if status != RunStatus.WAITING:
        return RunState(status)
    if waiting_on == WaitingOn.WORKER:
        return RunState.STUCK
    return next((state for state, waits in WAITS.items() if waiting_on in waits), RunState.WAITING)
