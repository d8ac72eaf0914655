"""What `decode` makes of Temporal's history events: frozen plain values, one type per thing that the fold tells apart.

Payloads are *stored payloads* (`temporal/payloads.py`), errors are stored errors, times are aware UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentgrid.domain.agents import AgentHeader, Hold, Usage
from agentgrid.domain.approvals import Terms
from agentgrid.domain.runs import ExecutionKind, ExecutionStatus
from agentgrid.domain.steps import StepKind, StepStatus
from agentgrid.protocol import Confirmation, ControlSignal, PolicyWait, RunHeader

Stored = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedEvent:
    """One event of one execution's history."""

    event_id: int
    at: datetime
    opaque: int = 0
    """How many of its payloads could not be decoded; 1 for an event of an unknown type."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknown(DecodedEvent):
    """A type that this version doesn't know, or one that could not be read: counted, and otherwise passed over."""

    kind: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Passed(DecodedEvent):
    """A known type that changes no row."""

    kind: str


# --- the execution -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Started(DecodedEvent):
    """Event 1."""

    workflow: str
    task_queue: str
    first_execution_id: str
    kind: ExecutionKind
    continued_from: str | None = None
    workflow_id: str | None = None
    parent_workflow_id: str | None = None
    parent_execution_id: str | None = None
    root_execution_id: str | None = None
    backoff_seconds: float = 0.0
    memo: dict[str, Any] | None = None
    """The memo field `agentgrid`, not yet verified."""
    scheduled_by: str | None = None
    """The schedule that Temporal names; set only with a schedule's memo, and so is the digest."""
    input_digest: str | None = None
    header: RunHeader | None = None
    input: Stored | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Closed(DecodedEvent):
    """The last event."""

    status: ExecutionStatus
    continued_to: str | None = None
    result: Stored | None = None
    error: Stored | None = None
    identity: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelRequested(DecodedEvent):
    reason: str | None = None
    identity: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TemporalPaused(DecodedEvent):
    """Temporal's own, experimental pause, which AgentGrid doesn't use but shows."""

    paused: bool
    reason: str | None = None


# --- workflow tasks ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskScheduled(DecodedEvent):
    attempt: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStarted(DecodedEvent):
    build: str | None = None
    """Whose code took the task; of a worker without a deployment, the digest that the SDK makes up for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskCompleted(DecodedEvent):
    started_event_id: int
    build: str | None = None
    claims: bool = False
    """Whether the build id has the prefix of governed workers; any worker can use it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFailed(DecodedEvent):
    """Also a task that timed out."""

    cause: str
    error: Stored | None = None
    worker: str | None = None
    misfit: bool = False
    """Non-determinism: the worker's code would not have done what history says was done."""
    fork: bool = False
    """The reset that this execution begins with: all events before this one are copies."""
    base_execution_id: str | None = None
    new_execution_id: str | None = None
    reason: str | None = None


# --- activities ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnResult:
    """What a model turn's result holds."""

    usage: Usage
    facts: dict[str, Any]
    """Model, provider, price's source, finish reason, latency, attempt."""
    output: Stored


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentOpened:
    """The version that a call of an agent is pinned to."""

    agent: str
    version: str
    call: str
    parent: str | None
    turn: int | None
    input: Stored


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentClosed:
    """How a call of an agent ended."""

    call: str
    cancelled: bool
    output: Stored | None
    error: Stored | None
    tool_calls: int
    usage: Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class ActivityScheduled(DecodedEvent):
    activity_id: str
    activity_type: str
    task_queue: str
    kind: StepKind = StepKind.ACTIVITY
    name: str | None = None
    """The name within its kind; None for a plain activity, whose type is its name."""
    tool_version: str | None = None
    title: str | None = None
    call_key: str | None = None
    agent: AgentHeader | None = None
    """The agent that makes the call."""
    headed: bool = False
    """Whether it carries the plugin's header, even an unreadable one."""
    input: Stored | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ActivityStarted(DecodedEvent):
    scheduled_event_id: int
    attempt: int
    worker: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ActivityClosed(DecodedEvent):
    scheduled_event_id: int
    status: StepStatus
    output: Stored | None = None
    error: Stored | None = None
    terms: Terms | None = None
    """Set where the worker asks for an approval."""
    policy_wait: PolicyWait | None = None
    """Set where the worker's policy was too old, and the caller waits and calls again."""
    turn: TurnResult | None = None
    """Set where the result has the form of a model turn's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalActivity(DecodedEvent):
    """The marker of a local activity: it ended, or it backs off for longer than a workflow task lasts."""

    activity_id: str
    activity_type: str
    attempt: int
    first_scheduled_at: datetime | None = None
    """None if the SDK doesn't record it."""
    backs_off: bool = False
    backoff_seconds: float = 0.0
    title: str | None = None
    kind: StepKind = StepKind.ACTIVITY
    name: str | None = None
    input: Stored | None = None
    output: Stored | None = None
    error: Stored | None = None
    cancelled: bool = False
    terms: Terms | None = None
    """From the failure of a gated call, or the result of the local activity that opens an explicit approval."""
    shown: Stored | None = None
    """What an explicit approval shows."""
    explicit: bool = False
    confirmation: Confirmation | None = None
    """The worker's confirmation of a decision on an explicit approval."""
    agent: AgentOpened | AgentClosed | None = None
    hold: Hold | None = None
    policy_wait: PolicyWait | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Patched(DecodedEvent):
    """The marker of a patch."""

    patch: str


# --- timers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class TimerStarted(DecodedEvent):
    timer_id: str
    seconds: float
    task_completed_event_id: int
    summary: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TimerEnded(DecodedEvent):
    started_event_id: int
    fired: bool


# --- messages ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Signaled(DecodedEvent):
    """A signal that came in."""

    name: str
    input: Stored
    identity: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided(DecodedEvent):
    """A decision signal, with the very bytes that the judge reads. Nothing in it is believed yet."""

    raw: bytes
    problem: str | None = None
    identity: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Controlled(DecodedEvent):
    """A pause or resume, or what pretends to be one (`control` is None)."""

    control: ControlSignal | None
    identity: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateAdmitted(DecodedEvent):
    update_id: str
    name: str
    input: Stored


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateAccepted(DecodedEvent):
    update_id: str
    name: str | None = None
    input: Stored | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateCompleted(DecodedEvent):
    accepted_event_id: int
    update_id: str | None = None
    output: Stored | None = None
    error: Stored | None = None


# --- other executions ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class CallInitiated(DecodedEvent):
    """The workflow asked for something of another execution: a child, a signal, a cancel, a Nexus operation."""

    kind: str
    """`child`, `signal`, `cancel` or `nexus`."""
    name: str
    workflow_id: str | None = None
    task_queue: str | None = None
    title: str | None = None
    governed: bool = False
    own_child: bool = False
    """A signal or a cancel that is for a child of this execution only."""
    input: Stored | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CallStarted(DecodedEvent):
    initiated_event_id: int
    workflow_id: str | None = None
    execution_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CallClosed(DecodedEvent):
    initiated_event_id: int
    status: StepStatus
    output: Stored | None = None
    error: Stored | None = None
