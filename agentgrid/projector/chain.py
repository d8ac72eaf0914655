"""Derives a run from its executions. Pure: its input is the chain and what Temporal last reported about the newest execution.

An execution continues another (continue-as-new, retry, cron) or forks from it (reset). The run shows the newest execution without a
successor. Sums cover the shown executions, so they agree with the list of steps. A closed execution ends its run only if it has no
successor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from agentgrid.domain.agents import Usage, add
from agentgrid.domain.places import failing_place
from agentgrid.domain.runs import ExecutionStatus, RunStatus, WaitingOn
from agentgrid.domain.steps import WORKS
from agentgrid.projector.fold.state import FoldState
from agentgrid.projector.fold.summary import Summary, summarise
from agentgrid.protocol import ErrorType

ENDS = {
    ExecutionStatus.COMPLETED: RunStatus.COMPLETED,
    ExecutionStatus.FAILED: RunStatus.FAILED,
    ExecutionStatus.CANCELED: RunStatus.CANCELLED,
    ExecutionStatus.TERMINATED: RunStatus.TERMINATED,
    ExecutionStatus.TIMED_OUT: RunStatus.TIMED_OUT,
}
MAX_REASON = 500
"""Longer reasons are truncated, because lists show them."""


@dataclass(frozen=True, kw_only=True)
class ChainLink:
    """The part of an execution that its run is derived from."""

    execution_id: str
    status: str
    started_at: datetime
    closed_at: datetime | None = None
    continued_from: str | None = None
    continued_to: str | None = None
    reset_from: str | None = None
    reset_to: str | None = None
    workflow: str = ""
    task_queue: str = ""
    build: str | None = None
    error: Mapping[str, Any] | None = None
    state: FoldState
    live_task_attempt: int | None = None
    live_problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class LiveStep:
    """Temporal's last report about an open activity."""

    event_id: int
    state: str
    attempt: int
    error_type: str | None = None
    next_retry_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Chain:
    """The columns of a run that are derived from its executions."""

    columns: dict[str, Any]
    tip: ChainLink
    left_behind: dict[str, str] = field(default_factory=dict)
    """Executions that a reset left behind, each with the execution that replaced it."""


def newest(links: Sequence[ChainLink]) -> ChainLink:
    """The execution without a successor; if the chain has forked, the one that started last."""
    followed = {link.reset_from for link in links} | {link.continued_from for link in links}
    tips = [link for link in links if link.execution_id not in followed] or list(links)
    return max(tips, key=lambda link: (link.started_at, link.execution_id))


def derive(links: Sequence[ChainLink], live: Mapping[str, Sequence[LiveStep]] | None = None) -> Chain:
    """Derive the run's columns from all its executions and from Temporal's reports about their open activities."""
    tip = newest(links)
    left_behind = _left_behind(links, tip)
    shown = [link for link in links if link.execution_id not in left_behind]
    end = _end(tip)
    summary = Summary(status=end) if end is not None else _open_summary(tip, (live or {}).get(tip.execution_id, ()))
    pending = tip.state.approvals_pending if end is None else 0
    columns: dict[str, Any] = {
        "execution_id": tip.execution_id,
        "workflow": tip.workflow,
        "task_queue": tip.task_queue,
        "build": tip.build or next((link.build for link in reversed(_by_age(links)) if link.build), None),
        "status": summary.status.value,
        "waiting_on": summary.waiting_on.value if summary.waiting_on is not None else None,
        "status_reason": _end_reason(tip) if end is not None else summary.reason,
        "hold": tip.state.hold if summary.status is RunStatus.PAUSED else None,
        "error_type": _cause(tip.error).get("type") if end is not None else None,
        "temporal_status": tip.status,
        "governed": tip.state.governed,
        "started_at": min(link.started_at for link in links),
        "closed_at": tip.closed_at if end is not None else None,
        "current_step": summary.current_step,
        "current_kind": summary.current_kind,
        "next_at": summary.next_at,
        "step_count": sum(link.state.step_count for link in shown),
        "steps_done": sum(link.state.steps_done for link in shown),
        "steps_failed": sum(link.state.steps_failed for link in shown),
        "approvals_pending": pending,
        "usage": usage_of(links),
        "tools": sorted({tool for link in links for tool in link.state.tools}),
    }
    return Chain(columns=columns, tip=tip, left_behind=left_behind)


def usage_of(links: Sequence[ChainLink]) -> dict[str, Any] | None:
    """The usage of the model turns of all executions, including those that a reset left behind: it was spent."""
    total = Usage()
    for link in links:
        total = add(total, Usage(**link.state.usage))
    return {name: value for name, value in asdict(total).items() if value is not None} if total.requests else None


