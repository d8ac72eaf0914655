"""The status of an execution, from the fold's state alone, before Describe refines it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agentgrid.domain.runs import ExecutionKind, RunStatus, WaitingOn
from agentgrid.domain.steps import WORKS, StepKind, StepStatus
from agentgrid.projector.fold.passing import when
from agentgrid.projector.fold.state import FoldState, OpenStep


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The status of an open execution and related columns, as its run shows them."""

    status: RunStatus
    waiting_on: WaitingOn | None = None
    reason: str | None = None
    current_step: str | None = None
    current_kind: str | None = None
    next_at: datetime | None = None


def summarise(state: FoldState) -> Summary:
    """Summarise an open execution."""
    status, waiting_on, reason = _status(state)
    current = _current(state)
    return Summary(
        status=status,
        waiting_on=waiting_on,
        reason=reason,
        current_step=current.label if current is not None else None,
        current_kind=current.kind if current is not None else None,
        next_at=next_at(state),
    )


def _status(state: FoldState) -> tuple[RunStatus, WaitingOn | None, str | None]:
    if state.paused and state.governed:
        return RunStatus.PAUSED, None, state.problem or state.hold_detail
    if state.temporal_paused:
        return RunStatus.PAUSED, None, "paused in Temporal itself"
    if state.cancel_requested:
        return RunStatus.CANCELLING, None, state.problem
    if state.problem is not None:
        # This takes precedence over approvals: until a task completes, no decision can take effect.
        return RunStatus.WAITING, WaitingOn.WORKER if state.misfit else WaitingOn.RETRY, state.problem
    if state.approvals:
        return RunStatus.WAITING, WaitingOn.APPROVAL, None
    if state.task is not None:
        return RunStatus.RUNNING, None, None
    if state.first_task_at is not None:
        retried = state.kind == ExecutionKind.RETRY.value
        return RunStatus.WAITING, WaitingOn.RETRY if retried else WaitingOn.TIMER, None
    return _waiting_for_steps(state)


def _waiting_for_steps(state: FoldState) -> tuple[RunStatus, WaitingOn | None, str | None]:
    kinds = {step.kind for step in state.steps.values()}
    backing_off = set(state.local.values())
    for_policy = {key for key, step in state.steps.items() if step.policy_tries and step.status == StepStatus.WAITING}
    if any(step.kind in WORKS and key not in backing_off | for_policy for key, step in state.steps.items()):
        return RunStatus.RUNNING, None, None
    if for_policy:
        return RunStatus.WAITING, WaitingOn.POLICY, "the policy of its worker is stale"
    if backing_off:
        return RunStatus.WAITING, WaitingOn.RETRY, None
    if StepKind.CHILD in kinds:
        return RunStatus.WAITING, WaitingOn.CHILD, None
    if StepKind.TIMER in kinds:
        return RunStatus.WAITING, WaitingOn.TIMER, None
    if state.last_event_id <= 1:
        return RunStatus.RUNNING, None, None
    return RunStatus.WAITING, WaitingOn.SIGNAL, None


def _current(state: FoldState) -> OpenStep | None:
    """The run's current step: one that waits for people, otherwise one that is working, otherwise the newest."""
    if not state.steps:
        return None

    def rank(item: tuple[int, OpenStep]) -> tuple[int, int]:
        key, step = item
        waits_for_people = step.status == StepStatus.WAITING.value and step.kind != StepKind.TIMER.value
        return (2 if waits_for_people else 1 if step.kind in WORKS else 0, key)

    return max(state.steps.items(), key=rank)[1]


def next_at(state: FoldState) -> datetime | None:
    """When the next timer, retry or expiry is due."""
    times = [when(step.due_at) for step in state.steps.values()]
    times.append(when(state.first_task_at))
    return min((at for at in times if at is not None), default=None)
