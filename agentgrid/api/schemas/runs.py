"""Runs: requests, summaries, details."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, SkipValidation

from agentgrid.api.schemas.approvals import ApprovalSummary
from agentgrid.api.schemas.commands import CommandSummary, ControlOut
from agentgrid.api.schemas.common import (
    Action,
    ActionVerb,
    ErrorOut,
    In,
    Moment,
    Name,
    Out,
    Problem,
    Prose,
    StoredPayload,
    Whole,
)
from agentgrid.api.schemas.steps import StepsSummary, UsageOut
from agentgrid.domain.handlers import Fit
from agentgrid.domain.runs import ExecutionKind, ExecutionStatus, RunStatus, RunTrigger, WaitingOn


class RunStart(In):
    """Start a run."""

    input: Any = Field(None, description="Validated against the workflow's input schema.")
    reference: Name | None = Field(None, description="A business key, filterable; not unique.")
    tags: Annotated[list[Name], Field(max_length=20)] = []
    priority: Annotated[Whole, Field(ge=1, le=5)] | None = Field(
        None, description="1 is the highest, 5 the lowest; default 3."
    )
    start_at: Moment | None = Field(None, description="Do not start before this time; at most a year ahead.")
    note: Prose | None = None


class RunBulkItem(RunStart):
    """One run to start."""

    workflow: Name = Field(description="The workflow's name.")
    idempotency_key: Annotated[str, Field(pattern=r"^[\x20-\x7e]{1,255}$")] | None = Field(
        None,
        description="As the header `Idempotency-Key` of a single start of this workflow, which it is interchangeable with.",
    )


class RunBulk(In):
    """Start several runs."""

    items: Annotated[list[SkipValidation[RunBulkItem]], Field(min_length=1, max_length=200)] = Field(
        description="Each is checked by itself: one that is refused does not affect the others."
    )


class RunBulkOutcome(Out):
    """What became of one item."""

    outcome: Literal["started", "replayed", "refused"] = Field(
        description="`started`: also if the run is queued until Temporal is back. `replayed`: an earlier request with the same key started it."
    )
    workflow: str | None
    run_id: str | None
    status: RunStatus | None = Field(description="The status of a run that was started now.")
    command_id: str | None = Field(description="The command that records the item, also where it is refused.")
    problem: Problem | None = Field(description="Why it was refused.")


class RunBulkResult(Out):
    """What became of each item, in their order."""

    started: int
    replayed: int
    refused: int
    items: list[RunBulkOutcome]


class RunSignal(In):
    """A signal for the workflow's own handler."""

    name: Name = Field(description="The signal's name; names that begin with `agentgrid.` or `__` are not allowed.")
    arguments: Annotated[list[Any], Field(max_length=20)] = []
    reason: Prose | None = None


class RunSummary(Out):
    """A run in a list: no payloads."""

    run_id: str
    workflow_id: str
    workflow: str
    version: str | None
    status: RunStatus
    waiting_on: WaitingOn | None
    status_reason: str | None = Field(description="Null unless the caller may read payloads, which it may quote.")
    hold: str | None = Field(
        description="Why it paused by itself: `loop`, `budget_exceeded` or `interrupted`. A person who resumes it lets its agent go on."
    )
    error_type: str | None = Field(description="The class of the innermost cause of its error.")
    temporal_status: str | None
    governed: bool
    initiator: str
    issuers: list[str] = Field(
        description="Who issued the key that started it. They may not decide its approvals either."
    )
    trigger: RunTrigger = Field(
        description="What started it. `external`: Temporal's own client or another SDK; `other`: a later version of AgentGrid, in a way "
        "unknown here."
    )
    parent_run_id: str | None
    reference: str | None
    subject: str | None = Field(
        description="What it is about, as its workflow puts it, with values of its input. Null unless the caller may read payloads."
    )
    tags: list[str]
    tools: list[str]
    priority: int | None
    created_at: datetime
    start_at: datetime | None
    started_at: datetime | None
    closed_at: datetime | None
    current_step: str | None
    next_at: datetime | None
    step_count: int
    steps_done: int
    steps_failed: int
    approvals_pending: int
    usage: UsageOut | None = Field(description="The sum of its model turns so far; null without any.")
    updated_at: datetime


class RunRow(RunSummary):
    """A run in a list."""

    workflow_title: str | None = Field(description="Null if the workflow is not registered.")


class ChildRun(Out):
    """A child of a run."""

    run_id: str
    workflow: str
    status: RunStatus
    created_at: datetime
    closed_at: datetime | None


