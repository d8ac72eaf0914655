"""Signals, updates, and requests to other executions."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent

from agentgrid.domain.approvals import MAX_DECISION_BYTES
from agentgrid.domain.steps import StepStatus
from agentgrid.projector import history_events
from agentgrid.projector.decode.reader import EventParts, EventReader, Reader, error_of
from agentgrid.protocol import HEADER_RUN, SIGNAL_CONTROL, SIGNAL_DECIDE, ControlSignal

MAX_CONTROL_BYTES = 8192


def signaled(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    sender = {"identity": a.identity or None, "request_id": a.request_id or None}
    sent = list(a.input.payloads)
    size = sum(len(payload.data) for payload in sent)
    if a.signal_name == SIGNAL_DECIDE:
        # The workflow accepts exactly one raw payload of bounded size, whatever encoding it claims.
        problem = None if len(sent) == 1 else f"{len(sent)} payloads instead of one"
        if size > MAX_DECISION_BYTES:
            problem = f"over {MAX_DECISION_BYTES} bytes"
        return history_events.Decided, {"raw": b"" if problem else sent[0].data, "problem": problem, **sender}
    if a.signal_name == SIGNAL_CONTROL:
        control = _control(sent[0].data) if len(sent) == 1 and size <= MAX_CONTROL_BYTES else None
        return history_events.Controlled, {"control": control, **sender}
    return history_events.Signaled, {"name": a.signal_name, "input": reader.stored(sent), **sender}


def update_admitted(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.UpdateAdmitted, {
        "update_id": a.request.meta.update_id,
        "name": a.request.input.name,
        "input": reader.stored(a.request.input.args.payloads),
    }


def update_accepted(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    values: dict[str, Any] = {"update_id": a.protocol_instance_id}
    if a.HasField("accepted_request"):
        values["name"] = a.accepted_request.input.name
        values["input"] = reader.stored(a.accepted_request.input.args.payloads)
    return history_events.UpdateAccepted, values


def update_completed(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    failed = a.outcome.HasField("failure")
    return history_events.UpdateCompleted, {
        "accepted_event_id": a.accepted_event_id,
        "update_id": a.meta.update_id or None,
        "output": None if failed else reader.stored(a.outcome.success.payloads),
        "error": reader.error(a.outcome.failure) if failed else None,
    }


def child_initiated(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.CallInitiated, {
        "kind": "child",
        "name": a.workflow_type.name,
        "workflow_id": a.workflow_id,
        "task_queue": a.task_queue.name or None,
        "title": reader.summary(event),
        "governed": HEADER_RUN in a.header.fields,
        "input": reader.stored(a.input.payloads),
    }


def child_started(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.CallStarted, {
        "initiated_event_id": a.initiated_event_id,
        "workflow_id": a.workflow_execution.workflow_id or None,
        "execution_id": a.workflow_execution.run_id or None,
    }


def signal_initiated(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.CallInitiated, {
        "kind": "signal",
        "name": a.signal_name,
        "workflow_id": a.workflow_execution.workflow_id,
        "own_child": a.child_workflow_only,
        "title": f"to {a.workflow_execution.workflow_id}",
        "input": reader.stored(a.input.payloads),
    }


def cancel_initiated(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.CallInitiated, {
        "kind": "cancel",
        "name": "cancel",
        "workflow_id": a.workflow_execution.workflow_id,
        "own_child": a.child_workflow_only,
        "title": f"cancel {a.workflow_execution.workflow_id}",
    }


def nexus_scheduled(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.CallInitiated, {
        "kind": "nexus",
        "name": f"{a.service}.{a.operation}",
        "title": reader.summary(event) or a.endpoint,
        "input": reader.stored([a.input]) if a.HasField("input") else reader.stored([]),
    }


def nexus_started(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.CallStarted, {"initiated_event_id": a.scheduled_event_id}


def call_done(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    """An external signal or cancel that was delivered."""
    return history_events.CallClosed, {"initiated_event_id": a.initiated_event_id, "status": StepStatus.COMPLETED}


def call_refused(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    """A child that couldn't be started; an external signal or cancel that couldn't be delivered."""
    field = a.DESCRIPTOR.fields_by_name["cause"]
    cause = field.enum_type.values_by_number[a.cause].name.rpartition("_CAUSE_")[2].lower()
    return history_events.CallClosed, {
        "initiated_event_id": a.initiated_event_id,
        "status": StepStatus.FAILED,
        "error": error_of(cause, cause.replace("_", " ")),
    }


def closing(status: StepStatus, initiated: str, message: str | None = None) -> EventReader:
    """Make a reader for an event that ends a child or a Nexus operation with this status."""

    def read(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
        values: dict[str, Any] = {"initiated_event_id": getattr(a, initiated), "status": status}
        names = a.DESCRIPTOR.fields_by_name
        if "result" in names and status is StepStatus.COMPLETED:
            result = a.result
            values["output"] = reader.stored([result] if isinstance(result, Payload) else list(result.payloads))
        if "failure" in names and a.HasField("failure"):
            values["error"] = reader.error(a.failure)
        elif message is not None:
            values["error"] = error_of(message[: message.index(":")], message[message.index(":") + 1 :])
        return history_events.CallClosed, values

    return read


def _control(data: bytes) -> ControlSignal | None:
    try:
        return ControlSignal.model_validate_json(data)
    except ValidationError:
        return None
