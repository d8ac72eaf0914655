"""What history doesn't show: attempts, retries and heartbeats of open activities, and workflow tasks that no worker takes or that keep failing.

This comes from `DescribeWorkflowExecution`, which costs a call, so it is made only where history alone would mislead. The result goes to the
`live_*` columns, which a rebuild doesn't restore.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import temporalio.api.workflowservice.v1 as service
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import PendingActivityState, PendingWorkflowTaskState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.converter import PayloadConverter

from agentgrid.projector import rows
from agentgrid.projector.decode import time_of
from agentgrid.projector.fold.passing import when
from agentgrid.projector.fold.state import FoldState
from agentgrid.projector.store import LiveReport
from agentgrid.temporal import payloads

ACTIVITY_PATIENCE = timedelta(seconds=5)
TASK_PATIENCE = timedelta(seconds=10)
LEAST_INTERVAL = timedelta(seconds=5)
LONGEST_INTERVAL = timedelta(seconds=60)
AFTER_RETRY = timedelta(milliseconds=200)

_STATES = {
    PendingActivityState.PENDING_ACTIVITY_STATE_STARTED: "running",
    PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED: "cancelling",
    PendingActivityState.PENDING_ACTIVITY_STATE_PAUSED: "paused",
    PendingActivityState.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED: "pausing",
}


def describe_at(state: FoldState, *, checked_at: datetime | None, now: datetime) -> datetime | None:
    """When to call Describe for the open execution; None while history is enough."""
    times: list[datetime] = []
    for key in state.calls.values():
        since = when(state.steps[key].since) or now
        times.append(since + ACTIVITY_PATIENCE)
    if state.task is not None:
        times.append((when(state.task) or now) + TASK_PATIENCE)
    if not times:
        return None
    at = min(times)
    if checked_at is None:
        return at
    # The longer something has lasted, the longer it is likely to last: poll less and less often.
    interval = min(max((now - at) / 4, LEAST_INTERVAL), LONGEST_INTERVAL)
    return max(at, checked_at + interval)


def next_retry(live: LiveReport) -> datetime | None:
    """When Temporal next retries an activity of this execution."""
    times = [columns["live_next_retry_at"] for columns in live.steps.values()]
    return min((at for at in times if at is not None), default=None)


def read(
    answer: service.DescribeWorkflowExecutionResponse, state: FoldState, converter: PayloadConverter, now: datetime
) -> LiveReport:
    """The live columns of the execution and of its open activities."""
    by_activity = {info.activity_id: info for info in answer.pending_activities}
    steps: dict[int, dict[str, Any]] = {}
    for scheduled, key in state.calls.items():
        info = by_activity.get(state.activity_ids.get(scheduled, ""))
        if info is not None:
            steps[key] = _activity(info, converter)
    attempt, problem = _task(answer, state, now)
    return LiveReport(steps=steps, task_attempt=attempt, problem=problem)


def _activity(info: PendingActivityInfo, converter: PayloadConverter) -> dict[str, Any]:
    error = None
    if info.HasField("last_failure"):
        error = payloads.store_failure(info.last_failure, converter)
        error["type"], error["message"] = rows.text(error["type"]), rows.text(error["message"])
        error.pop("details", None)
    retries = info.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED and info.attempt > 1
    return {
        "live_state": _STATES.get(info.state, "scheduled"),
        "live_attempt": info.attempt,
        "live_error": error,
        "live_next_retry_at": _time(info.next_attempt_schedule_time) if retries else None,
        "live_heartbeat_at": _time(info.last_heartbeat_time),
        "live_worker": info.last_worker_identity or None,
    }


def _task(
    answer: service.DescribeWorkflowExecutionResponse, state: FoldState, now: datetime
) -> tuple[int | None, str | None]:
    if not answer.HasField("pending_workflow_task"):
        return None, None
    task = answer.pending_workflow_task
    waits = task.state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_SCHEDULED
    if task.attempt > 1:
        return task.attempt, f"{state.problem or 'its workflow task fails'} (tried {task.attempt - 1} times)"
    since = _time(task.scheduled_time) or now
    if waits and now - since >= TASK_PATIENCE:
        queue = answer.execution_config.task_queue.name or state.task_queue
        return task.attempt, f"no worker takes workflow tasks from {queue}"
    return task.attempt, None


def _time(stamp: Timestamp) -> datetime | None:
    return time_of(stamp) if stamp.seconds else None