def _by_age(links: Sequence[ChainLink]) -> list[ChainLink]:
    return sorted(links, key=lambda link: (link.started_at, link.execution_id))


def _end(tip: ChainLink) -> RunStatus | None:
    """How the run ended; None while it is open or the execution has a successor."""
    if tip.continued_to is not None or tip.reset_to is not None:
        return None
    return ENDS.get(ExecutionStatus(tip.status))


def _end_reason(tip: ChainLink) -> str | None:
    """Why the run ended. For a failure: the name of what failed, the innermost cause (Temporal wraps it in "Activity task failed"), and the place."""
    error = tip.error or {}
    failed = error.get("failed")
    place = failing_place(str(error.get("stack", "")))
    while error.get("cause"):
        error = error["cause"]
        failed = error.get("failed") or failed
        place = failing_place(str(error.get("stack", ""))) or place
    message = error.get("message")
    if tip.status != ExecutionStatus.FAILED:
        return str(message)[:MAX_REASON] if message else None
    reason = ": ".join(str(part) for part in (failed, error.get("type"), message) if part)
    at = f" (at {place})" if place and reason else ""
    return reason[: MAX_REASON - len(at)] + at or None


def _cause(error: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The innermost cause of an error."""
    innermost = error or {}
    while innermost.get("cause"):
        innermost = innermost["cause"]
    return innermost


def _open_summary(tip: ChainLink, live: Sequence[LiveStep]) -> Summary:
    """The status of an open run: from history, refined by Temporal's last report."""
    if tip.state.closed:
        # The execution has ended, but its successor has not been read yet.
        return Summary(status=RunStatus.RUNNING)
    summary = summarise(tip.state)
    if summary.status not in (RunStatus.RUNNING, RunStatus.WAITING):
        return replace(summary, reason=tip.live_problem or summary.reason)
    if tip.live_problem is not None:
        # This takes precedence over approvals: a decision, too, needs the worker to take effect.
        retrying = (tip.live_task_attempt or 0) > 1 and not tip.state.misfit
        return _waiting(summary, WaitingOn.RETRY if retrying else WaitingOn.WORKER, tip.live_problem, None)
    if tip.state.task is not None or summary.status is not RunStatus.RUNNING:
        return summary
    return _refine_by_attempts(tip.state, summary, live)


def _refine_by_attempts(state: FoldState, summary: Summary, live: Sequence[LiveStep]) -> Summary:
    """Waiting if every open activity waits: for its next attempt, for policy, or for a worker."""
    reported = {step.event_id: step for step in live}
    remote = list(state.calls.values())
    working = [key for key, step in state.steps.items() if step.kind in WORKS]
    if not remote or set(working) != set(remote) or not all(key in reported for key in remote):
        return summary
    activities = [reported[key] for key in remote]
    if any(step.state not in ("scheduled", "paused") for step in activities):
        return summary
    if paused := [state.steps[step.event_id].label for step in activities if step.state == "paused"]:
        reason = f"paused in Temporal itself, and must be unpaused there: {', '.join(paused)}"
        return _waiting(summary, WaitingOn.RETRY, reason[:500], None)
    retries = [step for step in activities if step.attempt > 1]
    if not retries:
        return _waiting(summary, WaitingOn.WORKER, "no worker has taken it", None)
    next_at = min((step.next_retry_at for step in retries if step.next_retry_at is not None), default=None)
    stale = all(step.error_type == ErrorType.POLICY_STALE for step in retries)
    return _waiting(summary, WaitingOn.POLICY if stale else WaitingOn.RETRY, None, next_at)


def _waiting(summary: Summary, waiting_on: WaitingOn, reason: str | None, next_at: datetime | None) -> Summary:
    times = [at for at in (summary.next_at, next_at) if at is not None]
    return Summary(
        status=RunStatus.WAITING,
        waiting_on=waiting_on,
        reason=reason,
        current_step=summary.current_step,
        current_kind=summary.current_kind,
        next_at=min(times, default=None),
    )


def _left_behind(links: Sequence[ChainLink], tip: ChainLink) -> dict[str, str]:
    """Executions that are neither the tip nor predecessors that it continued: a reset left them behind."""
    by_id = {link.execution_id: link for link in links}
    shown: set[str] = set()
    at: str | None = tip.execution_id
    while at is not None and at in by_id and at not in shown:
        shown.add(at)
        at = by_id[at].continued_from
    successors = {link.reset_from: link.execution_id for link in _by_age(links) if link.reset_from is not None}
    if not successors:
        return {}
    return {key: successors.get(key, tip.execution_id) for key in by_id if key not in shown}
