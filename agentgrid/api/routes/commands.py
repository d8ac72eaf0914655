"""Commands: the audit log."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api import audit_export, views
from agentgrid.api.access import V1
from agentgrid.api.approval_filter import started_by
from agentgrid.api.command_filter import CommandFilters
from agentgrid.api.deps import (
    DEFAULT_LIMIT,
    CallerView,
    CurrentCaller,
    CurrentPrincipal,
    Cursor,
    Id,
    Limit,
    Plane,
    Session,
)
from agentgrid.api.paging import cut, decode, decode_key, encode, encode_key, moment
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.commands import CommandDetail, CommandSummary, Confirmed, UnattributedAct
from agentgrid.api.schemas.common import Page, Reason
from agentgrid.control import proposals
from agentgrid.db import attribution, commands
from agentgrid.domain.commands import CommandStatus
from agentgrid.domain.principals import Permission, Principal
from agentgrid.errors import NotFound

router = make_router(tags=["audit"], prefix=f"{V1}/commands")

Text = Annotated[str | None, Query(min_length=1, max_length=300)]


def _only_of(principal: Principal, status: Collection[str]) -> str | None:
    """The principal whose commands the caller is limited to for these statuses; None means no limit."""
    if principal.may(Permission.AUDIT):
        return None
    proposals_only = set(status) == {CommandStatus.PROPOSED}
    return None if proposals_only and principal.may(Permission.ADMINISTER) else principal.name


@router.get("", summary="List commands, newest first: who requested what, and the outcome")
async def list_commands(
    request: Request,
    session: Session,
    principal: CurrentPrincipal,
    shown: CallerView,
    filters: CommandFilters,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[CommandSummary]:
    """Includes refused commands. Without the role `auditor`, only the caller's own commands; with `status=proposed`, administrators see all proposals."""
    rows = await commands.newest(
        session,
        scope=principal.workflows,
        limit=limit + 1,
        after=decode_key(request, cursor),
        only_of=_only_of(principal, filters["status"]),
        **filters,
    )
    page, next_cursor = cut(rows, limit, lambda row: encode_key(request, row.created_at, row.command_id))
    values = await commands.asked(session, [row.command_id for row in page])
    items = [views.command_summary(row, shown, asked=values.get(row.command_id)) for row in page]
    return Page[CommandSummary](items=items, next_cursor=next_cursor)


@router.get(
    "/export",
    summary="Download commands, newest first, as NDJSON or CSV",
    response_class=Response,
    responses={
        200: {
            "content": {
                "application/x-ndjson": {"schema": {"type": "string"}},
                "text/csv": {"schema": {"type": "string"}},
            },
            "description": "One command per line, with the fields of the list.",
        }
    },
)
async def export_commands(
    plane: Plane,
    principal: CurrentPrincipal,
    shown: CallerView,
    filters: CommandFilters,
    format: audit_export.Format = "ndjson",
) -> Response:
    """Takes the filters of the list and requires the same permissions. At most 100,000 commands: if there are more, the last line is `{"complete": false}`, or
    `incomplete` in CSV. Cells that a spreadsheet would interpret as a formula begin with an apostrophe.
    """
    # Recorded as a read here, because `routing.py` checks before the rows are sent.
    shown.reveal()
    only_of = _only_of(principal, filters["status"])
    return audit_export.respond(plane.engine, principal.workflows, only_of, shown, filters, format)


@router.get("/unattributed", summary="List signals that affected a run but can't be attributed, newest first")
async def list_unattributed(
    request: Request,
    session: Session,
    principal: CurrentPrincipal,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    run: Text = None,
) -> Page[UnattributedAct]:
    """Effective decisions, pauses and resumes not confirmed by a registered signing key and a matching command."""
    after = None
    if cursor is not None:
        at, execution_id, event_id = decode(request, cursor, str, str, int)
        after = (moment(at), execution_id, event_id)
    rows = await attribution.newest(
        session, scope=principal.workflows, limit=limit + 1, run_id=run, approvals_of=started_by(principal), after=after
    )
    page, next_cursor = cut(
        rows, limit, lambda row: encode(request, row.signalled_at.isoformat(), row.execution_id, row.event_id)
    )
    return Page[UnattributedAct](items=[UnattributedAct.model_validate(row) for row in page], next_cursor=next_cursor)


@router.get("/{command_id}", summary="One command, with its request body")
async def get_command(
    session: Session, principal: CurrentPrincipal, shown: CallerView, command_id: Id
) -> CommandDetail:
    """`body` is null unless the caller may read payloads."""
    row = await commands.seen(session, command_id, scope=principal.workflows)
    if row is None or _only_of(principal, [row.status]) not in (None, row.principal):
        raise NotFound("command", command_id)
    values = await commands.asked(session, [command_id])
    return views.command_detail(row, shown, asked=values.get(command_id))


@router.post("/{command_id}/confirm", summary="Confirm another administrator's proposal")
async def confirm_command(plane: Plane, caller: CurrentCaller, command_id: Id, body: Reason | None = None) -> Confirmed:
    """Checks the command again and carries it out. If it creates an API key, the key is shown in this response only.

    `403` if the caller made the proposal, or if either administrator took part in issuing the other's key. `409` if the proposal was
    withdrawn or has expired, or if its target has changed since.
    """
    reason = body.reason if body else None
    return views.confirmed(await proposals.confirm(plane.engine, caller, command_id, reason=reason))


@router.post("/{command_id}/withdraw", summary="Withdraw a proposal, your own or another administrator's")
async def withdraw_command(
    plane: Plane, caller: CurrentCaller, command_id: Id, body: Reason | None = None
) -> Confirmed:
    """The command is not carried out. `409` if it has already been confirmed or has expired."""
    reason = body.reason if body else None
    return views.confirmed(await proposals.withdraw(plane.engine, caller, command_id, reason=reason))
