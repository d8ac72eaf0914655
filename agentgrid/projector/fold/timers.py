"""Timers. They are steps, except for an approval's expiry, a pause between decisions, a local activity's backoff and a call's wait for policy."""

from __future__ import annotations

from datetime import datetime, timedelta

from agentgrid.domain.steps import StepKind, StepStatus
from agentgrid.projector import history_events
from agentgrid.projector.fold import approvals
from agentgrid.projector.fold.passing import Pass
from agentgrid.projector.fold.state import ExpiryTimer, IdleTimer, StepTimer
from agentgrid.protocol import TIMER_JUDGING, TIMER_POLICY

BACKOFF_TOLERANCE = 0.001
"""Maximum difference in seconds between a marker's backoff and its timer, because Java's markers have whole milliseconds."""


def started(fold: Pass, event: history_events.TimerStarted) -> None:
    """A timer starts. Only one without another purpose becomes a step."""
    due_at = event.at + timedelta(seconds=event.seconds)
    backoff, fold.state.backoff = fold.state.backoff, None
    if approvals.timer_started(fold, event) or _policy_wait(fold, event, due_at):
        return
    if event.summary == TIMER_JUDGING:
        fold.state.timers[event.event_id] = IdleTimer()
        return
    if (
        backoff is not None
        and abs(backoff.seconds - event.seconds) < BACKOFF_TOLERANCE
        and backoff.step in fold.state.steps
    ):
        fold.state.timers[event.event_id] = StepTimer(step=backoff.step)
        fold.move_step(backoff.step, StepStatus.SCHEDULED, due_at=due_at)
        return
    fold.open_step(event, StepKind.TIMER, event.summary or "timer", StepStatus.WAITING, due_at=due_at)


def _policy_wait(fold: Pass, event: history_events.TimerStarted, due_at: datetime) -> bool:
    """Whether the timer belongs to a call that waits for policy."""
    if event.summary is None or not event.summary.startswith(TIMER_POLICY):
        return False
    call_key = event.summary.removeprefix(TIMER_POLICY)
    waiting = (key for key, step in fold.state.steps.items() if step.call_key == call_key and step.policy_tries)
    key = next((key for key in waiting if fold.state.steps[key].status == StepStatus.WAITING.value), None)
    if key is None:
        return False
    fold.state.timers[event.event_id] = StepTimer(step=key)
    fold.move_step(key, StepStatus.WAITING, due_at=due_at)
    return True


def ended(fold: Pass, event: history_events.TimerEnded) -> None:
    """A timer fired or was cancelled."""
    match fold.state.timers.pop(event.started_event_id, None):
        case None:
            status = StepStatus.COMPLETED if event.fired else StepStatus.CANCELLED
            fold.close_step(event.started_event_id, event, status)
        case ExpiryTimer(approval=approval_id):
            approvals.timer_ended(fold, event, approval_id)
        case StepTimer(step=step):
            _pause_ended(fold, event, step)


def _pause_ended(fold: Pass, event: history_events.TimerEnded, key: int) -> None:
    if key not in fold.state.steps:
        return
    if event.fired:
        fold.move_step(key, StepStatus.SCHEDULED, due_at=None)
    else:
        fold.state.local = {thread: at for thread, at in fold.state.local.items() if at != key}
        fold.close_step(key, event, StepStatus.CANCELLED)
