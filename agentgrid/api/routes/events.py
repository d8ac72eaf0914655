"""The live event stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Header, Query
from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api import sse
from agentgrid.api.access import V1
from agentgrid.api.deps import CallerView, CurrentIdentity, Plane
from agentgrid.api.feed import Feed
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.common import Name
from agentgrid.api.schemas.events import EXTENSION, STREAM
from agentgrid.control.plane import ControlPlane
from agentgrid.db import runs as db_runs
from agentgrid.db.session import reading
from agentgrid.db.tables import Run
from agentgrid.domain.live import QUOTING, READERS, UNASKED, EventKind, Interest
from agentgrid.domain.principals import Principal
from agentgrid.errors import InvalidInput, InvalidPlace

router = make_router(tags=["live"], prefix=V1)

MAX_RUNS = 50

Kinds = Annotated[
    list[EventKind],
    Query(
        max_length=len(EventKind),
        description="Only these kinds; `hello` and `reset` are always sent. Kinds that the caller may not read are dropped; `hello` lists the "
        "rest. By default all kinds if `run` is given, otherwise run, step, approval and end.",
    ),
]
Runs = Annotated[
    list[Name],
    Query(
        max_length=MAX_RUNS,
        description="Limits `step` and `delta` events to these runs; other kinds are sent for all runs. Unknown runs are ignored.",
    ),
]


@router.get(
    "/events",
    summary="All events, live (SSE)",
    response_class=Response,
    responses=STREAM,
    openapi_extra=EXTENSION,
)
async def stream_everything(
    request: Request,
    plane: Plane,
    identity: CurrentIdentity,
    shown: CallerView,
    last_event_id: Annotated[str | None, Header(max_length=100)] = None,
    kinds: Kinds = [],  # noqa: B006
    run: Runs = [],  # noqa: B006
) -> Response:
    """Starts now, or after `Last-Event-ID`. The first event, sent immediately, is `hello`; the stream begins after its id.

    `reset` means that events after the given id are no longer stored: reload all resources. The stream covers the runs that the caller may see and
    the commands it may list. `data` holds a full summary, as in lists: the changed part as of the change, the rest
    as of now. Texts that may quote payloads are null unless the caller may read payloads. `log`, `catalog` and `delta` events have no id: they are not
    stored, and some may be missing.
    """
    interest = _interest(shown.payloads, kinds, run)
    watched = await _watched(plane, identity.principal, interest)
    if interest.kinds & QUOTING:
        shown.reveal()
    source: Feed = request.app.state.feed
    cursor = await source.resume(last_event_id, from_start=False)
    admission = sse.Admission(plane.pool, identity, source)
    events = sse.everything(source, admission, cursor, interest, watched)
    return sse.respond(source, identity.principal.name, interest, events)


def _interest(payloads: bool, kinds: Sequence[EventKind], runs: Sequence[str]) -> Interest:
    if EventKind.DELTA in kinds and not runs:
        raise InvalidInput(
            "`delta` events require `run`", [InvalidPlace(pointer="run", message="name the runs to receive deltas of")]
        )
    selected = frozenset(kinds) or (frozenset(EventKind) if runs else UNASKED)
    interest = Interest(kinds=selected, runs=frozenset(runs) if runs else None)
    return interest if payloads else interest.without(*READERS)


async def _watched(plane: ControlPlane, principal: Principal, interest: Interest) -> Sequence[Run]:
    """The runs whose model answers are streamed while being written."""
    if EventKind.DELTA not in interest.kinds or not interest.runs:
        return ()
    async with reading(plane.engine) as session:
        rows = await db_runs.named(session, sorted(interest.runs))
    return [run for run in rows if principal.sees(run.workflow)]
