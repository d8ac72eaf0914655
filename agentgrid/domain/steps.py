"""Steps: what a run did or waits on, and the jobs that carry them out."""

from __future__ import annotations

from enum import StrEnum


class StepKind(StrEnum):
    """The kind of a step."""

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


WORKS = frozenset({StepKind.TOOL, StepKind.MODEL, StepKind.AGENT, StepKind.ACTIVITY, StepKind.UPDATE, StepKind.NEXUS})
"""The kinds of steps that do work while they are open; the others only wait."""


class StepStatus(StrEnum):
    """The status of a step. For an activity, history alone can't tell `scheduled` from `running`; the volatile `live_*` columns can."""

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
    """The status of one attempt on one worker, as reported by the worker and corrected by history."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """It ended, but its worker did not report how, most likely because the worker was killed. Never reported by a worker."""
    GATED = "gated"
    """It requested an approval instead of doing the work. Never reported by a worker, which reports it as failed."""


_ENDS = {
    StepStatus.COMPLETED: JobStatus.COMPLETED,
    StepStatus.FAILED: JobStatus.FAILED,
    StepStatus.CANCELLED: JobStatus.CANCELLED,
}


def job_status(
    reported: JobStatus, *, step: StepStatus | None, last: bool, ended: bool, requested_approval: bool = False
) -> JobStatus:
    """The actual status of an attempt. A worker can die, leave the end to another worker, or fail to deliver its result.

    step: the status of its step, if history has one. last: whether no later attempt is known. ended: whether its execution has ended.
    requested_approval: whether it failed because the call needs an approval.
    """
    if reported is JobStatus.FAILED and requested_approval:
        return JobStatus.GATED
    if reported is JobStatus.RUNNING and (ended or not last or (step is not None and step.closed)):
        return _ENDS.get(step, JobStatus.LOST) if last and step is not None else JobStatus.LOST
    if reported is JobStatus.COMPLETED and (not last or step in (StepStatus.FAILED, StepStatus.TIMED_OUT)):
        return JobStatus.FAILED
    return reported
