"""Temporal calls that the SDK's client lacks, or makes without a field that AgentGrid needs (`request_id`).

Each is a single call with a deadline and without retries: the caller decides how to handle an error. `failure` converts a Temporal error to
an AgentGrid one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import temporalio.api.workflowservice.v1 as service
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.enums.v1 import TaskQueueType, UpdateWorkflowExecutionLifecycleStage
from temporalio.api.errordetails.v1 import QueryFailedFailure
from temporalio.api.failure.v1 import Failure
from temporalio.api.query.v1 import WorkflowQuery
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.update.v1 import Input, Meta, Request, UpdateRef, WaitPolicy
from temporalio.api.worker.v1 import WorkerHeartbeat
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from agentgrid.errors import AgentGridError, Conflict, InvalidInput, NotFound, Unavailable

Stage = UpdateWorkflowExecutionLifecycleStage
NOW = Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_UNSPECIFIED
"""Poll an update without waiting."""
ACCEPTED = Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED
COMPLETED = Stage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED

DEADLINE = timedelta(seconds=2)
WORKERS_PAGE = 200
MAX_WORKERS = 5000
"""At most this many workers are listed: a longer list is of no use, and the call must end."""

_OUTCOME_UNKNOWN = frozenset({RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED, RPCStatusCode.UNKNOWN})
_AWAY = _OUTCOME_UNKNOWN | {RPCStatusCode.UNAVAILABLE, RPCStatusCode.INTERNAL, RPCStatusCode.ABORTED}


def failure(error: RPCError, *, noun: str = "execution", identifier: str = "") -> AgentGridError:
    """Convert a Temporal error to the AgentGrid error that tells the caller what it means."""
    if error.status is RPCStatusCode.NOT_FOUND:
        # Temporal returns NOT_FOUND for a closed execution too; only the message tells them apart.
        if "already completed" in error.message:
            return Conflict(f"{noun} {identifier!r} has ended")
        return NotFound(noun, identifier)
    if error.status is RPCStatusCode.RESOURCE_EXHAUSTED:
        # Temporal's own limits, or an execution that is locked for too long: the caller exceeded no limit of its own.
        return Unavailable(f"Temporal is overloaded: {error.message}")
    if error.status in (RPCStatusCode.ALREADY_EXISTS, RPCStatusCode.FAILED_PRECONDITION):
        return Conflict(error.message)
    if error.status in (RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.OUT_OF_RANGE):
        return InvalidInput(error.message)
    if error.status in _AWAY:
        return Unavailable(
            f"Temporal can't answer now: {error.message}", outcome_unknown=error.status in _OUTCOME_UNKNOWN
        )
    return AgentGridError(f"Temporal refused the call ({error.status.name.lower()}): {error.message}")


async def signal(
    client: Client,
    *,
    workflow_id: str,
    execution_id: str | None,
    name: str,
    payloads: Sequence[Payload],
    request_id: str,
    deadline: timedelta = DEADLINE,
) -> None:
    """Send a signal. Idempotent by `request_id`: a repeated send adds no second event. Raises RPCError."""
    await client.workflow_service.signal_workflow_execution(
        service.SignalWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=execution_id or ""),
            signal_name=name,
            input=Payloads(payloads=payloads),
            identity=client.identity,
            request_id=request_id,
        ),
        timeout=deadline,
    )


async def query(
    client: Client,
    *,
    workflow_id: str,
    execution_id: str | None,
    name: str,
    payloads: Sequence[Payload],
    deadline: timedelta,
) -> Sequence[Payload]:
    """Run a query and return its result. It needs a worker, even for an execution that has ended. Raises RPCError."""
    answer = await client.workflow_service.query_workflow(
        service.QueryWorkflowRequest(
            namespace=client.namespace,
            execution=WorkflowExecution(workflow_id=workflow_id, run_id=execution_id or ""),
            query=WorkflowQuery(query_type=name, query_args=Payloads(payloads=payloads)),
        ),
        timeout=deadline,
    )
    return answer.query_result.payloads


def query_failure(error: RPCError) -> Failure | None:
    """The worker's own failure, if the worker failed the query."""
    for detail in error.grpc_status.details:
        query_failed = QueryFailedFailure()
        if detail.Unpack(query_failed):
            return query_failed.failure
    return None


