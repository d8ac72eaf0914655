"""Approvals as a history has them: their terms, their timers, and the first valid decision in time."""

from __future__ import annotations

from typing import Any

from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent

from agentgrid.domain.approvals import Terms, judge
from tests.oracle.histories import Seen, as_json, of, summary_of

GATE_TIMER = "agentgrid.approval:"


def asked_in(failure: Any) -> Terms | None:
    info = failure.application_failure_info
    if info.type != "ApprovalRequired" or not info.details.payloads:
        return None
    return _terms(as_json(info.details.payloads[0]))


def opened_in(marker: Any) -> Terms | None:
    result = marker.details["result"].payloads if "result" in marker.details else []
    return _terms(as_json(result[0])) if len(result) == 1 else None


def _terms(value: Any) -> Terms | None:
    try:
        return Terms.model_validate(value)
    except ValueError:
        return None


def all_terms(seen: Seen) -> dict[str, Terms]:
    found: dict[str, Terms] = {}
    governed = {
        event.event_id for event, a in of(seen.events, "activity_task_scheduled") if "agentgrid-key" in a.header.fields
    }
    for _, a in of(seen.events, "activity_task_failed"):
        if a.scheduled_event_id in governed and (terms := asked_in(a.failure)) is not None:
            found[terms.approval_id] = terms
    for _, a in of(seen.events, "marker_recorded"):
        if a.marker_name != "core_local_activity":
            continue
        data = as_json(a.details["data"].payloads[0])
        terms = opened_in(a) if data["activity_type"] == "agentgrid.open_approval" else asked_in(a.failure)
        if terms is not None:
            found[terms.approval_id] = terms
    return found


def timer_of(seen: Seen, approval_id: str, *, ended: bool = False) -> int | None:
    started = [
        event.event_id
        for event, _ in of(seen.events, "timer_started")
        if summary_of(event) == f"{GATE_TIMER}{approval_id}"
    ]
    if not started:
        return None
    if not ended:
        return started[0]
    fork = max((event.event_id for event, _ in forks(seen)), default=0)
    ends = [
        event.event_id
        for name in ("timer_fired", "timer_canceled")
        for event, a in of(seen.events, name)
        if a.started_event_id == started[0]
    ]
    return ends[0] if ends and not started[0] < fork < ends[0] else None


def forks(seen: Seen) -> list[tuple[HistoryEvent, Any]]:
    reset = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW
    return [(event, a) for event, a in of(seen.events, "workflow_task_failed") if a.cause == reset]


def read_approvals(seen: Seen) -> None:
    for approval_id in all_terms(seen):
        seen.approvals[approval_id] = approval_status(seen, approval_id)


def approval_status(seen: Seen, approval_id: str) -> str:
    """An approval's status, by its timer, and the first valid decision that came in time."""
    terms = all_terms(seen)[approval_id]
    timer = timer_of(seen, approval_id)
    if timer is None:
        return "pending" if seen.open and not _called_again(seen, terms) else "cancelled"
    fired = [event.event_id for event, a in of(seen.events, "timer_fired") if a.started_event_id == timer]
    cancelled = [event.event_id for event, a in of(seen.events, "timer_canceled") if a.started_event_id == timer]
    end = (fired or cancelled or [None])[0]
    if any(timer < event.event_id < (end or event.event_id + 1) for event, _ in forks(seen)):
        return "cancelled"
    verdict = _verdict(seen, terms, timer)
    if end is not None:
        return verdict or ("expired" if fired else "cancelled")
    if seen.open:
        return "pending"
    return verdict or "cancelled"


def _called_again(seen: Seen, terms: Terms) -> bool:
    """Whether the call was made again although its gate never waited: a reset came in between."""
    calls = [
        event.event_id
        for event, a in of(seen.events, "activity_task_scheduled")
        if as_json(a.header.fields.get("agentgrid-key")) == terms.key
    ]
    asked = [
        event.event_id
        for event, a in of(seen.events, "activity_task_failed")
        if (again := asked_in(a.failure)) is not None and again.approval_id == terms.approval_id
    ]
    return bool(calls and asked and calls[-1] > asked[0])


def _verdict(seen: Seen, terms: Terms, timer: int) -> str | None:
    """The first valid decision after the timer whose task began before the deadline."""
    completed = {event.event_id: a.started_event_id for event, a in of(seen.events, "workflow_task_completed")}
    times = {event.event_id: event.event_time.ToNanoseconds() for event in seen.events}
    scheduling = seen.events[timer - 1].timer_started_event_attributes.workflow_task_completed_event_id
    begun = times[completed[scheduling]] if scheduling in completed else times[timer]
    deadline = begun + int(terms.expires_seconds * 1e9)
    for event, a in of(seen.events, "workflow_execution_signaled"):
        if a.signal_name != "agentgrid.decide" or event.event_id < timer or len(a.input.payloads) != 1:
            continue
        verdict = judge(terms, a.input.payloads[0].data).verdict
        if verdict is None:
            continue
        seeing = [start for start in sorted(completed.values()) if start > event.event_id]
        if seeing and times[seeing[0]] < deadline:
            return verdict.value
    return None
