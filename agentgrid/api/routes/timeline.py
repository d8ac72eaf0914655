"""A run's timeline, and single steps."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api import timeline, views
from agentgrid.api.access import V1
from agentgrid.api.deps import CallerView, CurrentPrincipal, Id, Plane, Session
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.steps import StepOut
from agentgrid.api.schemas.timeline import Timeline
from agentgrid.db import runs, steps
from agentgrid.db.timeline import TimelineRequest
from agentgrid.errors import NotFound

router = make_router(tags=["runs"], prefix=f"{V1}/runs")

DEFAULT_STEPS = 5_000
MAX_STEPS = 10_000
MAX_EVENT_ID = 2**63 - 1

EventId = Annotated[int, Path(ge=1, le=MAX_EVENT_ID, description="The `event_id` of the step.")]
Bound = Annotated[int | None, Query(ge=1, le=MAX_EVENT_ID)]


@router.get(
    "/{run_id}/timeline",
    summary="The run's steps in one response, for drawing a timeline",
    response_model=Timeline,
    response_model_exclude_none=True,
)
async def get_timeline(
    request: Request,
    plane: Plane,
    principal: CurrentPrincipal,
    shown: CallerView,
    run_id: Id,
    limit: Annotated[
        int, Query(ge=1, le=MAX_STEPS, description="If there are more steps, fan-outs are collapsed.")
    ] = DEFAULT_STEPS,
    execution: Annotated[str | None, Query(min_length=1, max_length=300)] = None,
    first: Bound = None,
    last: Bound = None,
) -> Response:
    """No payloads; null fields are omitted. Without `execution`, the newest execution of each segment. `first` and `last` limit steps to a range of
    event ids, for example to expand a group.

    `as_of` relates the response to `GET /events`: fetch the timeline once, then apply the events after that id.
    """
    timeline_request = TimelineRequest(limit=limit, labels=shown.payloads, execution=execution, first=first, last=last)
    usuals: timeline.Usuals = request.app.state.usuals
    body = await timeline.of_run(plane, usuals, shown, run_id, timeline_request, scope=principal.workflows)
    if body is None:
        raise NotFound("run", run_id) if execution is None else NotFound("execution", f"{execution} of run {run_id}")
    return Response(body, media_type="application/json")


@router.get("/{run_id}/steps/{execution_id}/{event_id}", summary="One step, with its payloads")
async def get_step(
    session: Session, principal: CurrentPrincipal, shown: CallerView, run_id: Id, execution_id: Id, event_id: EventId
) -> StepOut:
    """As in the list of steps. Inputs and outputs are null unless the caller may read payloads."""
    await runs.seen(session, run_id, scope=principal.workflows)
    return views.step(await steps.in_run(session, run_id, execution_id, event_id), shown)
