"""The protocol between workflow code, workers, the API and the projector: names and versioned payloads.

Payload models may only ever gain optional fields. The commands that the workflow half emits are also protocol: changing them requires a new patch
id, and with it a new build prefix. `Terms`, `Decision` and `SignedDecision` are part of the protocol too; they are in `domain/approvals.py`, next
to `judge`.
"""

from __future__ import annotations

import json
from dataclasses import field
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.dataclasses import dataclass
from temporalio.api.common.v1 import Payload

from agentgrid.domain.backoff import backoff

PATCH_GATE = "agentgrid-gate-1"
"""The marker of an execution that began under the plugin. Written only if the build of its first workflow task doesn't show it."""
BUILD_GATE = f"{PATCH_GATE}-"
"""Prefix of a governed worker's build id, unless the user set one. A first workflow task with such a build marks the execution at no cost."""

SIGNAL_DECIDE = "agentgrid.decide"
SIGNAL_CONTROL = "agentgrid.control"

HEADER_KEY = "agentgrid-key"
"""The call key, which is also the tool's idempotency key: the same across attempts, reschedules, local backoff and resets."""
HEADER_APPROVAL = "agentgrid-approval"
"""The signed decision with which an approved call is made again."""
HEADER_RUN = "agentgrid-run"
"""A `RunHeader`, sent to activities and children, and carried across continue-as-new."""
HEADER_AGENT = "agentgrid-agent"
"""An `AgentHeader` (in `domain/agents.py`), sent with every call that an agent makes."""

MEMO = "agentgrid"
"""The memo field of a run that AgentGrid started: a `RunMemo`, or a `ScheduleMemo` (in `domain/memos.py`, next to its verification)."""
SCHEDULED_BY = "TemporalScheduledById"
"""The search attribute in which Temporal names the schedule that started an execution."""

TIMER_APPROVAL = "agentgrid.approval:"
"""Prefix of the summary of an approval's expiry timer, followed by the approval's id."""

TIMER_POLICY = "agentgrid.policy:"
"""Prefix of the summary of the timer between two checks of a stale policy, followed by the call key."""

TIMER_JUDGING = "agentgrid.judging"
"""The summary of the timer between workflow tasks, if there are more decisions than one task may judge."""

ACTIVITY_OPEN_APPROVAL = "agentgrid.open_approval"
"""The local activity whose result is the terms of an explicit approval."""
ACTIVITY_CONFIRM_APPROVAL = "agentgrid.confirm_approval"
"""The local activity that checks authority again after an explicit approval was decided. Its result is whether the decision still counts."""
ACTIVITY_OPEN_AGENT = "agentgrid.open_agent"
"""The local activity whose result is the `AgentSpec` that an agent call is pinned to."""
ACTIVITY_CLOSE_AGENT = "agentgrid.close_agent"
"""The local activity whose result is the `AgentEnd` of an agent call."""
ACTIVITY_HOLD = "agentgrid.hold"
"""The local activity whose result is the `Hold` with which a run pauses itself."""
AGENT_ACTIVITIES = frozenset({ACTIVITY_OPEN_AGENT, ACTIVITY_CLOSE_AGENT, ACTIVITY_HOLD})
OWN_ACTIVITIES = AGENT_ACTIVITIES | {ACTIVITY_OPEN_APPROVAL, ACTIVITY_CONFIRM_APPROVAL}
"""The local activities that are part of the protocol. They have no side effects, and don't pass the gate."""

SENDER_PREFIX = "agentgrid:"
"""Prefix of the identity under which a command is sent to Temporal, followed by its id. Cancel and terminate leave no other trace of it."""


MAX_MESSAGE_CHARACTERS = 4_000
"""Maximum length of an interruption's message."""

MAX_JSON_BYTES = 2 * 1024 * 1024 - 4096
"""Maximum JSON size of a tool's arguments and result and of a registered workflow's result, regardless of any codec.

Temporal repeatedly fails any task with a payload over 2 MiB; 4 KiB are reserved for the envelope around the value.
"""


class ErrorType:
    """The types of AgentGrid's `ApplicationError`s, as seen in history and by other SDKs."""

    APPROVAL_REQUIRED = "ApprovalRequired"
    APPROVAL_REJECTED = "ApprovalRejected"
    APPROVAL_EXPIRED = "ApprovalExpired"
    APPROVAL_UNSUPPORTED = "ApprovalUnsupported"
    POLICY_DENIED = "PolicyDenied"
    POLICY_STALE = "PolicyStale"
    SECRET_IN_WORKFLOW = "SecretInWorkflow"  # noqa: S105  # an error's type
    SECRET_MISSING = "SecretMissing"  # noqa: S105
    TOOL_ERROR = "ToolError"
    TOOL_INPUT = "ToolInputInvalid"
    TOOL_OUTPUT = "ToolOutputInvalid"
    TOOL_INSIDE_ACTIVITY = "ToolInsideActivity"
    WORKFLOW_OUTPUT = "WorkflowOutputInvalid"
    AGENT_DISABLED = "AgentDisabled"
    AGENT_FAILED = "AgentFailed"
    MODEL_ERROR = "ModelError"


