"""A step: one thing that a run did or waits on."""

from __future__ import annotations

from enum import StrEnum


class StepKind(StrEnum):
    """What a step is."""

    TOOL = "tool"
    MODEL = "model"
    AGENT = "agent"
    APPROVAL = "approval"
    TIMER = "timer"
    CHILD = "child"
    SIGNAL = "signal"
    ACTIVITY = "activity"
    UPDATE = "update"
    NEXUS = "nexus"


class StepStatus(StrEnum):
    """Where a step stands. History alone can't tell `scheduled` from `running` for an activity; the volatile `live_*` columns can."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    ABANDONED = "abandoned"
    """The run closed before the step ended."""

    @property
    def closed(self) -> bool:
        """Whether the step has ended."""
        return self not in (StepStatus.SCHEDULED, StepStatus.RUNNING, StepStatus.WAITING)


class JobStatus(StrEnum):
    """How one attempt on one worker went, as the worker told it."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
