"""History events as Temporal sends them, to the plain events that the fold reads. No I/O, and nothing raises.

Payloads must have been through the codec (`temporal/payloads.decode_events`). A type that this version doesn't know, or an event that
can't be read, becomes `Unknown`: it is counted and never blocks a run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import ValidationError
from temporalio.api.common.v1 import Header, Payload
from temporalio.api.enums.v1 import ContinueAsNewInitiator, EventType, TimeoutType, WorkflowTaskFailedCause
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.converter import PayloadConverter

from agentgrid.domain.approvals import MAX_DECISION_BYTES, Terms
from agentgrid.domain.runs import ExecutionKind, ExecutionStatus
from agentgrid.domain.steps import StepStatus
from agentgrid.projector import events
from agentgrid.protocol import (
    ACTIVITY_OPEN_APPROVAL,
    HEADER_KEY,
    HEADER_RUN,
    MEMO,
    SIGNAL_CONTROL,
    SIGNAL_DECIDE,
    TOOL_PREFIX,
    ControlSignal,
    ErrorType,
    RunHeader,
    text_of,
)
from agentgrid.temporal import payloads
from agentgrid.temporal.payloads import ARGUMENTS_BYTES, Opaque

MARKER_LOCAL = "core_local_activity"
MARKER_PATCH = "core_patch"
MAX_CONTROL_BYTES = 8192
PREFIX = "EVENT_TYPE_"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INITIATORS = {
    ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_RETRY: ExecutionKind.RETRY,
    ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE: ExecutionKind.CRON,
}


def decode(history: Sequence[HistoryEvent], converter: PayloadConverter) -> list[events.Event]:
    """The plain event of each history event, in the same order."""
    reader = _Reader(converter)
    return [reader.read(event) for event in history]


def time_of(stamp: Timestamp) -> datetime:
    """Aware UTC, to the microsecond, rounded down: the database keeps no more."""
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def seconds_of(duration: Duration) -> float:
    """A duration in seconds."""
    return float(duration.seconds) + duration.nanos / 1e9


class _Reader:
    """Reads one history; holds the converter and, per event, how many payloads were opaque."""

    def __init__(self, converter: PayloadConverter) -> None:
        self._converter = converter
        self._opaque = 0

    def read(self, event: HistoryEvent) -> events.Event:
        self._opaque = 0
        at = time_of(event.event_time)
        name = event.WhichOneof("attributes")
        kind = _kind(event)
        try:
            read = _READERS.get(name or "")
            if read is None:
                if kind in _PASSED:
                    return events.Passed(event_id=event.event_id, at=at, kind=kind)
                return events.Unknown(event_id=event.event_id, at=at, kind=kind, opaque=1)
            build, values = read(self, event, getattr(event, name or ""))
            return build(event_id=event.event_id, at=at, opaque=self._opaque, **values)
        except Exception:
            # A poison event is shown as opaque and counted: one broken payload must never hide the rest of a run.
            return events.Unknown(event_id=event.event_id, at=at, kind=kind, opaque=1)

    # --- helpers ---

    def stored(self, values: Sequence[Payload], *, limit: int = payloads.INLINE_BYTES) -> events.Stored:
        found = payloads.store(values, self._converter, limit=limit)
        self._opaque += payloads.is_opaque(found)
        return found

    def optional(self, message: Any, field: str) -> events.Stored | None:
        return self.stored(getattr(message, field).payloads) if message.HasField(field) else None

    def error(self, failure: Failure) -> events.Stored:
        return payloads.store_failure(failure, self._converter)

    def value(self, payload: Payload) -> Any:
        return payloads.value_of(payload, self._converter)

    def summary(self, event: HistoryEvent) -> str | None:
        if not event.HasField("user_metadata") or not event.user_metadata.HasField("summary"):
            return None
        value = self.value(event.user_metadata.summary)
        return value if isinstance(value, str) else None

    def terms(self, failure: Failure) -> Terms | None:
        """The terms in an `ApprovalRequired` failure, wrapped or not."""
        info = failure.application_failure_info
        if info.type != ErrorType.APPROVAL_REQUIRED or not info.details.payloads:
            return None
        return _terms(self.value(info.details.payloads[0]))

    # --- the execution ---

    def started(self, event: HistoryEvent, a: Any) -> _Built:
        kind = ExecutionKind.FIRST
        if a.continued_execution_run_id:
            kind = _INITIATORS.get(a.initiator, ExecutionKind.CONTINUED)
        memo = payloads.memo_values(a.memo, self._converter).get(MEMO)
        return events.Started, {
            "workflow": a.workflow_type.name,
            "task_queue": a.task_queue.name,
            "first_execution_id": a.first_execution_run_id,
            "kind": kind,
            "continued_from": a.continued_execution_run_id or None,
            "parent_workflow_id": a.parent_workflow_execution.workflow_id or None,
            "parent_execution_id": a.parent_workflow_execution.run_id or None,
            "root_execution_id": a.root_workflow_execution.run_id or None,
            "backoff_seconds": seconds_of(a.first_workflow_task_backoff),
            "memo": memo if isinstance(memo, dict) else None,
            "header": _run_header(a.header),
            "input": self.stored(a.input.payloads),
        }

    def completed(self, event: HistoryEvent, a: Any) -> _Built:
        return events.Closed, {
            "status": ExecutionStatus.COMPLETED,
            "continued_to": a.new_execution_run_id or None,
            "result": self.stored(a.result.payloads),
        }

    def failed(self, event: HistoryEvent, a: Any) -> _Built:
        return events.Closed, {
            "status": ExecutionStatus.FAILED,
            "continued_to": a.new_execution_run_id or None,
            "error": self.error(a.failure),
        }

    def timed_out(self, event: HistoryEvent, a: Any) -> _Built:
        return events.Closed, {
            "status": ExecutionStatus.TIMED_OUT,
            "continued_to": a.new_execution_run_id or None,
            "error": _error("TimeoutError", "the execution ran into its timeout"),
        }

    def canceled(self, event: HistoryEvent, a: Any) -> _Built:
        return events.Closed, {"status": ExecutionStatus.CANCELED, "result": self.optional(a, "details")}

    def terminated(self, event: HistoryEvent, a: Any) -> _Built:
        return events.Closed, {
            "status": ExecutionStatus.TERMINATED,
            "error": _error("TerminatedError", a.reason or "terminated"),
            "identity": a.identity or None,
        }

    def continued(self, event: HistoryEvent, a: Any) -> _Built:
        return events.Closed, {
            "status": ExecutionStatus.CONTINUED_AS_NEW,
            "continued_to": a.new_execution_run_id or None,
            "error": self.error(a.failure) if a.HasField("failure") else None,
        }

    def cancel_requested(self, event: HistoryEvent, a: Any) -> _Built:
        return events.CancelRequested, {"reason": a.cause or None, "identity": a.identity or None}

    def paused(self, event: HistoryEvent, a: Any) -> _Built:
        return events.TemporalPaused, {"paused": True, "reason": a.reason or None}

    def unpaused(self, event: HistoryEvent, a: Any) -> _Built:
        return events.TemporalPaused, {"paused": False, "reason": a.reason or None}

    # --- workflow tasks ---

    def task_scheduled(self, event: HistoryEvent, a: Any) -> _Built:
        return events.TaskScheduled, {"attempt": a.attempt}

    def task_started(self, event: HistoryEvent, a: Any) -> _Built:
        return events.TaskStarted, {}

    def task_completed(self, event: HistoryEvent, a: Any) -> _Built:
        # Without a deployment the SDK still sends a build id, but of the interpreter's modules: it names no version of anybody's.
        build = a.deployment_version.build_id or (a.worker_version.build_id if a.worker_deployment_name else "")
        return events.TaskCompleted, {"started_event_id": a.started_event_id, "build": build or None}

    def task_failed(self, event: HistoryEvent, a: Any) -> _Built:
        fork = a.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW
        return events.TaskFailed, {
            "cause": _word(WorkflowTaskFailedCause.Name(a.cause), "WORKFLOW_TASK_FAILED_CAUSE_"),
            "error": self.error(a.failure) if a.HasField("failure") else None,
            "fork": fork,
            "base_execution_id": a.base_run_id or None,
            "new_execution_id": a.new_run_id or None,
            "reason": a.failure.message or None if fork else None,
        }

    def task_timed_out(self, event: HistoryEvent, a: Any) -> _Built:
        if a.timeout_type == TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START:
            # The worker that held the execution in its cache is gone: the task goes to any other, and nothing has failed.
            return events.TaskScheduled, {}
        word = _word(TimeoutType.Name(a.timeout_type), "TIMEOUT_TYPE_")
        return events.TaskFailed, {
            "cause": "timed_out",
            "error": _error("TimeoutError", f"the workflow task timed out ({word})"),
        }

    # --- activities ---

    def activity_scheduled(self, event: HistoryEvent, a: Any) -> _Built:
        call = self._tool_call(a)
        return events.ActivityScheduled, {
            "activity_id": a.activity_id,
            "activity_type": a.activity_type.name,
            "task_queue": a.task_queue.name,
            "title": self.summary(event),
            "call_key": text_of(a.header.fields.get(HEADER_KEY)),
            **(call or {"input": self.stored(a.input.payloads, limit=ARGUMENTS_BYTES)}),
        }

    def _tool_call(self, a: Any) -> dict[str, Any] | None:
        """Tool, version and arguments of an activity that is a tool's call, else None."""
        name: str = a.activity_type.name
        if not name.startswith(TOOL_PREFIX) or len(a.input.payloads) != 1:
            return None
        value = self.value(a.input.payloads[0])
        if not isinstance(value, dict) or not isinstance(value.get("args"), dict):
            return None
        version = value.get("version")
        return {
            "tool": name.removeprefix(TOOL_PREFIX),
            "tool_version": version if isinstance(version, str) else None,
            "input": payloads.store_value(value["args"], limit=ARGUMENTS_BYTES),
        }

    def activity_started(self, event: HistoryEvent, a: Any) -> _Built:
        return events.ActivityStarted, {
            "scheduled_event_id": a.scheduled_event_id,
            "attempt": a.attempt,
            "worker": a.identity or None,
        }

    def activity_completed(self, event: HistoryEvent, a: Any) -> _Built:
        return events.ActivityClosed, {
            "scheduled_event_id": a.scheduled_event_id,
            "status": StepStatus.COMPLETED,
            "output": self.stored(a.result.payloads),
        }

    def activity_failed(self, event: HistoryEvent, a: Any) -> _Built:
        return events.ActivityClosed, {
            "scheduled_event_id": a.scheduled_event_id,
            "status": StepStatus.FAILED,
            "error": self.error(a.failure),
            "terms": self.terms(a.failure),
        }

    def activity_timed_out(self, event: HistoryEvent, a: Any) -> _Built:
        return events.ActivityClosed, {
            "scheduled_event_id": a.scheduled_event_id,
            "status": StepStatus.TIMED_OUT,
            "error": self.error(a.failure),
        }

    def activity_canceled(self, event: HistoryEvent, a: Any) -> _Built:
        return events.ActivityClosed, {
            "scheduled_event_id": a.scheduled_event_id,
            "status": StepStatus.CANCELLED,
            "output": self.optional(a, "details"),
        }

    # --- markers ---

    def marker(self, event: HistoryEvent, a: Any) -> _Built:
        if a.marker_name == MARKER_LOCAL:
            return self._local_activity(event, a)
        if a.marker_name == MARKER_PATCH:
            data = json.loads(a.details["patch-data"].payloads[0].data)
            return events.Patched, {"patch": data["id"]}
        return events.Passed, {"kind": f"marker {a.marker_name}"}

    def _local_activity(self, event: HistoryEvent, a: Any) -> _Built:
        data = json.loads(a.details["data"].payloads[0].data)
        name: str = data["activity_type"]
        first = data.get("original_schedule_time") or {}
        values: dict[str, Any] = {
            "activity_id": data["activity_id"],
            "activity_type": name,
            "attempt": data["attempt"],
            "first_scheduled_at": time_of(Timestamp(seconds=first.get("seconds", 0), nanos=first.get("nanos", 0))),
            "title": self.summary(event),
            "tool": name.removeprefix(TOOL_PREFIX) if name.startswith(TOOL_PREFIX) else None,
        }
        if a.HasField("failure"):
            if (backoff := data.get("backoff")) is not None:
                values["backs_off"] = True
                values["backoff_seconds"] = backoff.get("seconds", 0) + backoff.get("nanos", 0) / 1e9
            values["error"] = self.error(a.failure)
            values["terms"] = self.terms(a.failure)
            values["cancelled"] = a.failure.WhichOneof("failure_info") == "canceled_failure_info"
        elif name == ACTIVITY_OPEN_APPROVAL and (terms := self._opened(a)) is not None:
            values["explicit"] = True
            values["shown"] = payloads.store_value(terms.shown, limit=ARGUMENTS_BYTES)
            values["terms"] = terms.model_copy(update={"shown": None})
        else:
            result = list(a.details["result"].payloads)
            values["output"] = self.stored(result)
        return events.LocalActivity, values

    def _opened(self, a: Any) -> Terms | None:
        result = a.details["result"].payloads
        return _terms(self.value(result[0])) if len(result) == 1 else None

    # --- timers ---

    def timer_started(self, event: HistoryEvent, a: Any) -> _Built:
        return events.TimerStarted, {
            "timer_id": a.timer_id,
            "seconds": seconds_of(a.start_to_fire_timeout),
            "task_completed_event_id": a.workflow_task_completed_event_id,
            "summary": self.summary(event),
        }

    def timer_fired(self, event: HistoryEvent, a: Any) -> _Built:
        return events.TimerEnded, {"started_event_id": a.started_event_id, "fired": True}

    def timer_canceled(self, event: HistoryEvent, a: Any) -> _Built:
        return events.TimerEnded, {"started_event_id": a.started_event_id, "fired": False}

    # --- messages ---

    def signaled(self, event: HistoryEvent, a: Any) -> _Built:
        sender = {"identity": a.identity or None, "request_id": a.request_id or None}
        given = list(a.input.payloads)
        size = sum(len(payload.data) for payload in given)
        if a.signal_name == SIGNAL_DECIDE:
            # The workflow takes exactly one raw payload of bounded size, whatever encoding it claims.
            problem = None if len(given) == 1 else f"{len(given)} payloads instead of one"
            if size > MAX_DECISION_BYTES:
                problem = f"over {MAX_DECISION_BYTES} bytes"
            return events.Decided, {"raw": b"" if problem else given[0].data, "problem": problem, **sender}
        if a.signal_name == SIGNAL_CONTROL:
            control = _control(given[0].data) if len(given) == 1 and size <= MAX_CONTROL_BYTES else None
            return events.Controlled, {"control": control, **sender}
        return events.Signaled, {"name": a.signal_name, "input": self.stored(given), **sender}

    def update_admitted(self, event: HistoryEvent, a: Any) -> _Built:
        return events.UpdateAdmitted, {
            "update_id": a.request.meta.update_id,
            "name": a.request.input.name,
            "input": self.stored(a.request.input.args.payloads),
        }

    def update_accepted(self, event: HistoryEvent, a: Any) -> _Built:
        values: dict[str, Any] = {"update_id": a.protocol_instance_id}
        if a.HasField("accepted_request"):
            values["name"] = a.accepted_request.input.name
            values["input"] = self.stored(a.accepted_request.input.args.payloads)
        return events.UpdateAccepted, values

    def update_completed(self, event: HistoryEvent, a: Any) -> _Built:
        failed = a.outcome.HasField("failure")
        return events.UpdateCompleted, {
            "accepted_event_id": a.accepted_event_id,
            "output": None if failed else self.stored(a.outcome.success.payloads),
            "error": self.error(a.outcome.failure) if failed else None,
        }

    # --- other executions ---

    def child_initiated(self, event: HistoryEvent, a: Any) -> _Built:
        return events.CallInitiated, {
            "kind": "child",
            "name": a.workflow_type.name,
            "workflow_id": a.workflow_id,
            "task_queue": a.task_queue.name or None,
            "title": self.summary(event),
            "governed": HEADER_RUN in a.header.fields,
            "input": self.stored(a.input.payloads),
        }

    def child_started(self, event: HistoryEvent, a: Any) -> _Built:
        return events.CallStarted, {
            "initiated_event_id": a.initiated_event_id,
            "workflow_id": a.workflow_execution.workflow_id or None,
            "execution_id": a.workflow_execution.run_id or None,
        }

    def signal_initiated(self, event: HistoryEvent, a: Any) -> _Built:
        return events.CallInitiated, {
            "kind": "signal",
            "name": a.signal_name,
            "workflow_id": a.workflow_execution.workflow_id,
            "title": f"to {a.workflow_execution.workflow_id}",
            "input": self.stored(a.input.payloads),
        }

    def cancel_initiated(self, event: HistoryEvent, a: Any) -> _Built:
        return events.CallInitiated, {
            "kind": "cancel",
            "name": "cancel",
            "workflow_id": a.workflow_execution.workflow_id,
            "title": f"cancel {a.workflow_execution.workflow_id}",
        }

    def nexus_scheduled(self, event: HistoryEvent, a: Any) -> _Built:
        return events.CallInitiated, {
            "kind": "nexus",
            "name": f"{a.service}.{a.operation}",
            "title": self.summary(event) or a.endpoint,
            "input": self.stored([a.input]) if a.HasField("input") else self.stored([]),
        }

    def nexus_started(self, event: HistoryEvent, a: Any) -> _Built:
        return events.CallStarted, {"initiated_event_id": a.scheduled_event_id}

    def call_done(self, event: HistoryEvent, a: Any) -> _Built:
        """An external signal or cancel that was delivered."""
        return events.CallClosed, {"initiated_event_id": a.initiated_event_id, "status": StepStatus.COMPLETED}

    def call_refused(self, event: HistoryEvent, a: Any) -> _Built:
        """A child that couldn't be started; an external signal or cancel that couldn't be delivered."""
        field = a.DESCRIPTOR.fields_by_name["cause"]
        cause = field.enum_type.values_by_number[a.cause].name.rpartition("_CAUSE_")[2].lower()
        return events.CallClosed, {
            "initiated_event_id": a.initiated_event_id,
            "status": StepStatus.FAILED,
            "error": _error(cause, cause.replace("_", " ")),
        }


