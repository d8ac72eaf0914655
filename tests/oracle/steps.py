"""Steps as a history has them, each looked up by itself."""

from __future__ import annotations

from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent

from agentgrid.domain.approvals import Terms
from tests.oracle.approvals import GATE_TIMER, approval_status, asked_in, opened_in, timer_of
from tests.oracle.histories import Seen, as_json, local_of, named, of, open_word, summary_of

_NO_ACTIVITIES = {
    "agentgrid.open_approval",
    "agentgrid.confirm_approval",
    "agentgrid.open_agent",
    "agentgrid.close_agent",
    "agentgrid.hold",
}
"""Local activities that are no steps of their own."""
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


def read_steps(seen: Seen) -> None:
    _read_activities(seen)
    _read_local(seen)
    _read_explicit(seen)
    _read_agents(seen)
    closings: dict[int, str] = {}
    for event in seen.events:
        name, a = named(event)
        if name in _CLOSINGS and not name.startswith("activity"):
            key = a.scheduled_event_id if name.startswith("nexus") else a.initiated_event_id
            closings[key] = _CLOSINGS[name]
    started = {a.initiated_event_id for _, a in of(seen.events, "child_workflow_execution_started")}
    started |= {a.scheduled_event_id for _, a in of(seen.events, "nexus_operation_started")}
    for event in seen.events:
        name, a = named(event)
        key = event.event_id
        if name in _INITIATED:
            kind, label = _INITIATED[name]
            still = "running" if key in started else "scheduled"
            seen.steps[key] = (kind, label(a), closings.get(key) or open_word(seen, still), None)
        elif name == "workflow_execution_signaled" and not a.signal_name.startswith("agentgrid."):
            seen.steps[key] = ("signal", a.signal_name, "completed", None)
        elif name == "workflow_execution_update_accepted":
            done = [b for _, b in of(seen.events, "workflow_execution_update_completed") if b.accepted_event_id == key]
            word = ("failed" if done[0].outcome.HasField("failure") else "completed") if done else ""
            update = a.accepted_request.input.name if a.HasField("accepted_request") else None
            seen.steps[key] = ("update", update or "*", word or open_word(seen, "running"), None)
        elif name == "timer_started" and not summary_of(event).startswith(GATE_TIMER) and not _backoff(seen, key):
            fired = {b.started_event_id for _, b in of(seen.events, "timer_fired")}
            cancelled = {b.started_event_id for _, b in of(seen.events, "timer_canceled")}
            word = "completed" if key in fired else "cancelled" if key in cancelled else open_word(seen, "waiting")
            seen.steps[key] = ("timer", summary_of(event) or "timer", word, None)


def _backoff(seen: Seen, timer_event_id: int) -> bool:
    """Whether the event before the timer is a local activity that backs off."""
    name, a = named(seen.events[timer_event_id - 2])
    data = local_of(a) if name == "marker_recorded" and a.HasField("failure") else None
    return data is not None and data.get("backoff") is not None


def _read_activities(seen: Seen) -> None:
    calls: dict[str, list[tuple[HistoryEvent, Any]]] = {}
    for event, a in of(seen.events, "activity_task_scheduled"):
        key = as_json(a.header.fields.get("agentgrid-key")) if "agentgrid-key" in a.header.fields else None
        calls.setdefault(str(key or event.event_id), []).append((event, a))
    for group in calls.values():
        first_event, first = group[0]
        last_event, _ = group[-1]
        kind, name = _kind_of(first.activity_type.name)
        closing, asked = _closing_of(seen, last_event.event_id)
        attempts = [
            a.attempt
            for _, a in of(seen.events, "activity_task_started")
            if a.scheduled_event_id == last_event.event_id
        ]
        if asked and len(group[-1][1].header.fields.get("agentgrid-key", Payload()).data):
            status: str = _gated_status(seen, asked)
        else:
            status = closing or open_word(seen, "*")
        seen.steps[first_event.event_id] = (kind, name, status, attempts[-1] if attempts and not asked else None)


def _closing_of(seen: Seen, scheduled: int) -> tuple[str | None, str | None]:
    """How the call ended, and the approval it asked for, if it did."""
    for event in seen.events:
        name, a = named(event)
        if name in _CLOSINGS and name.startswith("activity") and a.scheduled_event_id == scheduled:
            if name == "activity_task_failed":
                terms = asked_in(a.failure)
                if terms is not None:
                    return None, terms.approval_id
            return _CLOSINGS[name], None
    return None, None


