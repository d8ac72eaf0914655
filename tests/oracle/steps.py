"""Steps in a history, each looked up separately."""

from __future__ import annotations

from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent

from agentgrid.domain.approvals import Terms
from tests.oracle.approvals import APPROVAL_TIMER, approval_status, terms_in_failure, terms_in_result, timer_of
from tests.oracle.histories import (
    Execution,
    as_json,
    events_of_type,
    if_open,
    local_of,
    name_and_attributes,
    summary_of,
)

_NO_ACTIVITIES = {
    "agentgrid.open_approval",
    "agentgrid.confirm_approval",
    "agentgrid.open_agent",
    "agentgrid.close_agent",
    "agentgrid.hold",
}
"""Local activities that aren't steps."""
_CLOSINGS = {
    "activity_task_completed": "completed",
    "activity_task_failed": "failed",
    "activity_task_timed_out": "timed_out",
    "activity_task_canceled": "cancelled",
    "child_workflow_execution_completed": "completed",
    "child_workflow_execution_failed": "failed",
    "child_workflow_execution_canceled": "cancelled",
    "child_workflow_execution_timed_out": "timed_out",
    "child_workflow_execution_terminated": "failed",
    "start_child_workflow_execution_failed": "failed",
    "signal_external_workflow_execution_failed": "failed",
    "external_workflow_execution_signaled": "completed",
    "request_cancel_external_workflow_execution_failed": "failed",
    "external_workflow_execution_cancel_requested": "completed",
    "nexus_operation_completed": "completed",
    "nexus_operation_failed": "failed",
    "nexus_operation_canceled": "cancelled",
    "nexus_operation_timed_out": "timed_out",
}
_INITIATED = {
    "start_child_workflow_execution_initiated": ("child", lambda a: a.workflow_type.name),
    "signal_external_workflow_execution_initiated": ("signal", lambda a: a.signal_name),
    "request_cancel_external_workflow_execution_initiated": ("signal", lambda a: "cancel"),
    "nexus_operation_scheduled": ("nexus", lambda a: f"{a.service}.{a.operation}"),
}


def read_steps(execution: Execution) -> None:
    _read_activities(execution)
    _read_local(execution)
    _read_explicit(execution)
    _read_agents(execution)
    closings: dict[int, str] = {}
    for event in execution.events:
        name, a = name_and_attributes(event)
        if name in _CLOSINGS and not name.startswith("activity"):
            key = a.scheduled_event_id if name.startswith("nexus") else a.initiated_event_id
            closings[key] = _CLOSINGS[name]
    started = {a.initiated_event_id for _, a in events_of_type(execution.events, "child_workflow_execution_started")}
    started |= {a.scheduled_event_id for _, a in events_of_type(execution.events, "nexus_operation_started")}
    for event in execution.events:
        name, a = name_and_attributes(event)
        key = event.event_id
        if name in _INITIATED:
            kind, label = _INITIATED[name]
            still = "running" if key in started else "scheduled"
            execution.steps[key] = (kind, label(a), closings.get(key) or if_open(execution, still), None)
        elif name == "workflow_execution_signaled" and not a.signal_name.startswith("agentgrid."):
            execution.steps[key] = ("signal", a.signal_name, "completed", None)
        elif name == "workflow_execution_update_accepted":
            done = [
                b
                for _, b in events_of_type(execution.events, "workflow_execution_update_completed")
                if b.accepted_event_id == key
            ]
            word = ("failed" if done[0].outcome.HasField("failure") else "completed") if done else ""
            update = a.accepted_request.input.name if a.HasField("accepted_request") else None
            execution.steps[key] = ("update", update or "*", word or if_open(execution, "running"), None)
        elif (
            name == "timer_started"
            and not summary_of(event).startswith(APPROVAL_TIMER)
            and not _backoff(execution, key)
        ):
            fired = {b.started_event_id for _, b in events_of_type(execution.events, "timer_fired")}
            cancelled = {b.started_event_id for _, b in events_of_type(execution.events, "timer_canceled")}
            word = "completed" if key in fired else "cancelled" if key in cancelled else if_open(execution, "waiting")
            execution.steps[key] = ("timer", summary_of(event) or "timer", word, None)


def _backoff(execution: Execution, timer_event_id: int) -> bool:
    """Whether the event before the timer is a local activity with a backoff."""
    name, a = name_and_attributes(execution.events[timer_event_id - 2])
    data = local_of(a) if name == "marker_recorded" and a.HasField("failure") else None
    return data is not None and data.get("backoff") is not None


def _read_activities(execution: Execution) -> None:
    calls: dict[str, list[tuple[HistoryEvent, Any]]] = {}
    for event, a in events_of_type(execution.events, "activity_task_scheduled"):
        key = as_json(a.header.fields.get("agentgrid-key")) if "agentgrid-key" in a.header.fields else None
        calls.setdefault(str(key or event.event_id), []).append((event, a))
    for group in calls.values():
        first_event, first = group[0]
        last_event, _ = group[-1]
        kind, name = _kind_of(first.activity_type.name)
        closing, requested = _closing_of(execution, last_event.event_id)
        attempts = [
            a.attempt
            for _, a in events_of_type(execution.events, "activity_task_started")
            if a.scheduled_event_id == last_event.event_id
        ]
        if requested and len(group[-1][1].header.fields.get("agentgrid-key", Payload()).data):
            status: str = _approval_step_status(execution, requested)
        else:
            status = closing or if_open(execution, "*")
        execution.steps[first_event.event_id] = (
            kind,
            name,
            status,
            attempts[-1] if attempts and not requested else None,
        )