def _closing(status: StepStatus, initiated: str, message: str | None = None) -> _Read:
    """A reader of the events that end a child or a Nexus operation with this status."""

    def read(self: _Reader, event: HistoryEvent, a: Any) -> _Built:
        values: dict[str, Any] = {"initiated_event_id": getattr(a, initiated), "status": status}
        names = a.DESCRIPTOR.fields_by_name
        if "result" in names and status is StepStatus.COMPLETED:
            given = a.result
            values["output"] = self.stored([given] if isinstance(given, Payload) else list(given.payloads))
        if "failure" in names and a.HasField("failure"):
            values["error"] = self.error(a.failure)
        elif message is not None:
            values["error"] = _error(message[: message.index(":")], message[message.index(":") + 1 :])
        return events.CallClosed, values

    return read


_Built = tuple[Callable[..., events.Event], dict[str, Any]]
_Read = Callable[[_Reader, HistoryEvent, Any], _Built]


def _kind(event: HistoryEvent) -> str:
    try:
        return EventType.Name(event.event_type).removeprefix(PREFIX).lower()
    except ValueError:
        return f"type {event.event_type}"


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


def _error(kind: str, message: str) -> events.Stored:
    return {"type": kind, "message": message, "retryable": False}


def _terms(value: Any) -> Terms | None:
    if isinstance(value, Opaque):
        return None
    try:
        return Terms.model_validate(value)
    except ValidationError:
        return None


