"""Approvals in a history: their terms, timers, and the first valid decision before the deadline."""

from __future__ import annotations

from typing import Any

from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent

from agentgrid.domain.approvals import Terms, judge
from tests.oracle.histories import Execution, as_json, events_of_type, summary_of

APPROVAL_TIMER = "agentgrid.approval:"


def terms_in_failure(failure: Any) -> Terms | None:
    info = failure.application_failure_info
    if info.type != "ApprovalRequired" or not info.details.payloads:
        return None
    return _terms(as_json(info.details.payloads[0]))


def terms_in_result(marker: Any) -> Terms | None:
    result = marker.details["result"].payloads if "result" in marker.details else []
    return _terms(as_json(result[0])) if len(result) == 1 else None


def _terms(value: Any) -> Terms | None:
    try:
        return Terms.model_validate(value)
    except ValueError:
        return None


def all_terms(execution: Execution) -> dict[str, Terms]:
    by_id: dict[str, Terms] = {}
    governed = {
        event.event_id
        for event, a in events_of_type(execution.events, "activity_task_scheduled")
        if "agentgrid-key" in a.header.fields
    }
    for _, a in events_of_type(execution.events, "activity_task_failed"):
        if a.scheduled_event_id in governed and (terms := terms_in_failure(a.failure)) is not None:
            by_id[terms.approval_id] = terms
    for _, a in events_of_type(execution.events, "marker_recorded"):
        if a.marker_name != "core_local_activity":
            continue
        data = as_json(a.details["data"].payloads[0])
        terms = (
            terms_in_result(a) if data["activity_type"] == "agentgrid.open_approval" else terms_in_failure(a.failure)
        )
        if terms is not None:
            by_id[terms.approval_id] = terms
    return by_id


def timer_of(execution: Execution, approval_id: str, *, ended: bool = False) -> int | None:
    started = [
        event.event_id
        for event, _ in events_of_type(execution.events, "timer_started")
        if summary_of(event) == f"{APPROVAL_TIMER}{approval_id}"
    ]
    if not started:
        return None
    if not ended:
        return started[0]
    fork = max((event.event_id for event, _ in forks(execution)), default=0)
    ends = [
        event.event_id
        for name in ("timer_fired", "timer_canceled")
        for event, a in events_of_type(execution.events, name)
        if a.started_event_id == started[0]
    ]
    return ends[0] if ends and not started[0] < fork < ends[0] else None


def forks(execution: Execution) -> list[tuple[HistoryEvent, Any]]:
    reset = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW
    return [(event, a) for event, a in events_of_type(execution.events, "workflow_task_failed") if a.cause == reset]


def read_approvals(execution: Execution) -> None:
    for approval_id in all_terms(execution):
        execution.approvals[approval_id] = approval_status(execution, approval_id)


def approval_status(execution: Execution, approval_id: str) -> str:
    """An approval's status, from its timer and the first valid decision before the deadline."""
    terms = all_terms(execution)[approval_id]
    timer = timer_of(execution, approval_id)
    if timer is None:
        return "pending" if execution.open and not _called_again(execution, terms) else "cancelled"
    fired = [
        event.event_id for event, a in events_of_type(execution.events, "timer_fired") if a.started_event_id == timer
    ]
    cancelled = [
        event.event_id for event, a in events_of_type(execution.events, "timer_canceled") if a.started_event_id == timer
    ]
    end = (fired or cancelled or [None])[0]
    if any(timer < event.event_id < (end or event.event_id + 1) for event, _ in forks(execution)):
        return "cancelled"
    verdict = _verdict(execution, terms, timer)
    if end is not None:
        return verdict or ("expired" if fired else "cancelled")
    if execution.open:
        return "pending"
    return verdict or "cancelled"


def _called_again(execution: Execution, terms: Terms) -> bool:
    """Whether the call was made again although its approval never became decidable, because of a reset in between."""
    calls = [
        event.event_id
        for event, a in events_of_type(execution.events, "activity_task_scheduled")
        if as_json(a.header.fields.get("agentgrid-key")) == terms.key
    ]
    opened = [
        event.event_id
        for event, a in events_of_type(execution.events, "activity_task_failed")
        if (again := terms_in_failure(a.failure)) is not None and again.approval_id == terms.approval_id
    ]
    return bool(calls and opened and calls[-1] > opened[0])


def _verdict(execution: Execution, terms: Terms, timer: int) -> str | None:
    """The verdict of the first valid decision after the timer started that a task saw which started before the deadline."""
    completed = {
        event.event_id: a.started_event_id for event, a in events_of_type(execution.events, "workflow_task_completed")
    }
    times = {event.event_id: event.event_time.ToNanoseconds() for event in execution.events}
    scheduling = execution.events[timer - 1].timer_started_event_attributes.workflow_task_completed_event_id
    begun = times[completed[scheduling]] if scheduling in completed else times[timer]
    deadline = begun + int(terms.expires_seconds * 1e9)
    for event, a in events_of_type(execution.events, "workflow_execution_signaled"):
        if a.signal_name != "agentgrid.decide" or event.event_id < timer or len(a.input.payloads) != 1:
            continue
        verdict = judge(terms, a.input.payloads[0].data).verdict
        if verdict is None:
            continue
        tasks = [start for start in sorted(completed.values()) if start > event.event_id]
        if tasks and times[tasks[0]] < deadline:
            return verdict.value
    return None
