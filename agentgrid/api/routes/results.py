"""The result of a run, immediately or once it has ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agentgrid.api import views
from agentgrid.api.access import V1
from agentgrid.api.deps import CallerView, CurrentIdentity, Id
from agentgrid.api.routing import make_router
from agentgrid.api.run_waits import MAX_WAIT_SECONDS, Waiting
from agentgrid.api.schemas.runs import RunOpen, RunResult
from agentgrid.domain.principals import Permission

router = make_router(tags=["runs"], prefix=f"{V1}/runs")


@router.get(
    "/{run_id}/result",
    summary="The run's result or error; with `wait`, once it has ended",
    response_model=RunResult,
    responses={202: {"model": RunOpen, "description": "The run is still open."}},
)
async def get_result(
    request: Request,
    identity: CurrentIdentity,
    shown: CallerView,
    run_id: Id,
    wait: Annotated[
        float,
        Query(ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait for the run to end; 0 returns immediately."),
    ] = 0,
    or_approval: Annotated[
        bool, Query(description="Also return once the run waits for an approval, since people may take days.")
    ] = False,
) -> Response | RunResult:
    """`200` once the run has ended, whatever the outcome; `202` while it is open, including after the wait: ask again.

    The result and the error text are null unless the caller may read payloads. The response may come before `wait` has passed if the server is
    shutting down. A run that is reset after its end is open again.
    """
    waiting: Waiting = request.app.state.waiting
    observed = await waiting.until_closed(request, identity, run_id, seconds=wait, or_approval=or_approval)
    if not observed.closed:
        return JSONResponse(RunOpen.model_validate(observed.run).model_dump(mode="json"), status_code=202)
    # The caller may have lost the permission during the wait.
    return views.run_result(observed.run, replace(shown, payloads=observed.principal.may(Permission.READ_PAYLOADS)))