def _run_header(header: Header) -> RunHeader | None:
    payload = header.fields.get(HEADER_RUN)
    if payload is None:
        return None
    try:
        return RunHeader.model_validate_json(payload.data)
    except ValidationError:
        return None


def _control(data: bytes) -> ControlSignal | None:
    try:
        return ControlSignal.model_validate_json(data)
    except ValidationError:
        return None


def _attributes(name: str) -> str:
    return f"{name}_event_attributes"


_CHILD = "child_workflow_execution_"
_READERS: dict[str, _Read] = {
    _attributes(name): read
    for name, read in {
        "workflow_execution_started": _Reader.started,
        "workflow_execution_completed": _Reader.completed,
        "workflow_execution_failed": _Reader.failed,
        "workflow_execution_timed_out": _Reader.timed_out,
        "workflow_execution_canceled": _Reader.canceled,
        "workflow_execution_terminated": _Reader.terminated,
        "workflow_execution_continued_as_new": _Reader.continued,
        "workflow_execution_cancel_requested": _Reader.cancel_requested,
        "workflow_execution_paused": _Reader.paused,
        "workflow_execution_unpaused": _Reader.unpaused,
        "workflow_task_scheduled": _Reader.task_scheduled,
        "workflow_task_started": _Reader.task_started,
        "workflow_task_completed": _Reader.task_completed,
        "workflow_task_failed": _Reader.task_failed,
        "workflow_task_timed_out": _Reader.task_timed_out,
        "activity_task_scheduled": _Reader.activity_scheduled,
        "activity_task_started": _Reader.activity_started,
        "activity_task_completed": _Reader.activity_completed,
        "activity_task_failed": _Reader.activity_failed,
        "activity_task_timed_out": _Reader.activity_timed_out,
        "activity_task_canceled": _Reader.activity_canceled,
        "marker_recorded": _Reader.marker,
        "timer_started": _Reader.timer_started,
        "timer_fired": _Reader.timer_fired,
        "timer_canceled": _Reader.timer_canceled,
        "workflow_execution_signaled": _Reader.signaled,
        "workflow_execution_update_admitted": _Reader.update_admitted,
        "workflow_execution_update_accepted": _Reader.update_accepted,
        "workflow_execution_update_completed": _Reader.update_completed,
        "start_child_workflow_execution_initiated": _Reader.child_initiated,
        "start_child_workflow_execution_failed": _Reader.call_refused,
        f"{_CHILD}started": _Reader.child_started,
        f"{_CHILD}completed": _closing(StepStatus.COMPLETED, "initiated_event_id"),
        f"{_CHILD}failed": _closing(StepStatus.FAILED, "initiated_event_id"),
        f"{_CHILD}canceled": _closing(StepStatus.CANCELLED, "initiated_event_id"),
        f"{_CHILD}timed_out": _closing(
            StepStatus.TIMED_OUT, "initiated_event_id", "TimeoutError:the child ran into its timeout"
        ),
        f"{_CHILD}terminated": _closing(
            StepStatus.FAILED, "initiated_event_id", "TerminatedError:the child was terminated"
        ),
        "signal_external_workflow_execution_initiated": _Reader.signal_initiated,
        "signal_external_workflow_execution_failed": _Reader.call_refused,
        "external_workflow_execution_signaled": _Reader.call_done,
        "request_cancel_external_workflow_execution_initiated": _Reader.cancel_initiated,
        "request_cancel_external_workflow_execution_failed": _Reader.call_refused,
        "external_workflow_execution_cancel_requested": _Reader.call_done,
        "nexus_operation_scheduled": _Reader.nexus_scheduled,
        "nexus_operation_started": _Reader.nexus_started,
        "nexus_operation_completed": _closing(StepStatus.COMPLETED, "scheduled_event_id"),
        "nexus_operation_failed": _closing(StepStatus.FAILED, "scheduled_event_id"),
        "nexus_operation_canceled": _closing(StepStatus.CANCELLED, "scheduled_event_id"),
        "nexus_operation_timed_out": _closing(StepStatus.TIMED_OUT, "scheduled_event_id"),
    }.items()
}
_PASSED = frozenset(
    {
        "activity_task_cancel_requested",
        "activity_properties_modified_externally",
        "upsert_workflow_search_attributes",
        "workflow_execution_options_updated",
        "workflow_execution_time_skipping_transitioned",
        "workflow_execution_update_rejected",
        "workflow_properties_modified",
        "workflow_properties_modified_externally",
        "nexus_operation_cancel_requested",
        "nexus_operation_cancel_request_completed",
        "nexus_operation_cancel_request_failed",
    }
)
