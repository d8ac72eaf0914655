"""Starting several runs by one request."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from fastapi import Header
from starlette.requests import Request

from agentgrid.api import bulk
from agentgrid.api.access import V1
from agentgrid.api.deps import Asking, Plane
from agentgrid.api.limits import RateLimits
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.runs import RunBulk, RunBulkResult

router = make_router(tags=["runs"], prefix=f"{V1}/runs")


@router.post("/bulk", summary="Start up to 200 runs, each by itself")
async def start_runs(
    request: Request,
    plane: Plane,
    caller: Asking,
    body: RunBulk,
    idempotency_key: Annotated[
        str | None,
        Header(max_length=255, description="Items without a key of their own get one from this and their place."),
    ] = None,
) -> RunBulkResult:
    """`200` with an outcome for each item, in their order, also if every one was refused. Each is an ordinary start: a command in the audit log, and
    one request against the rate limit. A run that was started stays started, even if other items fail.

    Send it again with the same `Idempotency-Key` and items if no answer came: what was started before is `replayed`.
    """
    items = bulk.items_of(caller, body.items)
    limits: RateLimits = request.app.state.limits
    # The gate has counted one.
    limits.charge(caller.principal.name, len(items) - 1)
    outcomes = await bulk.start(plane, items)
    counted = Counter(outcome.outcome for outcome in outcomes)
    return RunBulkResult(
        started=counted["started"], replayed=counted["replayed"], refused=counted["refused"], items=outcomes
    )
