"""Queries to a run's workflow. A worker answers them from its cache or by replaying the run. They change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from temporalio.api.common.v1 import Payload, Payloads
from temporalio.service import RPCError

from agentgrid.control import handlers, workers
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.control.rpc import call_temporal, describe
from agentgrid.db import runs
from agentgrid.db.session import reading
from agentgrid.db.tables import Run
from agentgrid.domain.handlers import HandlerKind
from agentgrid.domain.runs import RunStatus
from agentgrid.errors import Conflict, NotFound, QueryFailed, Unavailable
from agentgrid.temporal import payloads, rpc

SECONDS = 5.0
"""How long a worker has to answer."""
RESULT_BYTES = 1024 * 1024
"""A longer result is cut to a preview."""
MAX_MESSAGE = 2_000


async def ask(plane: ControlPlane, caller: Caller, run_id: str, name: str, arguments: Sequence[Any]) -> dict[str, Any]:
    """The query's result as a stored payload.

    Raises NotFound; InvalidInput if the run has no such query; QueryFailed; Conflict for a queued run; Unavailable if no worker
    answers in time; RateLimited.
    """
    handlers.check_form(plane, HandlerKind.QUERY, name, arguments)
    async with reading(plane.engine) as session:
        run = await runs.seen(session, run_id, scope=caller.principal.workflows)
    if run.execution_id is None or run.status == RunStatus.QUEUED:
        raise Conflict("the run is queued; it can be queried once it has started", status=run.status)
    await handlers.check(plane, run, HandlerKind.QUERY, name, arguments)
    encoded = await plane.temporal.data_converter.encode(arguments) if arguments else []
    with plane.waits.one(caller.principal.name):
        result = Payloads(payloads=await _answer(plane, run, name, encoded))
    await payloads.decode(result, plane.temporal.data_converter)
    return payloads.store(result.payloads, plane.temporal.data_converter.payload_converter, limit=RESULT_BYTES)


async def _answer(plane: ControlPlane, run: Run, name: str, encoded: Sequence[Payload]) -> Sequence[Payload]:
    try:
        execution_id = await _newest(plane, run)
        return await call_temporal(
            _send(plane, run, execution_id, name, encoded), identifier=run.run_id, seconds=SECONDS
        )
    except NotFound:
        raise Conflict("Temporal no longer has this run", status=run.status) from None
    except Unavailable as error:
        if not error.outcome_unknown:
            raise
        why = await workers.silence(plane, run.task_queue, SECONDS)
        raise Unavailable(f"the query was not answered: {why}", retry_after_seconds=SECONDS) from None


async def _newest(plane: ControlPlane, run: Run) -> str | None:
    """The run's newest execution. None means the workflow id's newest execution, which is the same if the run owns its workflow id."""
    if run.workflow_id == run.run_id:
        return None
    info = (await describe(plane, run.workflow_id, None)).workflow_execution_info
    return info.execution.run_id if info.first_run_id == run.first_execution_id else run.execution_id


async def _send(
    plane: ControlPlane, run: Run, execution_id: str | None, name: str, encoded: Sequence[Payload]
) -> Sequence[Payload]:
    try:
        return await rpc.query(
            plane.temporal,
            workflow_id=run.workflow_id,
            execution_id=execution_id,
            name=name,
            payloads=encoded,
            deadline=timedelta(seconds=SECONDS),
        )
    except RPCError as error:
        failure = rpc.query_failure(error)
        if failure is None:
            raise
        await payloads.decode(failure, plane.temporal.data_converter)
        raise QueryFailed(f"the query failed: {(failure.message or error.message)[:MAX_MESSAGE]}") from None
