"""Saved views of the list of runs, private or shared."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from agentgrid.api.access import V1
from agentgrid.api.deps import CurrentCaller, CurrentPrincipal, Id, Plane, Session
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.views import ViewList, ViewOut, ViewPut
from agentgrid.control import views as control_views
from agentgrid.db import views as db_views
from agentgrid.db.session import ReadSession, reading
from agentgrid.db.tables import View
from agentgrid.domain.views import SHARED
from agentgrid.errors import NotFound

router = make_router(tags=["views"], prefix=f"{V1}/views")

Shared = Annotated[bool, Query(description="Use the shared view of this name.")]


def _out(row: View) -> ViewOut:
    return ViewOut.model_validate({**row.model_dump(), "shared": row.owner == SHARED})


@router.get("", summary="List saved views: your own and shared ones")
async def list_views(session: Session, principal: CurrentPrincipal) -> ViewList:
    """Sorted by title."""
    return ViewList(items=[_out(row) for row in await db_views.visible(session, principal.name)])


@router.get("/{name}", summary="One saved view")
async def get_view(session: Session, principal: CurrentPrincipal, name: Id, shared: Shared = False) -> ViewOut:
    """Your own view of this name, or the shared one with `shared=true`."""
    return await _read(session, SHARED if shared else principal.name, name)


async def _read(session: ReadSession, owner: str, name: str) -> ViewOut:
    row = await db_views.get(session, owner, name)
    if row is None:
        raise NotFound("view", name)
    return _out(row)


@router.put("/{name}", summary="Save a view, or replace it")
async def put_view(plane: Plane, caller: CurrentCaller, name: Id, body: ViewPut) -> ViewOut:
    """Private by default. At most 50 private views per principal and 200 shared ones."""
    await control_views.put(
        plane,
        caller,
        name,
        title=body.title,
        filters=body.filter,
        shared=body.shared,
        expected_version=body.expected_version,
    )
    async with reading(plane.engine) as session:
        return await _read(session, SHARED if body.shared else caller.principal.name, name)


@router.delete("/{name}", status_code=204, summary="Delete a saved view", response_class=Response)
async def delete_view(
    plane: Plane,
    caller: CurrentCaller,
    name: Id,
    shared: Shared = False,
    expected_version: Annotated[
        int | None, Query(ge=0, description="`409` if the view is at a different version.")
    ] = None,
) -> Response:
    """Deleting a shared view requires the permission `edit`."""
    await control_views.remove(plane, caller, name, shared=shared, expected_version=expected_version)
    return Response(status_code=204)
