"""Principals and their roles."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api import views
from agentgrid.api.access import V1
from agentgrid.api.deps import DEFAULT_LIMIT, CurrentCaller, Cursor, Id, Limit, Plane, Session
from agentgrid.api.paging import cut, decode, encode
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.commands import Proposed
from agentgrid.api.schemas.common import Page, Reason
from agentgrid.api.schemas.principals import PrincipalDetail, PrincipalIn, PrincipalSummary
from agentgrid.control import principals as control_principals
from agentgrid.control.plane import ControlPlane, principal_of
from agentgrid.db import principals
from agentgrid.db.session import ReadSession, reading
from agentgrid.db.tables import PrincipalRow
from agentgrid.domain.principals import Principal, PrincipalKind
from agentgrid.domain.scopes import EVERY_WORKFLOW
from agentgrid.errors import InvalidInput, InvalidPlace, NotFound

router = make_router(tags=["principals"], prefix=f"{V1}/principals")


def _summary(row: PrincipalRow) -> PrincipalSummary:
    return PrincipalSummary.model_validate({**row.model_dump(), "disabled": row.disabled_at is not None})


async def _detail(session: ReadSession, name: str) -> PrincipalDetail:
    row = await principals.get(session, name)
    if row is None:
        raise NotFound("principal", name)
    granted = [] if row.disabled_at is not None else sorted(principal_of(row).permissions)
    return PrincipalDetail(**_summary(row).model_dump(), permissions=granted)


@router.get("", summary="List principals by name")
async def list_principals(
    request: Request, session: Session, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[PrincipalSummary]:
    """Includes disabled principals."""
    after = decode(request, cursor, str)[0] if cursor else None
    rows = await principals.by_name(session, limit=limit + 1, after=after)
    page, next_cursor = cut(rows, limit, lambda row: encode(request, row.name))
    return Page[PrincipalSummary](items=[_summary(row) for row in page], next_cursor=next_cursor)


@router.get("/{name}", summary="One principal and its permissions")
async def get_principal(session: Session, name: Id) -> PrincipalDetail:
    """Its API keys are listed at `/api/v1/keys?principal=`."""
    return await _detail(session, name)


@router.put(
    "/{name}",
    summary="Create a principal, or replace its roles, groups and scope",
    response_model=PrincipalDetail,
    responses={202: {"model": Proposed}},
)
async def put_principal(plane: Plane, caller: CurrentCaller, name: Id, body: PrincipalIn) -> PrincipalDetail | Response:
    """The kind can't change. Its disabled state is unchanged, and so is its scope if `workflows` is omitted.

    Nobody can make themselves an approver, and an administrator can't be an approver.

    `202` if the principal could decide more approvals than before: another administrator must confirm. `403` if there is no other
    administrator. `409` if a new approver holds keys that other people issued, or if the change removes the last administrator.
    """
    kind = PrincipalKind(body.kind) if body.kind is not None else await _kind_of(plane, name)
    scope = EVERY_WORKFLOW if body.workflows is None else frozenset(body.workflows)
    principal = Principal(
        name=name, kind=kind, roles=frozenset(body.roles), groups=frozenset(body.groups), workflows=scope
    )
    command = await control_principals.put(
        plane.engine, caller, principal, keep_scope=body.workflows is None, reason=body.reason
    )
    if views.is_proposed(command):
        return views.proposed(command)
    async with reading(plane.engine) as session:
        return await _detail(session, name)


async def _kind_of(plane: ControlPlane, name: str) -> PrincipalKind:
    principal = await control_principals.get(plane.engine, name)
    if principal is None:
        fault = InvalidPlace(pointer="/kind", message="required for a new principal: `human`, `service` or `agent`")
        raise InvalidInput("invalid principal", [fault])
    return principal.kind


@router.post("/{name}/disable", summary="Disable a principal")
async def disable_principal(
    plane: Plane, caller: CurrentCaller, name: Id, body: Reason | None = None
) -> PrincipalDetail:
    """Its API keys stop working, its streams end, and its decisions no longer count. `409` for the last administrator."""
    await control_principals.set_disabled(plane.engine, caller, name, True, reason=body.reason if body else None)
    async with reading(plane.engine) as session:
        return await _detail(session, name)


@router.post(
    "/{name}/enable",
    summary="Enable a disabled principal",
    response_model=PrincipalDetail,
    responses={202: {"model": Proposed}},
)
async def enable_principal(
    plane: Plane, caller: CurrentCaller, name: Id, body: Reason | None = None
) -> PrincipalDetail | Response:
    """Its API keys work again, except those that were revoked or have expired.

    `202` if the principal may decide approvals: another administrator must confirm. `403` if there is no other administrator.
    """
    command = await control_principals.set_disabled(
        plane.engine, caller, name, False, reason=body.reason if body else None
    )
    if views.is_proposed(command):
        return views.proposed(command)
    async with reading(plane.engine) as session:
        return await _detail(session, name)
