"""One pass of the fold: the state it moves on and the changes it gathers, with the few verbs that every family of events needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agentgrid.domain.steps import StepKind, StepStatus
from agentgrid.projector.events import Event
from agentgrid.projector.fold.changes import Changes
from agentgrid.projector.fold.state import OpenStep, State

LIVE_CLEARED: dict[str, Any] = {
    "live_state": None,
    "live_attempt": None,
    "live_error": None,
    "live_next_retry_at": None,
    "live_heartbeat_at": None,
    "live_worker": None,
}
"""What Temporal last reported about an attempt is void once history has more."""

FAILED = frozenset({StepStatus.FAILED, StepStatus.TIMED_OUT})


@dataclass(kw_only=True)
class Pass:
    """The state of one execution and what this pass changes."""

    state: State
    changes: Changes = field(default_factory=Changes)

    def open_step(
        self,
        event: Event,
        *,
        kind: StepKind,
        name: str,
        status: StepStatus,
        title: str | None = None,
        due_at: datetime | None = None,
        scheduled_at: datetime | None = None,
        parent: int | None = None,
        **columns: Any,
    ) -> OpenStep:
        """A new step, whose key is this event's id. parent: the key of the open step that it belongs to."""
        row = {
            "event_id": event.event_id,
            "kind": kind.value,
            "name": name,
            "title": title,
            "status": status.value,
            "scheduled_at": scheduled_at or event.at,
            "due_at": due_at,
            "parent": parent,
            **columns,
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

    def move_step(self, key: int, status: StepStatus, **columns: Any) -> None:
        """Another status of an open step."""
        step = self.state.steps[key]
        step.status = status.value
        if "due_at" in columns:
            step.due_at = iso(columns["due_at"])
        self.changes.steps.patch(key, status=status.value, **columns)

    def close_step(self, key: int, event: Event, status: StepStatus, **columns: Any) -> None:
        """The end of a step; a step that isn't open stays as it is."""
        if self.state.steps.pop(key, None) is None:
            return
        self.state.steps_done += status is not StepStatus.ABANDONED
        self.state.steps_failed += status in FAILED
        self.changes.steps.patch(
            key,
            status=status.value,
            closed_at=event.at,
            closed_event_id=event.event_id,
            due_at=None,
            **LIVE_CLEARED,
            **columns,
        )


def iso(at: datetime | None) -> str | None:
    """A time as the state keeps it."""
    return at.isoformat() if at is not None else None


def when(text: str | None) -> datetime | None:
    """The time that the state kept."""
    return datetime.fromisoformat(text) if text is not None else None
