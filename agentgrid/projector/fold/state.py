"""The fold's state of an execution between passes: open items and counters only.

It is stored in a column (`executions.fold_state`), so every field is a JSON value: times are ISO strings. Renaming a field changes the stored
form, and so needs a new `FOLD_VERSION`. The state stays small for a history of any length, because ended items are removed; only the last
few closed approvals are kept, to judge decisions that come too late.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

CLOSED_APPROVALS_KEPT = 16
INTERRUPTS_KEPT = 32
TOTALS = ("governed", "step_count", "steps_done", "steps_failed", "tools", "usage")
"""Fields that a run takes from executions of older fold versions, so they must keep their names and meaning."""


class _Json:
    """Dataclasses stored as JSON objects. Default values are omitted, which keeps most of them short."""

    def dump(self) -> dict[str, Any]:
        """The value as JSON, without defaults."""
        dumped: dict[str, Any] = {}
        for item in dataclasses.fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value = getattr(self, item.name)
            if item.default_factory is not dataclasses.MISSING:
                if not value:
                    continue
            elif value == item.default:
                continue
            dumped[item.name] = _dump(value)
        return dumped

    @classmethod
    def load(cls, value: dict[str, Any]) -> Self:
        """Load a dumped value."""
        return cls(**value)


T = TypeVar("T", bound=_Json)


def _optional(kind: type[T], value: dict[str, Any] | None) -> T | None:
    return None if value is None else kind.load(value)


def _dump(value: Any) -> Any:
    if isinstance(value, _Json):
        return value.dump()
    if isinstance(value, dict):
        return {str(key): _dump(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_dump(item) for item in value]
    return value


@dataclass(kw_only=True)
class OpenStep(_Json):
    """A step that has not ended."""

    kind: str
    label: str
    """Its title, else its name: what `current_step` shows."""
    status: str
    due_at: str | None = None
    call_key: str | None = None
    attempts: int = 0
    attempts_before: int = 0
    """Attempts of the step's earlier calls, before it was called again."""
    local_type: str | None = None
    """The activity type of a local call that waits for an approval or policy: all that its next marker can be matched by."""
    confirms: str | None = None
    """The explicit approval that was approved, but not yet confirmed by the worker."""
    changed: dict[str, Any] | None = None
    """The arguments that an approver changed, as a stored payload: the call sends these."""
    refused: str | None = None
    """Why the worker rejected changed arguments as invalid: the call is made with the original ones."""
    policy_tries: int = 0
    """How often the call has waited because of a stale policy."""
    since: str | None = None
    """When the current call was scheduled."""
    child: str | None = None
    """The workflow id, if the step is a child workflow."""
    update_id: str | None = None
    parent: int | None = None
    """The key of the step that it belongs to."""
    usage: dict[str, Any] = field(default_factory=dict)
    """An agent's usage so far."""


@dataclass(kw_only=True)
class StartedTask(_Json):
    """A workflow task that a worker took."""

    event_id: int
    at: str
    build: str | None = None
    """The build that took it."""


@dataclass(kw_only=True)
class CompletedTask(_Json):
    """A completed workflow task."""

    event_id: int
    began_at: str


@dataclass(kw_only=True)
class Backoff(_Json):
    """A local activity whose backoff timer is the next timer to start."""

    step: int
    seconds: float


@dataclass(kw_only=True)
class AbandonedRequest(_Json):
    """A model request in flight that its agent no longer waits for."""

    step: int
    agent: int
    """The agent's step."""


@dataclass(kw_only=True)
class Admitted(_Json):
    """An update that is admitted but not yet accepted."""

    name: str | None
    input: dict[str, Any] | None


@dataclass(kw_only=True)
class ExpiryTimer(_Json):
    """A timer that ends when an approval expires."""

    approval: str
    """The approval's id."""


@dataclass(kw_only=True)
class StepTimer(_Json):
    """A timer after which a step continues: a local activity's backoff, or a wait because of a stale policy."""

    step: int


@dataclass(kw_only=True)
class IdleTimer(_Json):
    """A timer whose end has no effect: a pause between decisions, or one that a reset voided."""


Timer = ExpiryTimer | StepTimer | IdleTimer
"""The purpose of a timer that isn't shown as a step."""


def _timer(value: dict[str, Any]) -> Timer:
    if "approval" in value:
        return ExpiryTimer.load(value)
    return StepTimer.load(value) if "step" in value else IdleTimer()


@dataclass(kw_only=True)
class Signalled(_Json):
    """A valid decision signal that no workflow task has seen yet, or the one that counted."""

    event_id: int
    at: str
    decision: dict[str, Any]
    public_key: str | None = None
    """The public key that verifies its signature."""
    identity: str | None = None
    request_id: str | None = None


@dataclass(kw_only=True)
class FoldedApproval(_Json):
    """An approval: its terms, its timer, the decisions not yet seen by a workflow task, and the one that counted."""

    step: int
    terms: dict[str, Any]
    """Without `shown`, which judging doesn't need."""
    timer: int | None = None
    until: str | None = None
    """A decision counts only in a workflow task that started before this."""
    expires_at: str | None = None
    signalled: list[Signalled] = field(default_factory=list)
    counted: Signalled | None = None
    foreign: bool = False
    """Its terms name another execution: a reset's copy, or a forgery."""
    closed: str | None = None
    """How it ended, for those kept in `closed_approvals`."""

    @classmethod
    def load(cls, value: dict[str, Any]) -> Self:
        """Load a dumped value."""
        rest = {key: item for key, item in value.items() if key not in ("signalled", "counted")}
        counted = value.get("counted")
        return cls(
            **rest,
            signalled=[Signalled.load(item) for item in value.get("signalled", ())],
            counted=Signalled.load(counted) if counted else None,
        )


