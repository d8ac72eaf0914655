"""Signing keys: list, retire, revoke."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request

from agentgrid.api.access import V1
from agentgrid.api.deps import DEFAULT_LIMIT, CurrentCaller, Cursor, Id, Limit, Plane, Session
from agentgrid.api.paging import cut, decode_key, encode_key
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.common import Page, Reason
from agentgrid.api.schemas.signing_keys import SigningKeyOut
from agentgrid.control import signing_keys as control_signing_keys
from agentgrid.db import approvals, signing_keys
from agentgrid.db.session import ReadSession, reading
from agentgrid.db.tables import SigningKey
from agentgrid.errors import NotFound

router = make_router(tags=["signing keys"], prefix=f"{V1}/signing-keys")


async def _out(session: ReadSession, rows: Sequence[SigningKey]) -> list[SigningKeyOut]:
    in_use = await signing_keys.in_use(session, [row.key_id for row in rows])
    pending = await approvals.pending_by_only_key(session)
    return [
        SigningKeyOut.model_validate(
            {
                **row.model_dump(),
                "status": control_signing_keys.status_of(row),
                "in_use": row.key_id in in_use,
                "approvals_pending": pending.get(row.key_id, 0),
            }
        )
        for row in rows
    ]


async def _one(session: ReadSession, key_id: str) -> SigningKeyOut:
    row = await signing_keys.get(session, key_id)
    if row is None:
        raise NotFound("signing key", key_id)
    return (await _out(session, [row]))[0]


@router.get("", summary="List signing keys, newest first")
async def list_signing_keys(
    request: Request, session: Session, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[SigningKeyOut]:
    """Public keys only. Each API process registers its signing key when it starts."""
    rows = await signing_keys.newest(session, limit=limit + 1, after=decode_key(request, cursor))
    page, next_cursor = cut(rows, limit, lambda row: encode_key(request, row.created_at, row.key_id))
    return Page[SigningKeyOut](items=await _out(session, page), next_cursor=next_cursor)


@router.post("/{key_id}/retire", summary="Retire a signing key: new approvals no longer accept it")
async def retire_signing_key(
    plane: Plane, caller: CurrentCaller, key_id: Id, body: Reason | None = None
) -> SigningKeyOut:
    """Approvals that are already open can still be decided with it until it is revoked. Irreversible. `409` while an API process signs with it."""
    await control_signing_keys.retire(plane, caller, key_id, reason=body.reason if body else None)
    async with reading(plane.engine) as session:
        return await _one(session, key_id)


@router.post("/{key_id}/revoke", summary="Revoke a signing key: its signatures no longer count")
async def revoke_signing_key(
    plane: Plane, caller: CurrentCaller, key_id: Id, body: Reason | None = None
) -> SigningKeyOut:
    """For a key that may have leaked. Irreversible. Works even while an API process signs with the key; in that case no approval can open until
    another key is in use.
    """
    await control_signing_keys.revoke(plane, caller, key_id, reason=body.reason if body else None)
    async with reading(plane.engine) as session:
        return await _one(session, key_id)
