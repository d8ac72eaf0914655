"""What crosses the boundary between workflow code, workers, the API and the projector: names and versioned payloads.

A payload model only ever gains optional fields. The commands that the workflow half emits are protocol too: a change of them takes a new
patch id, and with it a new prefix of builds. `Terms`, `Decision` and `SignedDecision` of `domain/approvals.py` cross it as well; they live
there beside their judge.
"""

from __future__ import annotations

import json
from dataclasses import field
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.dataclasses import dataclass
from temporalio.api.common.v1 import Payload

PATCH_GATE = "agentgrid-gate-1"
"""The marker at the top of an execution that began under the plugin, where the build of its first task doesn't say so."""
BUILD_GATE = f"{PATCH_GATE}-"
"""The build id of a governed worker begins with this, unless its user chose one: a first workflow task under it marks the execution for nothing."""

SIGNAL_DECIDE = "agentgrid.decide"
SIGNAL_CONTROL = "agentgrid.control"

HEADER_KEY = "agentgrid-key"
"""The idempotency key of one call: the same over attempts, re-schedules, local backoff and resets."""
HEADER_APPROVAL = "agentgrid-approval"
"""The signed decision under which an approved call is made again."""
HEADER_RUN = "agentgrid-run"
"""`RunHeader`: to activities, children and through continue-as-new."""

MEMO = "agentgrid"
"""The memo field of a run that AgentGrid started: `RunMemo`."""

TIMER_APPROVAL = "agentgrid.approval:"
"""The summary of an approval's expiry timer is this and the approval's id."""

TIMER_POLICY = "agentgrid.policy:"
"""The summary of the timer between two looks at a policy that was too old is this and the call's key."""

TOOL_PREFIX = "tool."
"""A tool's activity type is this and its name."""
ACTIVITY_OPEN_APPROVAL = "agentgrid.open_approval"
"""The local activity whose result is the terms of an explicit approval."""
ACTIVITY_CONFIRM_APPROVAL = "agentgrid.confirm_approval"
"""The local activity that judges authority again once an explicit approval was decided; its result is whether the decision holds."""
APPROVAL_ACTIVITIES = frozenset({ACTIVITY_OPEN_APPROVAL, ACTIVITY_CONFIRM_APPROVAL})

SENDER_PREFIX = "agentgrid:"
"""A command is sent to Temporal under the identity of this and its id: a cancel or a terminate leaves no other trace of it."""


MAX_JSON_BYTES = 2 * 1024 * 1024 - 4096
"""The arguments and result of a tool and the result of a registered workflow are at most this long in JSON, whatever a codec makes of them.

Temporal refuses a payload over 2 MiB by failing the task that carries it, again and again; 4 KiB are for what stands around the value.
"""


class ErrorType:
    """The types of the `ApplicationError`s that AgentGrid raises, as history and other SDKs see them."""

    APPROVAL_REQUIRED = "ApprovalRequired"
    APPROVAL_REJECTED = "ApprovalRejected"
    APPROVAL_EXPIRED = "ApprovalExpired"
    APPROVAL_UNSUPPORTED = "ApprovalUnsupported"
    POLICY_DENIED = "PolicyDenied"
    POLICY_STALE = "PolicyStale"
    TOOL_ERROR = "ToolError"
    TOOL_INPUT = "ToolInputInvalid"
    TOOL_OUTPUT = "ToolOutputInvalid"
    TOOL_INSIDE_ACTIVITY = "ToolInsideActivity"
    WORKFLOW_OUTPUT = "WorkflowOutputInvalid"


@dataclass(frozen=True)
class ToolCall:
    """The one argument of a tool's activity. A dataclass, which every JSON data converter carries; pydantic's, whose schema is built once."""

    tool: str
    version: str
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ToolOutcome:
    """The result of a tool's activity."""

    result: Any = None


@dataclass(frozen=True)
class Confirmation:
    """What the worker says of the decision on an explicit approval, just before `approval()` returns."""

    approval_id: str
    holds: bool
    reason: str | None = None
    """Why it doesn't hold; people are then asked again."""


class RunHeader(BaseModel):
    """What children, continued executions and activities know of their run."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tree: str
    """The run id at the root of the tree of children."""
    initiator: str | None = None
    issuers: tuple[str, ...] = Field(default=(), exclude_if=lambda issuers: not issuers)
    """Who issued the API key that started the run, beside the initiator; they decide no approval of it either."""
    paused: bool = False


class PolicyWait(BaseModel):
    """The details of a `PolicyStale` that the caller waits out: how long between two tries, and when it gives up.

    History carries them, so that other numbers in a later worker can't change a replay. A `PolicyStale` without them is an ordinary failure.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str
    """The idempotency key of the call that waits."""
    first_seconds: float = 5.0
    most_seconds: float = 300.0
    give_up_seconds: float = 7 * 24 * 3600.0
    """As long as people have for an approval by default."""

    def pause_seconds(self, tries: int) -> float:
        """How long to wait after so many tries before this one: doubled each time, up to the most."""
        return float(min(self.first_seconds * 2 ** min(tries, 30), self.most_seconds))

    def over(self, tries: int) -> bool:
        """Whether so many pauses were enough: the failure then stands."""
        return sum(self.pause_seconds(before) for before in range(tries)) >= self.give_up_seconds


class ControlSignal(BaseModel):
    """What the signal `agentgrid.control` carries."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    action: Literal["pause", "resume"]
    principal: str | None = None
    command_id: str | None = None
    reason: str | None = None


class RunMemo(BaseModel):
    """What a start by AgentGrid says of the run, so that rebuilding needs nothing but history and commands."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = 1
    run_id: str
    initiator: str
    issuers: tuple[str, ...] = Field(default=(), exclude_if=lambda issuers: not issuers)
    """Who issued the API key that started the run, beside the initiator."""
    command_id: str
    workflow_version: str | None = None
    reference: str | None = None
    tags: tuple[str, ...] = ()
    priority: int | None = None
    note: str | None = None
    template: str | None = None
    template_version: int | None = None
    start_at: datetime | None = None
    key_id: str | None = None
    signature: str | None = None
    """Ed25519 over the canonical rest, base64."""


def is_gate_build(build_id: str) -> bool:
    """Whether a governed worker names itself so. Any worker can: what it claims is not proof."""
    return build_id.startswith(BUILD_GATE)


def shown_build(build_id: str) -> str:
    """The build as people know it: the grid's digest, or what the user of a worker chose."""
    return build_id.removeprefix(BUILD_GATE)


def to_payload(value: BaseModel | str) -> Payload:
    """A header's or signal's payload: JSON in one fixed form, whatever the data converter."""
    text = value.model_dump_json(exclude_none=True) if isinstance(value, BaseModel) else json.dumps(value)
    return Payload(metadata={"encoding": b"json/plain"}, data=text.encode())


def too_long(what: str, size: int) -> str | None:
    """What is wrong with a value of this many bytes, if anything."""
    if size <= MAX_JSON_BYTES:
        return None
    return f"{what} has {size:,} bytes in JSON; at most {MAX_JSON_BYTES:,} are allowed. Store it, and pass where it is"


def text_of(payload: Payload | None) -> str | None:
    """The string in a header's payload, or None where there is none."""
    if payload is None:
        return None
    try:
        value = json.loads(payload.data)
    except ValueError:
        return None
    return value if isinstance(value, str) else None
