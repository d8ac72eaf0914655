"""Starting several runs in one request."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from fastapi import Header
from starlette.requests import Request

from agentgrid.api import bulk
from agentgrid.api.access import V1
from agentgrid.api.deps import CurrentCaller, Plane
from agentgrid.api.limits import RateLimits
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.runs import RunBulk, RunBulkResult

router = make_router(tags=["runs"], prefix=f"{V1}/runs")


@router.post("/bulk", summary="Start up to 200 runs, each independently")
async def start_runs(
    request: Request,
    plane: Plane,
    caller: CurrentCaller,
    body: RunBulk,
    idempotency_key: Annotated[
        str | None,
        Header(
            max_length=255, description="Items without their own key get one derived from this key and their position."
        ),
    ] = None,
) -> RunBulkResult:
    """`200` with an outcome for each item, in order, even if all were refused. Each item is an ordinary start: a command in the audit log, and
    one request against the rate limit. A started run stays started even if other items fail.

    If no response arrived, send the request again with the same `Idempotency-Key` and items: runs already started are `replayed`.
    """
    items = bulk.items_of(caller, body.items)
    limits: RateLimits = request.app.state.limits
    # `routing.py` has already counted one.
    limits.charge(caller.principal.name, len(items) - 1)
    outcomes = await bulk.start(plane, items)
    counts = Counter(outcome.outcome for outcome in outcomes)
    return RunBulkResult(
        started=counts["started"], replayed=counts["replayed"], refused=counts["refused"], items=outcomes
    )
