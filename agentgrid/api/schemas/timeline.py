"""The timeline of a run. Null fields are omitted from the response."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from agentgrid.api.schemas.common import Out, Sparse
from agentgrid.domain.approval_status import ApprovalStatus
from agentgrid.domain.policies import Risk
from agentgrid.domain.runs import RunStatus
from agentgrid.domain.steps import JobStatus, StepKind, StepStatus


class AttemptError(Sparse):
    """Why an attempt failed. Callers who may not read payloads see only its class."""

    type: str | None = None
    message: str | None = Field(None, description="At most 300 characters.")


class AttemptOut(Sparse):
    """One attempt of a step on a worker."""

    n: int = Field(
        description="Counted from 1 over all calls of the step, including those that only requested an approval."
    )
    status: JobStatus = Field(description="`gated`: it requested an approval instead of doing the work.")
    started_at: datetime
    finished_at: datetime | None = None
    error: AttemptError | None = None
    worker: str | None = None


class TimelineGate(Sparse):
    """The approval that a step is or was waiting for."""

    approval_id: str
    status: ApprovalStatus
    approvers: list[str]
    opened_at: datetime
    closed_at: datetime | None = None


class TimelineUsage(Sparse):
    """Usage of a model turn, or of an agent so far."""

    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = Field(None, description="US dollars, excluding requests with an unknown price.")
    unpriced: int = Field(0, description="The number of requests with an unknown price.")
    tool_calls: int | None = None
    model: str | None = None
    latency_ms: int | None = None


class TimelineStep(Sparse):
    """One step, without payloads."""

    execution_id: str
    event_id: int
    parent: int | None = Field(None, description="The `event_id` of its parent step in the same execution.")
    turn: int | None = None
    kind: StepKind
    name: str = Field(
        description="`approval` for an explicit approval unless the caller may read payloads, because its title is a payload."
    )
    title: str = Field(
        description="A display title, such as `Sleep 3 s` for a timer or `Waits for support-leads` for an approval."
    )
    label: str | None = Field(
        None,
        description="The first short arguments of a tool or agent call, to tell it apart from its siblings. Only for callers who may read "
        "payloads.",
    )
    status: StepStatus
    risk: Risk | None = Field(None, description="The risk of a tool as currently registered.")
    inherited: Literal[True] | None = Field(None, description="Copied by a reset from the previous execution.")
    local: Literal[True] | None = None
    attempt_count: int = Field(description="The number of attempts at the work itself.")
    attempts: list[AttemptOut] | None = Field(
        None,
        description="The newest 20, oldest first, if there was more than one; from workers' reports, corrected by history.",
    )
    activity_id: str | None = None
    activity_ids: list[str] | None = Field(
        None,
        description="All activity ids of the step, if there is more than one: after an approval, the call is a new activity.",
    )
    worker: str | None = None
    approval_id: str | None = None
    gate: TimelineGate | None = None
    child_workflow_id: str | None = None
    scheduled_at: datetime
    started_at: datetime | None = None
    closed_at: datetime | None = None
    due_at: datetime | None = Field(None, description="When a timer fires or an approval expires.")
    live_state: str | None = None
    live_attempt: int | None = None
    live_next_retry_at: datetime | None = None
    live_heartbeat_at: datetime | None = None
    live_worker: str | None = None
    live_error_type: str | None = Field(None, description="The class of the error of the last failed attempt.")
    error_type: str | None = Field(None, description="The class of the step's error.")
    usage: TimelineUsage | None = Field(None, description="Usage of a model turn, or of an agent so far.")


class StepBin(Out):
    """The steps of a group that ended within one interval; for open ones, those scheduled within it."""

    done: int
    failed: int
    open: int


class StepGroup(Sparse):
    """Consecutive siblings of the same kind and name. To expand, request the timeline with `execution`, `first` and `last`, or list the steps."""

    execution_id: str
    parent: int | None = None
    kind: StepKind
    name: str
    first: int = Field(description="The `event_id` of the first step.")
    last: int = Field(description="The `event_id` of the last step.")
    count: int
    done: int
    failed: int = Field(description="Failed, timed out, cancelled or abandoned.")
    open: int
    beneath: int = Field(description="The number of descendant steps, at any depth.")
    first_at: datetime
    last_at: datetime
    bins: list[StepBin] = Field(description="Intervals of equal length from `first_at` to `last_at`.")


class UsualStep(Sparse):
    """A step that earlier runs took next."""

    kind: StepKind
    name: str
    title: str | None = None
    count: int = Field(description="The number of earlier runs that took it.")


class UsualNext(Out):
    """What usually comes next, from the newest completed runs of the same version of the workflow."""

    runs: int = Field(description="The number of runs considered; at most 50.")
    steps: list[UsualStep] = Field(
        description="In the usual order, excluding those this run has already taken; at most 8."
    )


class Timeline(Sparse):
    """The steps of a run's newest executions, oldest first, in one response."""

    run_id: str
    status: RunStatus
    as_of: int = Field(
        description="The id of the newest event (`GET /events`) included in this response. Apply only later events to it."
    )
    at: datetime = Field(description="The server's time.")
    payloads_visible: bool
    step_count: int = Field(description="The number of steps of the run, as counted by the projector.")
    complete: bool = Field(description="False if the oldest steps are missing, both from `steps` and from the groups.")
    working_seconds: float = Field(
        description="Time in which at least one tool, model, activity, update or Nexus operation was running. For retried steps, the last attempt "
        "and the others in `attempts` count. Groups count from their first to their last step."
    )
    waiting_seconds: float = Field(description="The rest of the time from start to end, or until now.")
    people_seconds: float = Field(description="The part of the total time in which an approval was open.")
    steps: list[TimelineStep]
    groups: list[StepGroup] = Field(description="Fan-outs, collapsed only if the run has more steps than `limit`.")
    usual_next: UsualNext | None = Field(None, description="Only for an open run.")
