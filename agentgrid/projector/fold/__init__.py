"""The fold: takes a state and events, returns a new state and row changes. Pure; how the events are split into passes doesn't affect the rows.

Within a pass, events may repeat and come in any order: they are sorted, and those already folded are skipped. A gap is rejected, because the
missing events would change the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from agentgrid.projector import history_events
from agentgrid.projector.fold import activities, approvals, calls, executions, governed, messages, timers
from agentgrid.projector.fold.passing import Pass, iso
from agentgrid.projector.fold.row_changes import RowChanges
from agentgrid.projector.fold.state import FoldState
from agentgrid.projector.history_events import DecodedEvent

FOLD_VERSION = 15
"""A state of another version is discarded, and its execution refolded from the first event."""


class HistoryGap(Exception):
    """Events are missing between the state and the given events."""

    def __init__(self, *, expected: int, got: int) -> None:
        super().__init__(f"expected event {expected}, got {got}")
        self.expected = expected
        self.got = got


_FOLDERS: dict[type[DecodedEvent], Callable[[Pass, Any], None]] = {
    history_events.Started: executions.started,
    history_events.Closed: executions.closed,
    history_events.CancelRequested: executions.cancel_requested,
    history_events.TemporalPaused: executions.temporal_paused,
    history_events.Controlled: executions.controlled,
    history_events.Patched: governed.patched,
    history_events.TaskScheduled: executions.task_scheduled,
    history_events.TaskStarted: executions.task_started,
    history_events.TaskCompleted: executions.task_completed,
    history_events.TaskFailed: executions.task_failed,
    history_events.ActivityScheduled: activities.scheduled,
    history_events.ActivityStarted: activities.started,
    history_events.ActivityClosed: activities.closed,
    history_events.LocalActivity: activities.local,
    history_events.TimerStarted: timers.started,
    history_events.TimerEnded: timers.ended,
    history_events.Decided: approvals.decided,
    history_events.Signaled: messages.signaled,
    history_events.UpdateAdmitted: messages.update_admitted,
    history_events.UpdateAccepted: messages.update_accepted,
    history_events.UpdateCompleted: messages.update_completed,
    history_events.CallInitiated: calls.initiated,
    history_events.CallStarted: calls.started,
    history_events.CallClosed: calls.closed,
}


def fold(state: FoldState, history: Iterable[DecodedEvent]) -> tuple[FoldState, RowChanges]:
    """Fold the new ones of these events into a copy of the state. Raises HistoryGap."""
    fold_pass = Pass(state=FoldState.load(state.dump()))
    new_state = fold_pass.state
    for event in sorted(history, key=lambda event: event.event_id):
        if event.event_id <= new_state.last_event_id:
            continue
        if event.event_id != new_state.last_event_id + 1:
            raise HistoryGap(expected=new_state.last_event_id + 1, got=event.event_id)
        new_state.last_event_id = event.event_id
        new_state.last_event_at = iso(event.at)
        new_state.opaque += event.opaque
        governed.settle_claim(fold_pass, event)
        folder = _FOLDERS.get(type(event))
        if folder is not None:
            folder(fold_pass, event)
    return new_state, fold_pass.changes
