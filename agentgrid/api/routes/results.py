"""The result of a run, at once or as soon as there is one."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agentgrid.api import views
from agentgrid.api.access import V1
from agentgrid.api.deps import Id, Login, Shows
from agentgrid.api.routing import make_router
from agentgrid.api.run_waits import MAX_WAIT_SECONDS, Waiting
from agentgrid.api.schemas.runs import RunOpen, RunResult
from agentgrid.domain.principals import Permission

router = make_router(tags=["runs"], prefix=f"{V1}/runs")


@router.get(
    "/{run_id}/result",
    summary="The run's result or error; with `wait`, as soon as it has ended",
    response_model=RunResult,
    responses={202: {"model": RunOpen, "description": "The run is still open."}},
)
async def get_result(
    request: Request,
    login: Login,
    shown: Shows,
    run_id: Id,
    wait: Annotated[
        float,
        Query(ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait for the run to end; 0 answers at once."),
    ] = 0,
    or_approval: Annotated[
        bool, Query(description="End the wait also when the run waits for an approval: people may take days.")
    ] = False,
) -> Response | RunResult:
    """`200` when the run has ended, with any outcome; `202` while it is open, also after the wait: ask again.

    The result and the error's text are null unless the caller may read payloads. The answer may come before `wait` has passed, when the server
    stops. A run that is reset after its end is open again.
    """
    waiting: Waiting = request.app.state.waiting
    seen = await waiting.until_closed(request, login, run_id, seconds=wait, or_gated=or_approval)
    if not seen.closed:
        return JSONResponse(RunOpen.model_validate(seen.run).model_dump(mode="json"), status_code=202)
    # The permission may have been lost during the wait.
    return views.run_result(seen.run, replace(shown, payloads=seen.principal.may(Permission.READ_PAYLOADS)))