def _closing_of(execution: Execution, scheduled: int) -> tuple[str | None, str | None]:
    """How the call ended, or the id of the approval that it requires."""
    for event in execution.events:
        name, a = name_and_attributes(event)
        if name in _CLOSINGS and name.startswith("activity") and a.scheduled_event_id == scheduled:
            if name == "activity_task_failed":
                terms = terms_in_failure(a.failure)
                if terms is not None:
                    return None, terms.approval_id
            return _CLOSINGS[name], None
    return None, None


def _approval_step_status(execution: Execution, approval_id: str) -> str:
    """The status of a step whose call requires an approval, derived from that approval."""
    return {
        "pending": if_open(execution, "waiting"),
        "approved": if_open(execution, "scheduled"),
        "rejected": "failed",
        "expired": "timed_out",
        "cancelled": "cancelled" if timer_of(execution, approval_id, ended=True) else if_open(execution, "scheduled"),
    }[approval_status(execution, approval_id)]


def _read_local(execution: Execution) -> None:
    """Read local activities. Only the time of their first scheduling, or else their type, tells which markers belong to one call."""
    threads: dict[str, list[tuple[HistoryEvent, Any, dict[str, Any]]]] = {}
    waiting: dict[str, str] = {}
    for event, a in events_of_type(execution.events, "marker_recorded"):
        data = local_of(a)
        if data is None:
            continue
        kind = data["activity_type"]
        first_of_its_call = "original_schedule_time" not in data and data["attempt"] == 1
        earlier = None if first_of_its_call else waiting.pop(kind, None)
        thread = earlier or f"{kind} {data.get('original_schedule_time', event.event_id)}"
        threads.setdefault(thread, []).append((event, a, data))
        unscheduled = "original_schedule_time" not in data and data.get("backoff") is not None
        if unscheduled or (a.marker_name == "core_local_activity" and terms_in_failure(a.failure) is not None):
            waiting[kind] = thread
    for markers in threads.values():
        first_event, _, data = markers[0]
        _, last, last_data = markers[-1]
        kind, name = _kind_of(data["activity_type"])
        terms = terms_in_failure(last.failure) if last.marker_name == "core_local_activity" else None
        if name in _NO_ACTIVITIES:
            continue
        if terms is not None:
            status = _approval_step_status(execution, terms.approval_id)
        elif last.HasField("failure"):
            cancelled = last.failure.HasField("canceled_failure_info")
            cancelled |= last.failure.cause.HasField("canceled_failure_info") and last.marker_name == "LocalActivity"
            status = "cancelled" if cancelled else "failed"
            if last_data.get("backoff") is not None:
                status = if_open(execution, "scheduled")
        else:
            status = "completed"
        execution.steps[first_event.event_id] = (kind, name, status, last_data["attempt"] if terms is None else None)


def _kind_of(activity_type: str) -> tuple[str, str]:
    kind, _, name = activity_type.partition(".")
    return (kind, name) if name and kind in ("tool", "model") else ("activity", activity_type)


def _read_agents(execution: Execution) -> None:
    """Read agents' calls: one marker opens each and another closes it, joined by the call key."""
    opened: dict[str, tuple[int, str]] = {}
    for event, a in events_of_type(execution.events, "marker_recorded"):
        if a.marker_name != "core_local_activity":
            continue
        kind = as_json(a.details["data"].payloads[0])["activity_type"]
        if a.HasField("failure"):
            if kind == "agentgrid.open_agent":
                execution.steps[event.event_id] = ("agent", as_json(event.user_metadata.summary), "failed", 1)
            continue
        result = as_json(a.details["result"].payloads[0])
        if kind == "agentgrid.open_agent":
            opened[result["call"]] = (event.event_id, result["agent"])
        elif kind == "agentgrid.close_agent" and result["call"] in opened:
            key, name = opened.pop(result["call"])
            status = "cancelled" if result["cancelled"] else "failed" if result["error_type"] else "completed"
            execution.steps[key] = ("agent", name, status, 1)
    for key, name in opened.values():
        execution.steps[key] = ("agent", name, if_open(execution, "running"), 1)


def _read_explicit(execution: Execution) -> None:
    """Read explicit approvals. One that is requested again under the same key, because the worker did not confirm the decision, is the same step."""
    requests: dict[tuple[str, str], list[tuple[int, Terms]]] = {}
    confirmed: dict[str, bool] = {}
    for event, a in events_of_type(execution.events, "marker_recorded"):
        if a.marker_name != "core_local_activity" or a.HasField("failure"):
            continue
        kind = as_json(a.details["data"].payloads[0])["activity_type"]
        if kind == "agentgrid.open_approval" and (terms := terms_in_result(a)) is not None:
            requests.setdefault((terms.execution_id, terms.key or ""), []).append((event.event_id, terms))
        elif kind == "agentgrid.confirm_approval":
            result = as_json(a.details["result"].payloads[0])
            confirmed[result["approval_id"]] = result["holds"]
    for opened in requests.values():
        last = opened[-1][1]
        approval = approval_status(execution, last.approval_id)
        ends = {"rejected": "failed", "expired": "timed_out", "cancelled": "*"}
        status = ends.get(approval) or if_open(execution, "scheduled" if approval == "approved" else "waiting")
        if approval == "approved" and confirmed.get(last.approval_id):
            status = "completed"
        execution.steps[opened[0][0]] = ("approval", last.title, status, None)
