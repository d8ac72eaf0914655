"""Queries and updates: messages to a run's workflow that return an answer."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from starlette.responses import Response

from agentgrid.api import views
from agentgrid.api.access import V1
from agentgrid.api.deps import CallerView, CurrentCaller, Id, Plane
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.handlers import QueryAnswer, QueryRequest, UpdateOut, UpdateRequest
from agentgrid.api.shown import Shown
from agentgrid.control import queries, updates
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db.tables import Command
from agentgrid.errors import QueryFailed

router = make_router(tags=["runs"], prefix=f"{V1}/runs/{{run_id}}")

DEFAULT_WAIT_SECONDS = 5.0

Name = Annotated[str, Path(min_length=1, max_length=255, description="The handler's name in the workflow's code.")]
Wait = Annotated[
    float,
    Query(ge=0, le=updates.MAX_WAIT_SECONDS, description="Seconds to wait for the update to end once it is accepted."),
]


@router.post("/queries/{name}", summary="Query the run's workflow")
async def query(
    plane: Plane, caller: CurrentCaller, shown: CallerView, run_id: Id, name: Name, body: QueryRequest | None = None
) -> QueryAnswer:
    """Read-only; recorded as a read of payloads. A worker has 5 s to answer, otherwise `503`.

    `422` if no handler of the run's version takes this name or these arguments, with the nearest name. `409` `query_failed` if the handler fails.
    `__stack_trace` and `__temporal_workflow_metadata` work for every run; other names that begin with `__` or `agentgrid.` are not allowed.
    """
    try:
        answer = await queries.ask(plane, caller, run_id, name, body.arguments if body else [])
    except QueryFailed:
        # The message may quote payloads.
        shown.disclosure.happened = True
        raise
    return QueryAnswer(run_id=run_id, name=name, result=shown.payload(answer))


@router.post(
    "/updates/{name}",
    summary="Update the run's workflow",
    responses={202: {"model": UpdateOut, "description": "The update has not ended yet."}},
)
async def update(
    plane: Plane,
    caller: CurrentCaller,
    shown: CallerView,
    response: Response,
    run_id: Id,
    name: Name,
    body: UpdateRequest | None = None,
    wait: Wait = DEFAULT_WAIT_SECONDS,
) -> UpdateOut:
    """`200` once it has ended, with `stage` `completed` or `failed`; `202` if its handler is still running after `wait`. `409` `update_rejected` if the
    workflow refuses it. `504` if no worker accepts it within 4 s; delivery is then retried for ten minutes.

    Repeating the request with the same `Idempotency-Key` and body sends nothing and waits for the same update. `422` if no handler of the run's
    version takes this name or these arguments, with the nearest name.
    """
    request = updates.WorkflowUpdate(
        name=name,
        arguments=tuple(body.arguments) if body else (),
        reason=body.reason if body else None,
    )
    with plane.waits.one(caller.principal.name):
        command = await updates.send(plane, caller, run_id, request)
    return await _response(plane, caller, shown, response, command, wait)


@router.get(
    "/updates/{command_id}",
    summary="The state of an update",
    responses={202: {"model": UpdateOut, "description": "The update has not ended yet."}},
)
async def get_update(
    plane: Plane,
    caller: CurrentCaller,
    shown: CallerView,
    response: Response,
    run_id: Id,
    command_id: Id,
    wait: Wait = 0.0,
) -> UpdateOut:
    """Identified by its command id. `202` if it has not ended after `wait`."""
    command = await updates.get(plane, caller, run_id, command_id)
    return await _response(plane, caller, shown, response, command, wait)


async def _response(
    plane: ControlPlane, caller: Caller, shown: Shown, response: Response, command: Command, wait: float
) -> UpdateOut:
    outcome = await updates.outcome(plane, caller, command, wait_seconds=wait)
    response.status_code = 200 if outcome.stage.final else 202
    return views.update(outcome, shown)
