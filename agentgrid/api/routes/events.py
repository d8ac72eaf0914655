"""The live event stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Header, Query
from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api import sse
from agentgrid.api.access import V1
from agentgrid.api.deps import Login, Plane, Shows
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
        description="Only these kinds; `hello` and `reset` always come. Kinds that the caller may not read are left out: `hello` lists what remains. "
        "Without `kinds`: all of them if `run` is given, otherwise run, step, approval and end.",
    ),
]
Runs = Annotated[
    list[Name],
    Query(
        max_length=MAX_RUNS,
        description="`step` and `delta` events only of these runs; all other kinds of all runs. Unknown runs are ignored.",
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
    login: Login,
    shown: Shows,
    last_event_id: Annotated[str | None, Header(max_length=100)] = None,
    kinds: Kinds = [],  # noqa: B006
    run: Runs = [],  # noqa: B006
) -> Response:
    """Starts now, or after `Last-Event-ID`. The first event is `hello`, at once; its id is where the stream begins.

    `reset` means that events after the given id are no longer stored: reload all resources. Covers the runs that the caller may see, and the
    commands that it may list. `data` holds the whole summary of what changed, as in lists: what changed as it was right after the change, the rest
    as of now. Texts that may quote payloads are null unless the caller may read payloads. `log`, `catalog` and `delta` have no id: they are not
    stored, and some may be missing.
    """
    interest = _interest(shown.payloads, kinds, run)
    watched = await _watched(plane, login.principal, interest)
    if interest.kinds & QUOTING:
        shown.reveal()
    source: Feed = request.app.state.feed
    cursor = await source.resume(last_event_id, from_start=False)
    admission = sse.Admission(plane.pool, login, source)
    events = sse.everything(source, admission, cursor, interest, watched)
    return sse.respond(source, login.principal.name, interest, events)


def _interest(payloads: bool, kinds: Sequence[EventKind], runs: Sequence[str]) -> Interest:
    if EventKind.DELTA in kinds and not runs:
        raise InvalidInput("which runs?", [InvalidPlace(pointer="run", message="name the runs whose deltas you want")])
    wanted = frozenset(kinds) or (frozenset(EventKind) if runs else UNASKED)
    interest = Interest(kinds=wanted, runs=frozenset(runs) if runs else None)
    return interest if payloads else interest.without(*READERS)


async def _watched(plane: ControlPlane, principal: Principal, interest: Interest) -> Sequence[Run]:
    """The runs whose models' answers are wanted as they are written."""
    if EventKind.DELTA not in interest.kinds or not interest.runs:
        return ()
    async with reading(plane.engine) as session:
        found = await db_runs.named(session, sorted(interest.runs))
    return [run for run in found if principal.sees(run.workflow)]
