"""Dependencies of the routes: the control plane, the caller and a read session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Path, Query
from starlette.requests import Request

from agentgrid.api.identity import Identity
from agentgrid.api.shown import Shown
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db.session import ReadSession, reading
from agentgrid.domain.principals import Principal

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


# All are coroutines although none awaits, because FastAPI runs plain functions in a thread.
async def _plane(request: Request) -> ControlPlane:
    plane: ControlPlane = request.app.state.plane
    return plane


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


async def _identity(request: Request) -> Identity:
    identity: Identity = request.state.identity
    return identity


async def _principal(request: Request) -> Principal:
    caller: Caller = request.state.caller
    return caller.principal


async def _shown(request: Request) -> Shown:
    caller: Caller = request.state.caller
    request.state.shown = shown = Shown.to(caller.principal)
    return shown


async def _session(request: Request) -> AsyncIterator[ReadSession]:
    async with reading(request.app.state.plane.engine) as session:
        yield session


Plane = Annotated[ControlPlane, Depends(_plane)]
CurrentCaller = Annotated[Caller, Depends(_caller)]
CurrentPrincipal = Annotated[Principal, Depends(_principal)]
CurrentIdentity = Annotated[Identity, Depends(_identity)]
CallerView = Annotated[Shown, Depends(_shown)]
"""What the caller may see in this response. Also records whether payloads were disclosed."""
Session = Annotated[ReadSession, Depends(_session, scope="function")]
"""Released before the response is sent, so that a slow client doesn't hold a connection."""

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Maximum number of items.")]
Cursor = Annotated[str | None, Query(max_length=1000, description="The `next_cursor` of the previous page.")]
Search = Annotated[str | None, Query(min_length=1, max_length=200, description="Words to search for.")]
Id = Annotated[str, Path(min_length=1, max_length=300)]
