"""The execution itself and its workflow tasks."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from temporalio.api.common.v1 import Header
from temporalio.api.enums.v1 import ContinueAsNewInitiator, TimeoutType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent

from agentgrid.domain.memos import is_schedule_memo
from agentgrid.domain.runs import ExecutionKind, ExecutionStatus
from agentgrid.projector import history_events
from agentgrid.projector.decode.reader import EventParts, Reader, error_of, seconds_of, word
from agentgrid.protocol import HEADER_RUN, MEMO, SCHEDULED_BY, RunHeader, is_gate_build, shown_build
from agentgrid.temporal import payloads

_INITIATORS = {
    ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_RETRY: ExecutionKind.RETRY,
    ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE: ExecutionKind.CRON,
}


def started(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    kind = ExecutionKind.FIRST
    if a.continued_execution_run_id:
        kind = _INITIATORS.get(a.initiator, ExecutionKind.CONTINUED)
    memo = payloads.memo_values(a.memo, reader.converter).get(MEMO)
    memo = memo if isinstance(memo, dict) else None
    scheduled: dict[str, Any] = {}
    if is_schedule_memo(memo):
        scheduled = {
            "scheduled_by": payloads.search_attribute(a.search_attributes, SCHEDULED_BY, reader.converter),
            "input_digest": payloads.input_digest(a.input.payloads),
        }
    return history_events.Started, scheduled | {
        "workflow": a.workflow_type.name,
        "task_queue": a.task_queue.name,
        "first_execution_id": a.first_execution_run_id,
        "kind": kind,
        "continued_from": a.continued_execution_run_id or None,
        "workflow_id": a.workflow_id or None,
        "parent_execution_id": a.parent_workflow_execution.run_id or None,
        "backoff_seconds": seconds_of(a.first_workflow_task_backoff),
        "memo": memo,
        "header": _run_header(a.header),
        "input": reader.stored(a.input.payloads),
    }


def completed(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.Closed, {
        "status": ExecutionStatus.COMPLETED,
        "continued_to": a.new_execution_run_id or None,
        "result": reader.stored(a.result.payloads),
    }


def failed(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.Closed, {
        "status": ExecutionStatus.FAILED,
        "continued_to": a.new_execution_run_id or None,
        "error": reader.error(a.failure),
    }


def timed_out(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.Closed, {
        "status": ExecutionStatus.TIMED_OUT,
        "continued_to": a.new_execution_run_id or None,
        "error": error_of("TimeoutError", "the execution ran into its timeout"),
    }


def canceled(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.Closed, {"status": ExecutionStatus.CANCELED, "result": reader.optional(a, "details")}


def terminated(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.Closed, {
        "status": ExecutionStatus.TERMINATED,
        "error": error_of("TerminatedError", a.reason or "terminated"),
        "identity": a.identity or None,
    }


def continued(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.Closed, {
        "status": ExecutionStatus.CONTINUED_AS_NEW,
        "continued_to": a.new_execution_run_id or None,
        "error": reader.error(a.failure) if a.HasField("failure") else None,
    }


def cancel_requested(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.CancelRequested, {"reason": a.cause or None, "identity": a.identity or None}


def paused(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.TemporalPaused, {"paused": True, "reason": a.reason or None}


def unpaused(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.TemporalPaused, {"paused": False, "reason": a.reason or None}


def task_scheduled(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.TaskScheduled, {"attempt": a.attempt}


def task_started(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    return history_events.TaskStarted, {"build": shown_build(a.worker_version.build_id) or None}


def task_completed(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    # The same precedence as in the SDK.
    build = a.deployment_version.build_id or a.worker_version.build_id
    # Without a deployment the build id is generated, by the SDK or by the plugin, and identifies no user version.
    named = bool(a.deployment_version.build_id or a.worker_deployment_name)
    return history_events.TaskCompleted, {
        "started_event_id": a.started_event_id,
        "build": (shown_build(build) or None) if named else None,
        "claims": is_gate_build(build),
    }


def task_failed(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    fork = a.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW
    return history_events.TaskFailed, {
        "cause": word(WorkflowTaskFailedCause.Name(a.cause), "WORKFLOW_TASK_FAILED_CAUSE_"),
        "error": reader.error(a.failure) if a.HasField("failure") else None,
        "worker": a.identity or None,
        "misfit": a.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR,
        "fork": fork,
        "base_execution_id": a.base_run_id or None,
        "reason": a.failure.message or None if fork else None,
    }


def task_timed_out(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    if a.timeout_type == TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START:
        # The worker that had the execution in its cache is gone: the task goes to any other worker, and nothing has failed.
        return history_events.TaskScheduled, {}
    kind = word(TimeoutType.Name(a.timeout_type), "TIMEOUT_TYPE_")
    return history_events.TaskFailed, {
        "cause": "timed_out",
        "error": error_of("TimeoutError", f"the workflow task timed out ({kind})"),
    }


def _run_header(header: Header) -> RunHeader | None:
    payload = header.fields.get(HEADER_RUN)
    if payload is None:
        return None
    try:
        return RunHeader.model_validate_json(payload.data)
    except ValidationError:
        return None