@dataclass(frozen=True)
class ToolCall:
    """The single argument of a tool's activity. A dataclass, because every JSON data converter supports it; pydantic's, so that its schema is built once."""

    tool: str
    version: str
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ToolOutcome:
    """The result of a tool's activity."""

    result: Any = None


@dataclass(frozen=True)
class Confirmation:
    """The worker's check of the decision on an explicit approval, just before `approval()` returns."""

    approval_id: str
    holds: bool
    reason: str | None = None
    """Why the decision no longer counts; the approval is then requested again."""


class RunHeader(BaseModel):
    """Facts about a run that are passed to its children, continued executions and activities."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tree: str
    """The run id at the root of the tree of child runs."""
    initiator: str | None = None
    issuers: tuple[str, ...] = Field(default=(), exclude_if=lambda issuers: not issuers)
    """Who issued the API key that started the run, apart from the initiator. They may not decide its approvals either."""
    paused: bool = False
    ledger: dict[str, Any] | None = Field(default=None, exclude_if=lambda ledger: ledger is None)
    """Reserved for a short record of what the run has called so far."""


class PolicyWait(BaseModel):
    """The details of a retryable `PolicyStale` failure: the delay between attempts, and when to give up.

    They are in history, so that different values in a later worker can't change a replay. A `PolicyStale` without them is an ordinary failure.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str
    """The call key of the waiting call."""
    first_seconds: float = 5.0
    most_seconds: float = 300.0
    give_up_seconds: float = 7 * 24 * 3600.0
    """Same as the default expiry of an approval."""

    def pause_seconds(self, tries: int) -> float:
        """The delay after this many earlier attempts: doubled each time, up to the maximum."""
        return backoff(self.first_seconds, self.most_seconds, tries=tries)

    def over(self, tries: int) -> bool:
        """Whether to give up after this many waits, and let the call fail."""
        return sum(self.pause_seconds(before) for before in range(tries)) >= self.give_up_seconds


class ControlSignal(BaseModel):
    """The payload of the signal `agentgrid.control`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    action: Literal["pause", "resume", "interrupt"]
    """`interrupt` stops the current turn of every agent that is working in the run, and then pauses the run. Older workers ignore it."""
    principal: str | None = None
    command_id: str | None = None
    reason: str | None = None
    message: str | None = Field(default=None, max_length=MAX_MESSAGE_CHARACTERS)
    """For an interruption: the message that the agents see after resume."""


class RunMemo(BaseModel):
    """Facts about a run that AgentGrid stores in its memo at the start, so that a rebuild needs only history and commands."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = 1
    run_id: str
    initiator: str
    issuers: tuple[str, ...] = Field(default=(), exclude_if=lambda issuers: not issuers)
    """Who issued the API key that started the run, apart from the initiator."""
    command_id: str
    workflow_version: str | None = None
    reference: str | None = None
    tags: tuple[str, ...] = ()
    priority: int | None = None
    note: str | None = None
    template: str | None = None
    template_version: int | None = None
    start_at: datetime | None = None
    trigger: str | None = None
    """What started it, if not the API: a `RunTrigger`. It is a text because later versions may write unknown ones."""
    key_id: str | None = None
    signature: str | None = None
    """Ed25519 signature over the other fields in canonical form, base64."""


def is_gate_build(build_id: str) -> bool:
    """Whether the build id has the prefix of governed workers. Any worker can use the prefix: it is a claim, not a proof."""
    return build_id.startswith(BUILD_GATE)


def shown_build(build_id: str) -> str:
    """The build for display: the grid's digest, or the build id that the user set."""
    return build_id.removeprefix(BUILD_GATE)


def to_payload(value: BaseModel | str) -> Payload:
    """The payload of a header or signal: JSON in a fixed form, independent of the data converter."""
    text = value.model_dump_json(exclude_none=True) if isinstance(value, BaseModel) else json.dumps(value)
    return Payload(metadata={"encoding": b"json/plain"}, data=text.encode())


def too_long(what: str, size: int) -> str | None:
    """The error message for a value of this size, or None if it is within the limit."""
    if size <= MAX_JSON_BYTES:
        return None
    return f"{what} has {size:,} bytes in JSON; at most {MAX_JSON_BYTES:,} are allowed. Store it elsewhere and pass a reference"


def text_of(payload: Payload | None) -> str | None:
    """The string in a header's payload, or None if there is none."""
    if payload is None:
        return None
    try:
        value = json.loads(payload.data)
    except ValueError:
        return None
    return value if isinstance(value, str) else None
