"""Downloads of whole inputs and outputs."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api import payloads
from agentgrid.api.access import V1
from agentgrid.api.deps import CallerView, CurrentPrincipal, Id, Plane
from agentgrid.api.routes.timeline import EventId
from agentgrid.api.routing import make_router
from agentgrid.control.plane import ControlPlane
from agentgrid.db import runs, steps
from agentgrid.db.session import reading
from agentgrid.db.tables import ExecutionRow, Run
from agentgrid.domain.principals import Principal
from agentgrid.errors import Gone, NotFound

router = make_router(tags=["runs"], prefix=f"{V1}/runs")

DOWNLOAD: dict[int | str, dict[str, Any]] = {
    200: {"description": "The value, as a file.", "content": {"application/json": {"schema": {}}}},
    409: {"description": "The archived history is too large to read."},
    410: {"description": "The value is no longer stored."},
    413: {"description": "The value is over 32 MiB."},
}


class Side(StrEnum):
    """Which value of a step."""

    INPUT = "input"
    OUTPUT = "output"


@router.get(
    "/{run_id}/steps/{execution_id}/{event_id}/{side}",
    summary="Download a step's whole input or output",
    response_class=Response,
    responses=DOWNLOAD,
)
async def download_of_step(
    request: Request,
    plane: Plane,
    principal: CurrentPrincipal,
    shown: CallerView,
    run_id: Id,
    execution_id: Id,
    event_id: EventId,
    side: Side,
) -> Response:
    """JSON, even if the list of steps shows only the beginning; several values as a list. If an approver changed the input, this is the changed one.

    At most 32 MiB. `404` if the step has no such value, `410` if its history is gone from Temporal and was not archived, or if nothing can decode it.
    """
    async with reading(plane.engine) as session:
        await runs.seen(session, run_id, scope=principal.workflows)
        row = await steps.in_run(session, run_id, execution_id, event_id)
        execution = await session.get_one(ExecutionRow, execution_id)
    stored, at = row.output, row.closed_event_id or event_id
    if side is Side.INPUT:
        stored, at = row.input if row.changed_input is None else row.changed_input, event_id
        if row.changed_input is not None and row.changed_input.get("truncated"):
            # The step's own event has the original arguments.
            raise Gone("the approver's changed arguments are too long to be stored whole: read the run's history")
    limiter: payloads.ReadLimiter = request.app.state.history_reads
    text = await payloads.value(plane, limiter, execution, at, side.value, stored, what=f"{side} of the step")
    shown.reveal()
    return payloads.download(text, run_id, event_id, side)


@router.get(
    "/{run_id}/input/download", summary="Download a run's whole input", response_class=Response, responses=DOWNLOAD
)
async def download_input(
    request: Request, plane: Plane, principal: CurrentPrincipal, shown: CallerView, run_id: Id
) -> Response:
    """Like a step's input. The values are the workflow's arguments."""
    run, execution = await _first_or_last(plane, principal, run_id, first=True)
    limiter: payloads.ReadLimiter = request.app.state.history_reads
    text = await payloads.value(plane, limiter, execution, 1, "input", run.input, what="input of the run")
    shown.reveal()
    return payloads.download(text, run_id, "input")


@router.get(
    "/{run_id}/result/download", summary="Download a run's whole result", response_class=Response, responses=DOWNLOAD
)
async def download_result(
    request: Request, plane: Plane, principal: CurrentPrincipal, shown: CallerView, run_id: Id
) -> Response:
    """Like a step's output. `404` while the run is open, and if it ended without a result."""
    run, execution = await _first_or_last(plane, principal, run_id, first=False)
    limiter: payloads.ReadLimiter = request.app.state.history_reads
    text = await payloads.value(
        plane, limiter, execution, execution.last_event_id, "output", run.result, what="result of the run"
    )
    shown.reveal()
    return payloads.download(text, run_id, "result")


async def _first_or_last(
    plane: ControlPlane, principal: Principal, run_id: str, *, first: bool
) -> tuple[Run, ExecutionRow]:
    async with reading(plane.engine) as session:
        run = await runs.seen(session, run_id, scope=principal.workflows)
        execution_id = run.first_execution_id if first else run.execution_id
        execution = None if execution_id is None else await session.get(ExecutionRow, execution_id)
        # The first execution of the chain may have been gone before the projector saw the run.
        if execution is None and run.execution_id is not None:
            execution = await session.get(ExecutionRow, run.execution_id)
    if execution is None:
        raise NotFound("execution", f"of run {run_id} yet")
    return run, execution
