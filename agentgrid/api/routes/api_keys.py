"""API keys: create, list, revoke."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Header, Query
from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api import views
from agentgrid.api.access import V1
from agentgrid.api.deps import DEFAULT_LIMIT, CurrentCaller, CurrentPrincipal, Cursor, Id, Limit, Plane, Session
from agentgrid.api.paging import cut, decode_key, encode_key
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.api_keys import KeyIn, KeyMade, KeyOut
from agentgrid.api.schemas.commands import Proposed
from agentgrid.api.schemas.common import Page, Reason
from agentgrid.control import api_keys as control_api_keys
from agentgrid.control.plane import ControlPlane
from agentgrid.db import commands, principals
from agentgrid.db.session import ReadSession, reading
from agentgrid.db.tables import ApiKey

router = make_router(tags=["keys"], prefix=f"{V1}/keys")
mine = make_router(tags=["keys"], prefix=V1)


def _out(row: ApiKey, now: datetime) -> KeyOut:
    return KeyOut.model_validate({**row.model_dump(), "status": control_api_keys.status_of(row, now)})


async def _one(plane: ControlPlane, key_id: str) -> KeyOut:
    row = await control_api_keys.get(plane.engine, key_id)
    async with reading(plane.engine) as session:
        return _out(row, await commands.clock(session))


@router.get("", summary="List API keys, newest first")
async def list_keys(
    request: Request,
    session: Session,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    principal: Annotated[str | None, Query(min_length=1, max_length=300)] = None,
) -> Page[KeyOut]:
    """Without secrets, which are not stored."""
    return await _page(request, session, principal, limit, cursor)


@mine.get("/me/keys", summary="List your own API keys, newest first")
async def list_my_keys(
    request: Request, session: Session, who: CurrentPrincipal, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[KeyOut]:
    """Without secrets, which are not stored. Includes expired and revoked keys. Only administrators create and revoke keys."""
    return await _page(request, session, who.name, limit, cursor)


async def _page(
    request: Request, session: ReadSession, principal: str | None, limit: int, cursor: str | None
) -> Page[KeyOut]:
    after = decode_key(request, cursor)
    rows = await principals.keys(session, principal=principal, limit=limit + 1, after=after)
    page, next_cursor = cut(rows, limit, lambda row: encode_key(request, row.created_at, row.key_id))
    now = await commands.clock(session)
    return Page[KeyOut](items=[_out(row, now) for row in page], next_cursor=next_cursor)


@router.post(
    "",
    status_code=201,
    summary="Create an API key for a principal",
    response_model=KeyMade,
    responses={200: {"model": KeyMade}, 202: {"model": Proposed}, 404: {}},
)
async def create_key(
    plane: Plane,
    caller: CurrentCaller,
    response: Response,
    body: KeyIn,
    idempotency_key: Annotated[
        str | None,
        Header(max_length=255, description="For 30 days, the same idempotency key and body refer to the same API key."),
    ] = None,
) -> KeyMade | Response:
    """`201` with the key, in this response only: the server stores only its hash.

    `202` if the principal may decide approvals: another administrator must confirm and is then shown the key. `403` if there is no other
    administrator.

    Repeating the request with the same `Idempotency-Key` and body returns `200`, `Idempotent-Replayed: true`, and a null `key`.
    """
    lifetime = timedelta(seconds=body.lifetime_seconds)
    created = await control_api_keys.create(
        plane.engine, caller, principal=body.principal, lifetime=lifetime, note=body.note
    )
    if created.proposal is not None:
        return views.proposed(created.proposal)
    if not created.secret:
        response.status_code = 200
        response.headers["Idempotent-Replayed"] = "true"
    return KeyMade(**(await _one(plane, created.key_id)).model_dump(), key=created.secret or None)


@router.post("/{key_id}/revoke", summary="Revoke an API key")
async def revoke_key(plane: Plane, caller: CurrentCaller, key_id: Id, body: Reason | None = None) -> KeyOut:
    """Takes the key's id, not the key itself. Its open event streams end, and decisions made with it no longer take effect."""
    await control_api_keys.revoke(plane.engine, caller, key_id, reason=body.reason if body else None)
    return await _one(plane, key_id)