@dataclass(kw_only=True)
class FoldState(_Json):
    """The fold's state of one execution."""

    execution_id: str
    last_event_id: int = 0
    last_event_at: str | None = None
    kind: str = "first"
    started_at: str | None = None
    workflow: str = ""
    workflow_id: str | None = None
    task_queue: str = ""
    first_execution_id: str = ""
    parent_execution_id: str | None = None
    status: str = "running"
    """Temporal's own status of this execution."""
    first_task_at: str | None = None
    """When a delayed, retried or cron execution begins its first task."""
    build: str | None = None
    governed: bool = False
    """Whether the execution began under the plugin, as far as known."""
    claims: list[bool] = field(default_factory=list)
    """For each completed task, whether its build claims a governed worker. Recorded until the first event that isn't a task's."""
    begun: bool = False
    """Whether that event has come, so that `claims` is no longer needed."""
    claimed: bool = False
    """The claim of the last completed task, whose commands the current events are."""
    paused: bool = False
    hold: str | None = None
    """Why the run paused itself, as a code."""
    hold_detail: str | None = None
    """The same as a sentence."""
    interrupts: list[str] = field(default_factory=list)
    """The commands of interruptions for which the run hasn't paused yet."""
    resumed_since: bool = False
    """Whether the run was resumed after the last interruption."""
    temporal_paused: bool = False
    cancel_requested: bool = False
    task: str | None = None
    """When the pending workflow task was scheduled."""
    task_started: StartedTask | None = None
    """The last started workflow task."""
    task_completed: CompletedTask | None = None
    """The last completed workflow task."""
    problem: str | None = None
    """Why the last workflow task failed, until one completes."""
    misfit: bool = False
    """Whether it failed because the worker's code doesn't match the history, so that only other code helps."""
    steps: dict[int, OpenStep] = field(default_factory=dict)
    agents: dict[str, int] = field(default_factory=dict)
    """The step of each open agent call, by its call key."""
    usage: dict[str, Any] = field(default_factory=dict)
    """The usage of its model turns. Turns that a reset copied count for the original execution."""
    calls: dict[int, int] = field(default_factory=dict)
    """The step of each open activity, by the id of its scheduled event."""
    given_up: dict[int, AbandonedRequest] = field(default_factory=dict)
    """Abandoned model requests, by the id of their scheduled event."""
    activity_ids: dict[int, str] = field(default_factory=dict)
    """The activity id, by which Describe names each open activity, by the id of its scheduled event."""
    local: dict[str, int] = field(default_factory=dict)
    """The step of each local activity in backoff, by the key that its markers share."""
    timers: dict[int, Timer] = field(default_factory=dict)
    backoff: Backoff | None = None
    approvals: dict[str, FoldedApproval] = field(default_factory=dict)
    """The open approvals, by id."""
    closed_approvals: dict[str, FoldedApproval] = field(default_factory=dict)
    """The last closed approvals, by id."""
    updates: dict[str, Admitted] = field(default_factory=dict)
    step_count: int = 0
    steps_done: int = 0
    steps_failed: int = 0
    opaque: int = 0
    tools: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, value: dict[str, Any]) -> Self:
        """Load a dumped value."""
        loaded = cls(**value)
        loaded.steps = {int(key): OpenStep.load(item) for key, item in value.get("steps", {}).items()}
        loaded.calls = {int(key): item for key, item in value.get("calls", {}).items()}
        loaded.given_up = {int(key): AbandonedRequest.load(item) for key, item in value.get("given_up", {}).items()}
        loaded.activity_ids = {int(key): item for key, item in value.get("activity_ids", {}).items()}
        loaded.timers = {int(key): _timer(item) for key, item in value.get("timers", {}).items()}
        loaded.approvals = {key: FoldedApproval.load(item) for key, item in value.get("approvals", {}).items()}
        loaded.closed_approvals = {
            key: FoldedApproval.load(item) for key, item in value.get("closed_approvals", {}).items()
        }
        loaded.local = dict(value.get("local", {}))
        loaded.agents = dict(value.get("agents", {}))
        loaded.usage = dict(value.get("usage", {}))
        loaded.updates = {key: Admitted.load(item) for key, item in value.get("updates", {}).items()}
        loaded.task_started = _optional(StartedTask, value.get("task_started"))
        loaded.task_completed = _optional(CompletedTask, value.get("task_completed"))
        loaded.backoff = _optional(Backoff, value.get("backoff"))
        loaded.tools = list(value.get("tools", ()))
        loaded.interrupts = list(value.get("interrupts", ()))
        loaded.claims = list(value.get("claims", ()))
        return loaded

    @classmethod
    def load_totals(cls, value: dict[str, Any]) -> Self:
        """Load only what a run adds up over its executions, from a state dumped by another fold version: its other fields may differ."""
        return cls(**{name: value[name] for name in ("execution_id", *TOTALS) if name in value})

    @property
    def approvals_pending(self) -> int:
        """The number of open approvals, without copies and forgeries."""
        return sum(not approval.foreign for approval in self.approvals.values())

    @property
    def closed(self) -> bool:
        """Whether the execution has ended."""
        return self.status != "running"
