"""One pass of the fold: the state that it advances and the row changes that it collects, with the operations that all event handlers share."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Unpack

from agentgrid.domain.steps import StepKind, StepStatus
from agentgrid.projector.fold.columns import StepColumns
from agentgrid.projector.fold.row_changes import RowChanges
from agentgrid.projector.fold.state import FoldState, OpenStep
from agentgrid.projector.history_events import DecodedEvent

LIVE_CLEARED: StepColumns = {
    "live_state": None,
    "live_attempt": None,
    "live_error": None,
    "live_next_retry_at": None,
    "live_heartbeat_at": None,
    "live_worker": None,
}
"""Clears Temporal's last report about an attempt, which is outdated once history has newer events."""

FAILED = frozenset({StepStatus.FAILED, StepStatus.TIMED_OUT})


@dataclass(kw_only=True)
class Pass:
    """The state of one execution, and the row changes of this pass."""

    state: FoldState
    changes: RowChanges = field(default_factory=RowChanges)

    def open_step(
        self, event: DecodedEvent, kind: StepKind, name: str, status: StepStatus, /, **columns: Unpack[StepColumns]
    ) -> OpenStep:
        """Open a step whose key is this event's id. parent: the key of the open step that it belongs to."""
        title, due_at, parent = columns.get("title"), columns.get("due_at"), columns.get("parent")
        row: StepColumns = {
            "scheduled_at": event.at,
            "title": title,
            "due_at": due_at,
            "parent": parent,
            **columns,
            "event_id": event.event_id,
            "kind": kind.value,
            "name": name,
            "status": status.value,
        }
        self.changes.steps.open(event.event_id, row)
        step = OpenStep(
            kind=kind.value,
            label=title or name,
            status=status.value,
            due_at=iso(due_at),
            since=iso(event.at),
            call_key=columns.get("call_key"),
            attempts=columns.get("attempts", 0),
            parent=parent,
            child=columns.get("child_workflow_id") if kind is StepKind.CHILD else None,
        )
        self.state.steps[event.event_id] = step
        self.state.step_count += 1
        if kind is StepKind.TOOL and name not in self.state.tools:
            self.state.tools = sorted([*self.state.tools, name])
        return step

    def move_step(self, key: int, status: StepStatus, /, **columns: Unpack[StepColumns]) -> None:
        """Change the status of an open step."""
        step = self.state.steps[key]
        step.status = status.value
        if "due_at" in columns:
            step.due_at = iso(columns["due_at"])
        self.changes.steps.patch(key, {**columns, "status": status.value})

    def move_call(self, key: int, status: StepStatus, /, **columns: Unpack[StepColumns]) -> None:
        """Change the status of a call's step, and clear the live report about its attempt."""
        cleared: StepColumns = {**LIVE_CLEARED, **columns}
        self.move_step(key, status, **cleared)

    def close_step(self, key: int, event: DecodedEvent, status: StepStatus, /, **columns: Unpack[StepColumns]) -> None:
        """Close a step; no-op if it isn't open."""
        if self.state.steps.pop(key, None) is None:
            return
        self.state.steps_done += status is not StepStatus.ABANDONED
        self.state.steps_failed += status in FAILED
        self.changes.steps.patch(
            key,
            {
                **LIVE_CLEARED,
                **columns,
                "status": status.value,
                "closed_at": event.at,
                "closed_event_id": event.event_id,
                "due_at": None,
            },
        )


def iso(at: datetime | None) -> str | None:
    """The time as the state stores it."""
    return at.isoformat() if at is not None else None


def when(text: str | None) -> datetime | None:
    """Parse a time stored in the state."""
    return datetime.fromisoformat(text) if text is not None else None
