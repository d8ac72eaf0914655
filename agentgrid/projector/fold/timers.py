"""Timers: steps, unless they are an approval's expiry, a pause between decisions, a local activity's backoff or a call's wait for policy."""

from __future__ import annotations

from datetime import datetime, timedelta

from agentgrid.domain.steps import StepKind, StepStatus
from agentgrid.projector import history_events
from agentgrid.projector.fold import approvals
from agentgrid.projector.fold.passing import Pass
from agentgrid.projector.fold.state import GateTimer, IdleTimer, StepTimer
from agentgrid.protocol import TIMER_JUDGING, TIMER_POLICY

BACKOFF_ROUNDED = 0.001
"""Maximum difference in seconds between a marker's backoff and its timer: Java's markers use whole milliseconds."""


def started(fold: Pass, event: history_events.TimerStarted) -> None:
    """What the timer is for decides what it is shown as."""
    due_at = event.at + timedelta(seconds=event.seconds)
    backoff, fold.state.backoff = fold.state.backoff, None
    if approvals.timer_started(fold, event) or _policy_wait(fold, event, due_at):
        return
    if event.summary == TIMER_JUDGING:
        fold.state.timers[event.event_id] = IdleTimer()
        return
    if (
        backoff is not None
        and abs(backoff.seconds - event.seconds) < BACKOFF_ROUNDED
        and backoff.step in fold.state.steps
    ):
        fold.state.timers[event.event_id] = StepTimer(step=backoff.step)
        fold.move_step(backoff.step, StepStatus.SCHEDULED, due_at=due_at)
        return
    fold.open_step(event, StepKind.TIMER, event.summary or "timer", StepStatus.WAITING, due_at=due_at)


def _policy_wait(fold: Pass, event: history_events.TimerStarted, due_at: datetime) -> bool:
    """Whether the timer is the pause of a call that waits for policy."""
    if event.summary is None or not event.summary.startswith(TIMER_POLICY):
        return False
    key = event.summary.removeprefix(TIMER_POLICY)
    waits = (at for at, step in fold.state.steps.items() if step.call_key == key and step.policy_tries)
    step = next((at for at in waits if fold.state.steps[at].status == StepStatus.WAITING.value), None)
    if step is None:
        return False
    fold.state.timers[event.event_id] = StepTimer(step=step)
    fold.move_step(step, StepStatus.WAITING, due_at=due_at)
    return True


def ended(fold: Pass, event: history_events.TimerEnded) -> None:
    """Fired or cancelled."""
    match fold.state.timers.pop(event.started_event_id, None):
        case None:
            status = StepStatus.COMPLETED if event.fired else StepStatus.CANCELLED
            fold.close_step(event.started_event_id, event, status)
        case GateTimer(gate=approval_id):
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
