"""The fold: a state and events in, another state and row changes out. Pure; the same rows wherever the events are cut.

Events may come twice and in any order within a pass: they are sorted and what is already folded is left out. A gap is refused, because what
is missing would change what follows.
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

FOLD_VERSION = 14
"""A state of another version is thrown away and its execution folded again from its first event."""


class HistoryGap(Exception):
    """The events don't follow on what was folded before."""

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
    """Fold what is new of these events into a copy of the state. Raises HistoryGap."""
    fold_pass = Pass(state=FoldState.load(state.dump()))
    moved = fold_pass.state
    for event in sorted(history, key=lambda each: each.event_id):
        if event.event_id <= moved.last_event_id:
            continue
        if event.event_id != moved.last_event_id + 1:
            raise HistoryGap(expected=moved.last_event_id + 1, got=event.event_id)
        moved.last_event_id = event.event_id
        moved.last_event_at = iso(event.at)
        moved.opaque += event.opaque
        governed.follows(fold_pass, event)
        folder = _FOLDERS.get(type(event))
        if folder is not None:
            folder(fold_pass, event)
    return moved, fold_pass.changes
