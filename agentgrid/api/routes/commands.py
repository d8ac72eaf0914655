"""Commands: the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.requests import Request

from agentgrid.api import views
from agentgrid.api.access import V1
from agentgrid.api.deps import DEFAULT_LIMIT, Cursor, Id, Limit, Session, Shows, Who
from agentgrid.api.gate import router as make_router
from agentgrid.api.paging import cut, decode_key, encode_key
from agentgrid.api.schemas.commands import CommandDetail, CommandSummary
from agentgrid.api.schemas.common import Moment, Page
from agentgrid.db import commands
from agentgrid.domain.commands import CommandKind, CommandStatus
from agentgrid.domain.principals import Permission, Principal
from agentgrid.errors import Fault, InvalidInput, NotFound

router = make_router(tags=["audit"], prefix=f"{V1}/commands")

Text = Annotated[str | None, Query(min_length=1, max_length=300)]


def _only_of(principal: Principal) -> str | None:
    return None if principal.may(Permission.AUDIT) else principal.name


@router.get("", summary="List commands, newest first: who asked for what, and what came of it")
async def list_commands(
    request: Request,
    session: Session,
    who: Who,
    shown: Shows,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    principal: Text = None,
    run: Text = None,
    approval: Text = None,
    kind: Annotated[list[CommandKind], Query(description="Any of these.")] = [],  # noqa: B006
    status: Annotated[list[CommandStatus], Query(description="Any of these.")] = [],  # noqa: B006
    since: Moment | None = None,
    until: Moment | None = None,
) -> Page[CommandSummary]:
    """Refused ones too. Without the role auditor, only the caller's own."""
    if not views.within(since, until):
        raise InvalidInput("the times are reversed", [Fault(pointer="until", message="must not be before since")])
    rows = await commands.newest(
        session,
        scope=who.workflows,
        limit=limit + 1,
        after=decode_key(request, cursor),
        only_of=_only_of(who),
        principal=principal,
        run_id=run,
        approval_id=approval,
        kind=kind,
        status=status,
        since=since,
        until=until,
    )
    page, onward = cut(rows, limit, lambda row: encode_key(request, row.created_at, row.command_id))
    return Page[CommandSummary](items=[views.command_summary(row, shown) for row in page], next_cursor=onward)


@router.get("/{command_id}", summary="One command, with the body of its request")
async def get_command(session: Session, who: Who, shown: Shows, command_id: Id) -> CommandDetail:
    """The body is there for callers who may read payloads."""
    row = await commands.seen(session, command_id, scope=who.workflows)
    if row is None or _only_of(who) not in (None, row.principal):
        raise NotFound("command", command_id)
    return views.command_detail(row, shown)
