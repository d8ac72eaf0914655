"""The timeline of a run. What is null is left out of the response."""

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
    """Why an attempt failed. For callers who may not read payloads, its class alone."""

    type: str | None = None
    message: str | None = Field(None, description="At most 300 characters.")


class AttemptOut(Sparse):
    """One attempt of a step on a worker."""

    n: int = Field(description="Counted from 1 over the step's calls, those that only asked for an approval included.")
    status: JobStatus = Field(description="`gated`: it asked for an approval instead of doing the work.")
    started_at: datetime
    finished_at: datetime | None = None
    error: AttemptError | None = None
    worker: str | None = None


class TimelineGate(Sparse):
    """The approval that a step waits or waited for."""

    approval_id: str
    status: ApprovalStatus
    approvers: list[str]
    opened_at: datetime
    closed_at: datetime | None = None


class TimelineUsage(Sparse):
    """What a model turn, or an agent so far, used."""

    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = Field(None, description="US dollars; without the requests whose price is unknown.")
    unpriced: int = Field(0, description="Requests whose price is unknown, which is not 0.")
    tool_calls: int | None = None
    model: str | None = None
    latency_ms: int | None = None


class TimelineStep(Sparse):
    """One step, without payloads."""

    execution_id: str
    event_id: int
    parent: int | None = Field(
        None, description="The `event_id` of the step that it belongs to, in the same execution."
    )
    turn: int | None = None
    kind: StepKind
    name: str = Field(
        description="`approval` for an explicit approval, whose title is a payload, unless the caller may read payloads."
    )
    title: str = Field(
        description="What to call it: `Sleep 3 s` for a timer, `Waits for support-leads` for an approval."
    )
    label: str | None = Field(
        None,
        description="The first small arguments of a tool's or agent's call, which tell it from its siblings. Only for callers who may read "
        "payloads.",
    )
    status: StepStatus
    risk: Risk | None = Field(None, description="Of a tool, as it is registered now.")
    inherited: Literal[True] | None = Field(None, description="Copied by a reset from the previous execution.")
    local: Literal[True] | None = None
    attempt_count: int = Field(description="How often the work itself was tried.")
    attempts: list[AttemptOut] | None = Field(
        None,
        description="The newest 20, oldest first, where there was more than one; from the workers' reports, corrected by history.",
    )
    activity_id: str | None = None
    activity_ids: list[str] | None = Field(
        None,
        description="Every activity id of the step where it has more than one: after a gate, the call is a new activity.",
    )
    worker: str | None = None
    approval_id: str | None = None
    gate: TimelineGate | None = None
    child_workflow_id: str | None = None
    scheduled_at: datetime
    started_at: datetime | None = None
    closed_at: datetime | None = None
    due_at: datetime | None = Field(None, description="When a timer fires or a gate expires.")
    live_state: str | None = None
    live_attempt: int | None = None
    live_next_retry_at: datetime | None = None
    live_heartbeat_at: datetime | None = None
    live_worker: str | None = None
    live_error_type: str | None = Field(
        None, description="The class of the error of the attempt before the one that comes next."
    )
    error_type: str | None = Field(None, description="The class of its error.")
    usage: TimelineUsage | None = Field(None, description="Of a model turn, or of an agent so far.")


class StepBin(Out):
    """The steps of a group that ended in one stretch of time; for open ones, that were scheduled in it."""

    done: int
    failed: int
    open: int


class StepGroup(Sparse):
    """Equal siblings in a row. To see them, ask for the timeline with `execution`, `first` and `last`, or list the steps."""

    execution_id: str
    parent: int | None = None
    kind: StepKind
    name: str
    first: int = Field(description="The `event_id` of the first.")
    last: int = Field(description="The `event_id` of the last.")
    count: int
    done: int
    failed: int = Field(description="Failed, timed out, cancelled or abandoned.")
    open: int
    beneath: int = Field(description="How many steps belong to them, at any depth.")
    first_at: datetime
    last_at: datetime
    bins: list[StepBin] = Field(description="Equal stretches of time from `first_at` to `last_at`.")


class UsualStep(Sparse):
    """A step that earlier runs took next."""

    kind: StepKind
    name: str
    title: str | None = None
    count: int = Field(description="How many of the earlier runs took it.")


class UsualNext(Out):
    """What usually comes next, from the newest completed runs of the same version of the workflow."""

    runs: int = Field(description="How many runs were looked at; at most 50.")
    steps: list[UsualStep] = Field(description="In the usual order, without those that this run has taken; at most 8.")


class Timeline(Sparse):
    """The steps of a run's newest executions, oldest first, in one answer."""

    run_id: str
    status: RunStatus
    as_of: int = Field(
        description="The id of the newest event (`GET /events`) that is part of this answer: later ones change it, earlier ones do not."
    )
    at: datetime = Field(description="The server's time.")
    payloads_visible: bool
    step_count: int = Field(description="How many steps the run has, counted by the projector.")
    complete: bool = Field(
        description="False if steps are missing, also from the groups: the oldest that no group holds."
    )
    working_seconds: float = Field(
        description="How long at least one tool, model, activity, update or Nexus operation was at work. Of retried steps, the last attempt "
        "and the others in `attempts`. Groups count from the first to the last of their steps."
    )
    waiting_seconds: float = Field(description="The rest of the time from the start to the end, or until now.")
    people_seconds: float = Field(description="The part of the whole time in which an approval was open.")
    steps: list[TimelineStep]
    groups: list[StepGroup] = Field(description="Fan-outs, folded only if the run has more steps than `limit`.")
    usual_next: UsualNext | None = Field(None, description="Only for an open run.")
