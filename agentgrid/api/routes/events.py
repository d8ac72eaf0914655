"""The live event stream."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header
from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api import sse
from agentgrid.api.access import V1
from agentgrid.api.deps import Login, Plane
from agentgrid.api.feed import Feed
from agentgrid.api.gate import router as make_router
from agentgrid.api.schemas.events import STREAM

router = make_router(tags=["live"], prefix=V1)


@router.get(
    "/events",
    summary="All events, live (SSE)",
    response_class=Response,
    responses=STREAM,
)
async def stream_everything(
    request: Request, plane: Plane, login: Login, last_event_id: Annotated[str | None, Header(max_length=100)] = None
) -> Response:
    """Starts now, or after `Last-Event-ID`. `reset` means that events after the given id are no longer stored: reload all resources.

    Covers the runs that the caller may see. Events name what changed and carry no payloads.
    """
    source: Feed = request.app.state.feed
    cursor = await source.resume(last_event_id, from_start=False)
    admission = sse.Admission(plane.pool, login, source)
    return sse.respond(source, login.principal.name, sse.everything(source, admission, cursor))