def _gated_status(seen: Seen, approval_id: str) -> str:
    """The state of a call that ended with the request for an approval: it follows that approval."""
    return {
        "pending": open_word(seen, "waiting"),
        "approved": open_word(seen, "scheduled"),
        "rejected": "failed",
        "expired": "timed_out",
        "cancelled": "cancelled" if timer_of(seen, approval_id, ended=True) else open_word(seen, "scheduled"),
    }[approval_status(seen, approval_id)]


def _read_local(seen: Seen) -> None:
    """Local activities by type: which marker ends which call can be distinguished only by their first scheduling."""
    threads: dict[str, list[tuple[HistoryEvent, Any, dict[str, Any]]]] = {}
    waiting: dict[str, str] = {}
    for event, a in of(seen.events, "marker_recorded"):
        data = local_of(a)
        if data is None:
            continue
        kind = data["activity_type"]
        first_of_its_call = "original_schedule_time" not in data and data["attempt"] == 1
        again = None if first_of_its_call else waiting.pop(kind, None)
        thread = again or f"{kind} {data.get('original_schedule_time', event.event_id)}"
        threads.setdefault(thread, []).append((event, a, data))
        unscheduled = "original_schedule_time" not in data and data.get("backoff") is not None
        if unscheduled or (a.marker_name == "core_local_activity" and asked_in(a.failure) is not None):
            waiting[kind] = thread
    for markers in threads.values():
        first_event, _, data = markers[0]
        _, last, last_data = markers[-1]
        kind, name = _kind_of(data["activity_type"])
        asked = asked_in(last.failure) if last.marker_name == "core_local_activity" else None
        if name in _NO_ACTIVITIES:
            continue
        if asked is not None:
            status = _gated_status(seen, asked.approval_id)
        elif last.HasField("failure"):
            cancelled = last.failure.HasField("canceled_failure_info")
            cancelled |= last.failure.cause.HasField("canceled_failure_info") and last.marker_name == "LocalActivity"
            status = "cancelled" if cancelled else "failed"
            if last_data.get("backoff") is not None:
                status = open_word(seen, "scheduled")
        else:
            status = "completed"
        seen.steps[first_event.event_id] = (kind, name, status, last_data["attempt"] if asked is None else None)


def _kind_of(activity_type: str) -> tuple[str, str]:
    kind, _, name = activity_type.partition(".")
    return (kind, name) if name and kind in ("tool", "model") else ("activity", activity_type)


def _read_agents(seen: Seen) -> None:
    """Calls of agents: a marker opens each and another closes it, joined by the call's key."""
    opened: dict[str, tuple[int, str]] = {}
    for event, a in of(seen.events, "marker_recorded"):
        if a.marker_name != "core_local_activity":
            continue
        kind = as_json(a.details["data"].payloads[0])["activity_type"]
        if a.HasField("failure"):
            if kind == "agentgrid.open_agent":
                seen.steps[event.event_id] = ("agent", as_json(event.user_metadata.summary), "failed", 1)
            continue
        result = as_json(a.details["result"].payloads[0])
        if kind == "agentgrid.open_agent":
            opened[result["call"]] = (event.event_id, result["agent"])
        elif kind == "agentgrid.close_agent" and result["call"] in opened:
            key, name = opened.pop(result["call"])
            status = "cancelled" if result["cancelled"] else "failed" if result["error_type"] else "completed"
            seen.steps[key] = ("agent", name, status, 1)
    for key, name in opened.values():
        seen.steps[key] = ("agent", name, open_word(seen, "running"), 1)


def _read_explicit(seen: Seen) -> None:
    """Explicit approvals: one requested again under the same key, because the worker did not confirm the decision, is the same step."""
    asks: dict[tuple[str, str], list[tuple[int, Terms]]] = {}
    confirmed: dict[str, bool] = {}
    for event, a in of(seen.events, "marker_recorded"):
        if a.marker_name != "core_local_activity" or a.HasField("failure"):
            continue
        kind = as_json(a.details["data"].payloads[0])["activity_type"]
        if kind == "agentgrid.open_approval" and (terms := opened_in(a)) is not None:
            asks.setdefault((terms.execution_id, terms.key or ""), []).append((event.event_id, terms))
        elif kind == "agentgrid.confirm_approval":
            result = as_json(a.details["result"].payloads[0])
            confirmed[result["approval_id"]] = result["holds"]
    for opened in asks.values():
        last = opened[-1][1]
        decided = approval_status(seen, last.approval_id)
        words = {"rejected": "failed", "expired": "timed_out", "cancelled": "*"}
        status = words.get(decided) or open_word(seen, "scheduled" if decided == "approved" else "waiting")
        if decided == "approved" and confirmed.get(last.approval_id):
            status = "completed"
        seen.steps[opened[0][0]] = ("approval", last.title, status, None)
