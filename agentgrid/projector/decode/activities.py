"""Activities, markers and timers."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import TypeAdapter, ValidationError
from temporalio.api.history.v1 import HistoryEvent

from agentgrid.domain.activities import PLAIN, classify
from agentgrid.domain.approvals import Terms
from agentgrid.domain.steps import StepKind, StepStatus
from agentgrid.projector import history_events
from agentgrid.projector.decode import agents, foreign
from agentgrid.projector.decode.reader import EventParts, Reader, seconds_of, terms_of, time_of
from agentgrid.protocol import (
    ACTIVITY_CONFIRM_APPROVAL,
    ACTIVITY_OPEN_AGENT,
    ACTIVITY_OPEN_APPROVAL,
    AGENT_ACTIVITIES,
    HEADER_KEY,
    Confirmation,
    text_of,
)
from agentgrid.temporal.payloads import ARGUMENTS_BYTES

MARKER_LOCAL = "core_local_activity"
MARKER_LOCAL_FOREIGN = "LocalActivity"
"""The marker of the Go and Java SDKs, which don't use the core that the other SDKs share."""
MARKER_PATCH = "core_patch"
_CONFIRMATION = TypeAdapter(Confirmation)


def activity_scheduled(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    kind, name = classify(a.activity_type.name)
    read = _CALLS.get(kind.step)
    call = read(reader, a) if read is not None else None
    if read is not None and call is None:
        kind, name = PLAIN, a.activity_type.name
    return history_events.ActivityScheduled, {
        "activity_id": a.activity_id,
        "activity_type": a.activity_type.name,
        "task_queue": a.task_queue.name,
        "title": reader.summary(event),
        "call_key": text_of(a.header.fields.get(HEADER_KEY)),
        "agent": agents.caller(a),
        "headed": HEADER_KEY in a.header.fields,
        "kind": kind.step,
        "name": name,
        **(call or {"input": reader.stored(a.input.payloads, limit=ARGUMENTS_BYTES)}),
    }


def _tool_call(reader: Reader, a: Any) -> dict[str, Any] | None:
    """Version and arguments of a tool's call; None if the input doesn't have the form of one."""
    if len(a.input.payloads) != 1:
        return None
    value = reader.value(a.input.payloads[0])
    if not isinstance(value, dict) or not isinstance(value.get("args"), dict):
        return None
    version = value.get("version")
    return {
        "tool_version": version if isinstance(version, str) else None,
        "input": reader.stored_value(value["args"], limit=ARGUMENTS_BYTES),
    }


_CALLS = {StepKind.TOOL: _tool_call, StepKind.MODEL: agents.model_call}
"""Readers of a call's input, by the kind that the activity type claims. If the input has another form, the call is a plain activity."""


def activity_started(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.ActivityStarted, {
        "scheduled_event_id": a.scheduled_event_id,
        "attempt": a.attempt,
        "worker": a.identity or None,
    }


def activity_completed(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.ActivityClosed, {
        "scheduled_event_id": a.scheduled_event_id,
        "status": StepStatus.COMPLETED,
        "output": reader.stored(a.result.payloads),
        "turn": agents.turn(reader, a),
    }


def activity_failed(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.ActivityClosed, {
        "scheduled_event_id": a.scheduled_event_id,
        "status": StepStatus.FAILED,
        "error": reader.error(a.failure),
        "terms": reader.terms(a.failure),
        "policy_wait": reader.policy_wait(a.failure),
    }


def activity_timed_out(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.ActivityClosed, {
        "scheduled_event_id": a.scheduled_event_id,
        "status": StepStatus.TIMED_OUT,
        "error": reader.error(a.failure),
    }


def activity_canceled(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.ActivityClosed, {
        "scheduled_event_id": a.scheduled_event_id,
        "status": StepStatus.CANCELLED,
        "output": reader.optional(a, "details"),
    }


def marker(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    if a.marker_name == MARKER_LOCAL:
        return _local_activity(reader, event, a)
    if a.marker_name == MARKER_LOCAL_FOREIGN:
        return foreign.local_activity(reader, event, a)
    if a.marker_name == MARKER_PATCH:
        data = json.loads(a.details["patch-data"].payloads[0].data)
        return history_events.Patched, {"patch": data["id"]}
    return history_events.Ignored, {"kind": f"marker {a.marker_name}"}


def _local_activity(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    data = json.loads(a.details["data"].payloads[0].data)
    name: str = data["activity_type"]
    kind, subject = classify(name)
    first = data.get("original_schedule_time") or {}
    values: dict[str, Any] = {
        "activity_id": data["activity_id"],
        "activity_type": name,
        "attempt": data["attempt"],
        "first_scheduled_at": time_of(Timestamp(seconds=first.get("seconds", 0), nanos=first.get("nanos", 0))),
        "title": reader.summary(event),
        "kind": kind.step,
        "name": subject,
    }
    if name == ACTIVITY_OPEN_AGENT:
        values |= {"kind": StepKind.AGENT, "name": values["title"]}
    if a.HasField("failure"):
        if (backoff := data.get("backoff")) is not None:
            values["backs_off"] = True
            values["backoff_seconds"] = backoff.get("seconds", 0) + backoff.get("nanos", 0) / 1e9
        values["error"] = reader.error(a.failure)
        values["terms"] = reader.terms(a.failure)
        values["policy_wait"] = reader.policy_wait(a.failure)
        values["cancelled"] = a.failure.WhichOneof("failure_info") == "canceled_failure_info"
    elif name == ACTIVITY_OPEN_APPROVAL and (terms := _opened(reader, a)) is not None:
        values["explicit"] = True
        values["shown"] = reader.stored_value(terms.shown, limit=ARGUMENTS_BYTES)
        values["terms"] = terms.model_copy(update={"shown": None})
    elif name == ACTIVITY_CONFIRM_APPROVAL and (confirmation := _confirmed(reader, a)) is not None:
        values["confirmation"] = confirmation
    elif name in AGENT_ACTIVITIES:
        values |= agents.marker(reader, name, a)
    else:
        result = list(a.details["result"].payloads)
        values["output"] = reader.stored(result)
    return history_events.LocalActivity, values


def _opened(reader: Reader, a: Any) -> Terms | None:
    result = a.details["result"].payloads
    return terms_of(reader.value(result[0])) if len(result) == 1 else None


def _confirmed(reader: Reader, a: Any) -> Confirmation | None:
    result = a.details["result"].payloads
    try:
        return _CONFIRMATION.validate_python(reader.value(result[0])) if len(result) == 1 else None
    except ValidationError:
        return None


def timer_started(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.TimerStarted, {
        "timer_id": a.timer_id,
        "seconds": seconds_of(a.start_to_fire_timeout),
        "summary": reader.summary(event),
    }


def timer_fired(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.TimerEnded, {"started_event_id": a.started_event_id, "fired": True}


def timer_canceled(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.TimerEnded, {"started_event_id": a.started_event_id, "fired": False}
