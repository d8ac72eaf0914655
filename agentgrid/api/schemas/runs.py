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
    reference: Name | None = Field(None, description="A business identifier to filter by; not necessarily unique.")
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
        description="Like the header `Idempotency-Key` of a single start of this workflow: both share the same keys.",
    )


class RunBulk(In):
    """Start several runs."""

    items: Annotated[list[SkipValidation[RunBulkItem]], Field(min_length=1, max_length=200)] = Field(
        description="Each item is checked separately: a refused item does not affect the others."
    )


class RunBulkOutcome(Out):
    """The outcome of one item."""

    outcome: Literal["started", "replayed", "refused"] = Field(
        description="`started`: also if the run is queued until Temporal is reachable. `replayed`: an earlier request with the same idempotency "
        "key started it."
    )
    workflow: str | None
    run_id: str | None
    status: RunStatus | None = Field(description="The status of a run started by this request.")
    command_id: str | None = Field(description="The command that records the item, even if it was refused.")
    problem: Problem | None = Field(description="Why it was refused.")


class RunBulkResult(Out):
    """The outcome of each item, in request order."""

    started: int
    replayed: int
    refused: int
    items: list[RunBulkOutcome]


class RunSignal(In):
    """A signal for one of the workflow's own handlers."""

    name: Name = Field(description="The signal's name. Names that begin with `agentgrid.` or `__` are not allowed.")
    arguments: Annotated[list[Any], Field(max_length=20)] = []
    reason: Prose | None = None


class RunSummary(Out):
    """A run without payloads."""

    run_id: str
    workflow_id: str
    workflow: str
    version: str | None
    status: RunStatus
    waiting_on: WaitingOn | None
    status_reason: str | None = Field(
        description="Null unless the caller may read payloads, because it may quote them."
    )
    hold: str | None = Field(
        description="Why it paused itself: `loop`, `budget_exceeded` or `interrupted`. Resuming it lets its agent continue."
    )
    error_type: str | None = Field(description="The class of the root cause of its error.")
    temporal_status: str | None
    governed: bool
    initiator: str
    issuers: list[str] = Field(
        description="Who issued the key that started the run. They may not decide its approvals either."
    )
    trigger: RunTrigger = Field(
        description="What started it. `external`: Temporal's own client or another SDK. `other`: a later version of AgentGrid, in a way unknown to "
        "this version."
    )
    parent_run_id: str | None
    reference: str | None
    subject: str | None = Field(
        description="What it is about, from its workflow's template with values of its input. Null unless the caller may read payloads."
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
    usage: UsageOut | None = Field(description="The total of its model turns so far; null if there were none.")
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
    live_task_attempt: int | None = Field(description="If above 1, the workflow task keeps failing.")
    live_problem: str | None = Field(description="Null unless the caller may read payloads, because it may quote them.")
    temporal_ui: str | None = Field(None, description="The execution's URL in Temporal's UI.")


class You(Out):
    """Whether the caller can do what the run is waiting for."""

    may_act: bool = Field(description="Whether this caller can now do something the run is waiting for.")
    verbs: list[ActionVerb] = Field(
        description="`approve` and `reject` for an approval, `resume` for a paused run; otherwise empty."
    )
    approval_ids: list[str] = Field(description="The pending approvals that the caller may decide.")
    reason: str | None = Field(description="Why the caller can't act, or why there is nothing to do.")


class Next(Out):
    """What or whom a run is waiting for, and until when."""

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
        description="The number of decision signals without effect: unsigned, forged, or for another approval."
    )
    unattributed_signals: int = Field(
        description="The number of effective decisions, pauses and resumes not confirmed by a registered signing key and a matching command."
    )
    last_control: ControlOut | None = Field(
        description="The last signal that paused, resumed or interrupted the newest execution."
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
        description="`declared`: the run's version has a handler of this name that accepts the arguments. `dynamic`: it accepts any name. "
        "`unknown`: nothing could be checked, so a misspelt signal has no effect.",
    )


class RunCounts(Out):
    """The number of runs that match a filter."""

    by_status: dict[RunStatus, int] = Field(description="Every status, including those without runs.")
    total: int
    complete: bool = Field(description="False if more runs match than are counted; the counts are then lower bounds.")


class RunResult(Out):
    """The outcome of a run that has ended: its result or its error."""

    run_id: str
    workflow: str
    open: Literal[False] = False
    status: RunStatus = Field(description="`completed`, `failed`, `cancelled`, `terminated` or `timed_out`.")
    closed_at: datetime | None
    payloads_visible: bool = Field(description="Whether this caller may read results and error messages.")
    result: StoredPayload | None
    error_type: str | None = Field(description="The class of the root cause of its error.")
    error: ErrorOut | None


class RunOpen(Out):
    """A run that has not ended yet and so has no result: try again later."""

    run_id: str
    workflow: str
    open: Literal[True] = True
    status: RunStatus
    waiting_on: WaitingOn | None
    approvals_pending: int


class RunHistory(Out):
    """A page of an execution's raw history, with events as Temporal's own JSON."""

    run_id: str
    execution_id: str
    source: Literal["temporal", "archive"]
    items: list[dict[str, Any]]
    next_cursor: str | None = None
