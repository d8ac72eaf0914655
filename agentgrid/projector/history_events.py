"""Temporal's history events as `decode` returns them: frozen plain values, one type for each case that the fold distinguishes.

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
    """An event of a type that this version doesn't know, or one that could not be read: counted, otherwise ignored."""

    kind: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ignored(DecodedEvent):
    """An event of a known type that changes no row."""

    kind: str


# --- the execution -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Started(DecodedEvent):
    """The start of the execution: always event 1."""

    workflow: str
    task_queue: str
    first_execution_id: str
    kind: ExecutionKind
    continued_from: str | None = None
    workflow_id: str | None = None
    parent_execution_id: str | None = None
    backoff_seconds: float = 0.0
    memo: dict[str, Any] | None = None
    """The memo field `agentgrid`, not yet verified."""
    scheduled_by: str | None = None
    """The schedule that Temporal names. Like `input_digest`, set only if the memo is a schedule's."""
    input_digest: str | None = None
    header: RunHeader | None = None
    input: Stored | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Closed(DecodedEvent):
    """The end of the execution: always the last event."""

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
    """Temporal's own, experimental pause. AgentGrid doesn't use it, but shows it."""

    paused: bool
    reason: str | None = None


# --- workflow tasks ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskScheduled(DecodedEvent):
    attempt: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStarted(DecodedEvent):
    build: str | None = None
    """The build that took the task; for a worker without a deployment, the digest that the SDK generates."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskCompleted(DecodedEvent):
    started_event_id: int
    build: str | None = None
    claims: bool = False
    """Whether the build id has the prefix of governed workers. It is only a claim: any worker can use the prefix."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFailed(DecodedEvent):
    """A workflow task that failed or timed out."""

    cause: str
    error: Stored | None = None
    worker: str | None = None
    misfit: bool = False
    """Non-determinism: replaying the worker's code gives other commands than the history has."""
    fork: bool = False
    """Whether this is the reset that created this execution: all events before this one are copies."""
    base_execution_id: str | None = None
    reason: str | None = None


# --- activities ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnResult:
    """The result of a model turn."""

    usage: Usage
    facts: dict[str, Any]
    """Model, provider, source of the price, finish reason, latency, attempt."""
    output: Stored


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentOpened:
    """The start of an agent's call, with the version that it is pinned to."""

    agent: str
    version: str
    call: str
    parent: str | None
    turn: int | None
    input: Stored


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentClosed:
    """The end of an agent's call."""

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
    """Whether the call carries the plugin's header, even an unreadable one."""
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
    """Set if the worker asks for an approval."""
    policy_wait: PolicyWait | None = None
    """Set if the worker's policy was stale: the caller waits and calls again."""
    turn: TurnResult | None = None
    """Set if the result has the form of a model turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalActivity(DecodedEvent):
    """The marker of a local activity: it ended, or its backoff is longer than a workflow task can last."""

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
    """From the failure of a call that needs an approval, or the result of the local activity that opens an explicit approval."""
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
    summary: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TimerEnded(DecodedEvent):
    started_event_id: int
    fired: bool


# --- messages ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Signaled(DecodedEvent):
    """A signal other than a decision or a control."""

    name: str
    input: Stored
    identity: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided(DecodedEvent):
    """A decision signal, with the exact bytes that are judged. Nothing in it is verified yet."""

    raw: bytes
    problem: str | None = None
    identity: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Controlled(DecodedEvent):
    """A control signal: pause, resume or interrupt. `control` is None if it is malformed."""

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
    """The workflow requests a child, a signal or a cancel of another execution, or a Nexus operation."""

    kind: str
    """`child`, `signal`, `cancel` or `nexus`."""
    name: str
    workflow_id: str | None = None
    task_queue: str | None = None
    title: str | None = None
    governed: bool = False
    own_child: bool = False
    """For a signal or a cancel: whether it is restricted to a child of this execution."""
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