class ExecutionOut(Out):
    """One Temporal execution of a run's chain."""

    execution_id: str
    kind: ExecutionKind
    status: ExecutionStatus
    build: str | None
    started_at: datetime
    closed_at: datetime | None
    continued_from: str | None
    continued_to: str | None
    reset_from: str | None
    reset_to: str | None
    reset_event_id: int | None
    reset_reason: str | None
    last_event_id: int
    live_task_attempt: int | None = Field(description="Above 1, the workflow task keeps failing.")
    live_problem: str | None = Field(description="Null unless the caller may read payloads, which it may quote.")
    temporal_ui: str | None = Field(None, description="The execution's URL in Temporal's UI.")


class You(Out):
    """Whether the caller can do what the run waits for."""

    may_act: bool = Field(description="Whether something that the run waits for can be done by this caller, now.")
    verbs: list[ActionVerb] = Field(
        description="What: `approve` and `reject` for an approval, `resume` for a paused run; otherwise none."
    )
    approval_ids: list[str] = Field(description="The pending approvals that the caller may decide.")
    reason: str | None = Field(description="Why the caller can't act, or why there is nothing to do.")


class Next(Out):
    """Who or what a run waits for, and until when."""

    waiting_on: WaitingOn | None
    summary: str
    until: datetime | None = None
    approval_ids: list[str] = []
    approvers: list[str] = []
    actions: list[ActionVerb] = Field([], description="The verbs that this caller may use now.")
    you: You


class RunLinks(Out):
    """Related URLs."""

    self: str
    events: str
    steps: str
    approvals: str
    history: str
    temporal_ui: str | None


class RunDetail(RunSummary):
    """Everything about a run in one response."""

    workflow_title: str | None = Field(description="Null if the workflow is not registered.")
    namespace: str
    execution_id: str | None
    task_queue: str
    build: str | None
    root_run_id: str | None
    command_id: str | None
    note: str | None
    template: str | None
    template_version: int | None
    refused_signals: int = Field(
        description="Decision signals without effect: unsigned, forged, or for another approval."
    )
    unattributed_signals: int = Field(
        description="Decisions that took effect, pauses and resumes without a registered signing key and a matching command."
    )
    last_control: ControlOut | None = Field(
        description="The signal that last paused, resumed or interrupted the newest execution."
    )
    payloads_visible: bool = Field(description="Whether this caller may read inputs, results and error messages.")
    input: StoredPayload | None
    result: StoredPayload | None
    error: ErrorOut | None
    steps: StepsSummary
    executions: list[ExecutionOut]
    children: list[ChildRun] = Field(description="The newest 100.")
    approvals: list[ApprovalSummary] = Field(description="The pending approvals.")
    links: RunLinks
    actions: list[Action]
    next: Next


class RunAccepted(RunDetail):
    """A run, and the accepted command."""

    command: CommandSummary


class SignalAccepted(RunAccepted):
    """A run, and the accepted command that signals it."""

    handler: Fit = Field(
        description="`declared` if the run's version has a handler of this name that takes the arguments; `dynamic` if it takes any "
        "name; `unknown` if nothing could be checked, so that a mistyped signal has no effect.",
    )


class RunCounts(Out):
    """How many runs match a filter."""

    by_status: dict[RunStatus, int] = Field(description="Every status, also where there are none.")
    total: int
    complete: bool = Field(description="False if more runs match than are counted: the counts are then lower bounds.")


class RunResult(Out):
    """The outcome of a run that has ended: its result or its error."""

    run_id: str
    workflow: str
    open: Literal[False] = False
    status: RunStatus = Field(description="`completed`, `failed`, `cancelled`, `terminated` or `timed_out`.")
    closed_at: datetime | None
    payloads_visible: bool = Field(description="Whether this caller may read results and error messages.")
    result: StoredPayload | None
    error_type: str | None = Field(description="The class of the innermost cause of its error.")
    error: ErrorOut | None


class RunOpen(Out):
    """A run that has not ended yet, and so has no result: ask again."""

    run_id: str
    workflow: str
    open: Literal[True] = True
    status: RunStatus
    waiting_on: WaitingOn | None
    approvals_pending: int


class RunHistory(Out):
    """A page of an execution's raw history, events as Temporal's own JSON."""

    run_id: str
    execution_id: str
    source: Literal["temporal", "archive"]
    items: list[dict[str, Any]]
    next_cursor: str | None = None