async def update(
    client: Client,
    *,
    workflow_id: str,
    execution_id: str,
    update_id: str,
    name: str,
    payloads: Sequence[Payload],
    identity: str,
    deadline: timedelta,
) -> service.UpdateWorkflowExecutionResponse:
    """Send an update and wait until a worker accepts or rejects it. Idempotent by `update_id`.

    Until a worker accepts it, Temporal keeps it in memory only. Raises RPCError.
    """
    return await client.workflow_service.update_workflow_execution(
        service.UpdateWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=execution_id),
            wait_policy=WaitPolicy(lifecycle_stage=ACCEPTED),
            request=Request(
                meta=Meta(update_id=update_id, identity=identity),
                input=Input(name=name, args=Payloads(payloads=payloads)),
            ),
        ),
        timeout=deadline,
    )


async def poll_update(
    client: Client,
    *,
    workflow_id: str,
    execution_id: str,
    update_id: str,
    stage: Stage.ValueType = NOW,
    deadline: timedelta = DEADLINE,
) -> service.PollWorkflowExecutionUpdateResponse:
    """The state of an update, once it has reached this stage. A rejected update is not found. Raises RPCError."""
    return await client.workflow_service.poll_workflow_execution_update(
        service.PollWorkflowExecutionUpdateRequest(
            namespace=client.namespace,
            update_ref=UpdateRef(
                workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=execution_id), update_id=update_id
            ),
            identity=client.identity,
            wait_policy=WaitPolicy(lifecycle_stage=stage),
        ),
        timeout=deadline,
    )


async def reset(
    client: Client,
    *,
    workflow_id: str,
    execution_id: str,
    event_id: int,
    reason: str,
    request_id: str,
    deadline: timedelta = DEADLINE,
) -> str:
    """Fork the execution after the workflow task that ended with `event_id`. Returns the new execution's id.

    Not idempotent despite the request id: before a retry, look for a fork with this reason. Raises RPCError.
    """
    answer = await client.workflow_service.reset_workflow_execution(
        service.ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=execution_id),
            reason=reason,
            workflow_task_finish_event_id=event_id,
            request_id=request_id,
            identity=client.identity,
        ),
        timeout=deadline,
    )
    return answer.run_id


async def list_workers(client: Client, *, query: str = "", deadline: timedelta = DEADLINE) -> list[WorkerHeartbeat]:
    """The last heartbeats of the workers known to Temporal, at most `MAX_WORKERS`. Raises RPCError."""
    heartbeats: list[WorkerHeartbeat] = []
    token = b""
    while len(heartbeats) < MAX_WORKERS:
        answer = await client.workflow_service.list_workers(
            service.ListWorkersRequest(
                namespace=client.namespace, page_size=WORKERS_PAGE, next_page_token=token, query=query
            ),
            timeout=deadline,
        )
        heartbeats.extend(info.worker_heartbeat for info in answer.workers_info)
        token = answer.next_page_token
        if not token:
            break
    return heartbeats[:MAX_WORKERS]


async def describe_task_queue(
    client: Client,
    name: str,
    *,
    kind: TaskQueueType.ValueType = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    deadline: timedelta = DEADLINE,
) -> service.DescribeTaskQueueResponse:
    """The queue's pollers (Temporal forgets one after five minutes) and its backlog. Raises RPCError."""
    return await client.workflow_service.describe_task_queue(
        service.DescribeTaskQueueRequest(
            namespace=client.namespace, task_queue=TaskQueue(name=name), task_queue_type=kind, report_stats=True
        ),
        timeout=deadline,
    )
