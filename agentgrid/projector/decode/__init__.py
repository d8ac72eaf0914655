"""Decodes Temporal's history events to the plain events that the fold reads. Does no I/O and never raises.

Payloads must already be decoded by the codec (`temporal/payloads.decode_events`). An event of a type that this version doesn't know, or that
can't be read, becomes `Unknown`: it is counted and never blocks a run.
"""

from __future__ import annotations

from collections.abc import Sequence

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.converter import PayloadConverter

from agentgrid.domain.steps import StepStatus
from agentgrid.projector import history_events
from agentgrid.projector.decode import activities, executions, messages
from agentgrid.projector.decode.reader import EventReader, Reader, time_of

__all__ = ["decode", "time_of"]

PREFIX = "EVENT_TYPE_"


def decode(history: Sequence[HistoryEvent], converter: PayloadConverter) -> list[history_events.DecodedEvent]:
    """Decode the events, in the same order."""
    reader = Reader(converter)
    return [_read(reader, event) for event in history]


def decode_whole(event: HistoryEvent, converter: PayloadConverter) -> history_events.DecodedEvent:
    """Decode one event without truncating any value."""
    return _read(Reader(converter, whole=True), event)


def _read(reader: Reader, event: HistoryEvent) -> history_events.DecodedEvent:
    reader.opaque = 0
    at = time_of(event.event_time)
    name = event.WhichOneof("attributes") or ""
    kind = _kind(event)
    try:
        read = _READERS.get(name)
        if read is None:
            if kind in _IGNORED:
                return history_events.Ignored(event_id=event.event_id, at=at, kind=kind)
            return history_events.Unknown(event_id=event.event_id, at=at, kind=kind, opaque=1)
        build, values = read(reader, event, getattr(event, name))
        return build(event_id=event.event_id, at=at, opaque=reader.opaque, **values)
    except Exception:
        # An unreadable event is counted as opaque: one broken payload must never hide the rest of a run.
        return history_events.Unknown(event_id=event.event_id, at=at, kind=kind, opaque=1)


def _kind(event: HistoryEvent) -> str:
    try:
        return EventType.Name(event.event_type).removeprefix(PREFIX).lower()
    except ValueError:
        return f"type {event.event_type}"


def _attributes(name: str) -> str:
    return f"{name}_event_attributes"


_CHILD = "child_workflow_execution_"
_READERS: dict[str, EventReader] = {
    _attributes(name): read
    for name, read in {
        "workflow_execution_started": executions.started,
        "workflow_execution_completed": executions.completed,
        "workflow_execution_failed": executions.failed,
        "workflow_execution_timed_out": executions.timed_out,
        "workflow_execution_canceled": executions.canceled,
        "workflow_execution_terminated": executions.terminated,
        "workflow_execution_continued_as_new": executions.continued,
        "workflow_execution_cancel_requested": executions.cancel_requested,
        "workflow_execution_paused": executions.paused,
        "workflow_execution_unpaused": executions.unpaused,
        "workflow_task_scheduled": executions.task_scheduled,
        "workflow_task_started": executions.task_started,
        "workflow_task_completed": executions.task_completed,
        "workflow_task_failed": executions.task_failed,
        "workflow_task_timed_out": executions.task_timed_out,
        "activity_task_scheduled": activities.activity_scheduled,
        "activity_task_started": activities.activity_started,
        "activity_task_completed": activities.activity_completed,
        "activity_task_failed": activities.activity_failed,
        "activity_task_timed_out": activities.activity_timed_out,
        "activity_task_canceled": activities.activity_canceled,
        "marker_recorded": activities.marker,
        "timer_started": activities.timer_started,
        "timer_fired": activities.timer_fired,
        "timer_canceled": activities.timer_canceled,
        "workflow_execution_signaled": messages.signaled,
        "workflow_execution_update_admitted": messages.update_admitted,
        "workflow_execution_update_accepted": messages.update_accepted,
        "workflow_execution_update_completed": messages.update_completed,
        "start_child_workflow_execution_initiated": messages.child_initiated,
        "start_child_workflow_execution_failed": messages.call_refused,
        f"{_CHILD}started": messages.child_started,
        f"{_CHILD}completed": messages.closing(StepStatus.COMPLETED, "initiated_event_id"),
        f"{_CHILD}failed": messages.closing(StepStatus.FAILED, "initiated_event_id"),
        f"{_CHILD}canceled": messages.closing(StepStatus.CANCELLED, "initiated_event_id"),
        f"{_CHILD}timed_out": messages.closing(
            StepStatus.TIMED_OUT, "initiated_event_id", "TimeoutError:the child ran into its timeout"
        ),
        f"{_CHILD}terminated": messages.closing(
            StepStatus.FAILED, "initiated_event_id", "TerminatedError:the child was terminated"
        ),
        "signal_external_workflow_execution_initiated": messages.signal_initiated,
        "signal_external_workflow_execution_failed": messages.call_refused,
        "external_workflow_execution_signaled": messages.call_done,
        "request_cancel_external_workflow_execution_initiated": messages.cancel_initiated,
        "request_cancel_external_workflow_execution_failed": messages.call_refused,
        "external_workflow_execution_cancel_requested": messages.call_done,
        "nexus_operation_scheduled": messages.nexus_scheduled,
        "nexus_operation_started": messages.nexus_started,
        "nexus_operation_completed": messages.closing(StepStatus.COMPLETED, "scheduled_event_id"),
        "nexus_operation_failed": messages.closing(StepStatus.FAILED, "scheduled_event_id"),
        "nexus_operation_canceled": messages.closing(StepStatus.CANCELLED, "scheduled_event_id"),
        "nexus_operation_timed_out": messages.closing(StepStatus.TIMED_OUT, "scheduled_event_id"),
    }.items()
}
_IGNORED = frozenset(
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
