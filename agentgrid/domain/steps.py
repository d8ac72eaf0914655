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
    """How one attempt on one worker went: as the worker told it, and as history corrects that."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """It is over, and its worker has not told how it ended: most likely it was killed. No worker tells this."""


_ENDS = {
    StepStatus.COMPLETED: JobStatus.COMPLETED,
    StepStatus.FAILED: JobStatus.FAILED,
    StepStatus.CANCELLED: JobStatus.CANCELLED,
}


def job_status(told: JobStatus, *, step: StepStatus | None, last: bool, ended: bool) -> JobStatus:
    """How an attempt went, in truth. A worker can die, leave the end to somebody else, or fail to store what it has made.

    step: where its step stands, if history names one. last: no later attempt is known. ended: its execution has.
    """
    if told is JobStatus.RUNNING and (ended or not last or (step is not None and step.closed)):
        return _ENDS.get(step, JobStatus.LOST) if last and step is not None else JobStatus.LOST
    if told is JobStatus.COMPLETED and (not last or step in (StepStatus.FAILED, StepStatus.TIMED_OUT)):
        return JobStatus.FAILED
    return told
