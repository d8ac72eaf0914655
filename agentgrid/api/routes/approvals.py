"""Approvals: list, read with payload, decide."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import Query
from starlette.requests import Request

from agentgrid.api import letters, views
from agentgrid.api.access import V1
from agentgrid.api.approval_filter import ApprovalFilters, inbox, started_by, visible
from agentgrid.api.deps import DEFAULT_LIMIT, CallerView, CurrentCaller, Cursor, Id, Limit, Plane, Session
from agentgrid.api.paging import cut, decode, decode_key, encode, encode_key, moment
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.approvals import (
    ApprovalAccepted,
    ApprovalCounts,
    ApprovalLetter,
    ApprovalRow,
    ApproverCount,
    DecisionIn,
)
from agentgrid.api.schemas.common import Page
from agentgrid.api.schemas.service import Count
from agentgrid.control import approvals as control_approvals
from agentgrid.db import approval_context, approval_counts, approval_letters, approval_urgency, approvals, commands
from agentgrid.db.pool import direct
from agentgrid.db.session import ReadSession, reading
from agentgrid.db.tables import Approval
from agentgrid.domain.approval_status import ApprovalStatus
from agentgrid.errors import InvalidInput, InvalidPlace, NotFound

router = make_router(tags=["approvals"], prefix=f"{V1}/approvals")

Sort = Literal["newest", "urgency"]


@router.get("", summary="List approvals: newest first, or the most urgent first")
async def list_approvals(
    request: Request,
    session: Session,
    plane: Plane,
    caller: CurrentCaller,
    shown: CallerView,
    filters: ApprovalFilters,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    sort: Annotated[
        Sort,
        Query(
            description="`urgency` lists pending approvals only: first those that expire within the hour, then by risk (highest first), then by expiry "
            "time."
        ),
    ] = "newest",
) -> Page[ApprovalRow]:
    """Each item includes what this caller may do and, for those who may read them, its short arguments. Read a single approval to get its payload."""
    scope = caller.principal.workflows
    if sort == "urgency":
        if not set(filters.status) <= {ApprovalStatus.PENDING}:
            fault = InvalidPlace(
                pointer="status",
                message="omit it or set it to `pending`: only pending approvals can be sorted by urgency",
            )
            raise InvalidInput("invalid filter", [fault])
        now, after = await _urgent_after(request, session, cursor)
        rows = await approval_urgency.most_urgent(
            session, filters=filters, scope=scope, now=now, limit=limit + 1, after=after
        )
        page, next_cursor = cut(rows, limit, lambda pair: _urgent_cursor(request, pair[0], now))
    else:
        rows = await approvals.newest(
            session, filters=filters, scope=scope, limit=limit + 1, after=decode_key(request, cursor)
        )
        page, next_cursor = cut(rows, limit, lambda pair: encode_key(request, pair[0].opened_at, pair[0].approval_id))
    context = await approval_context.read(session, page)
    return Page[ApprovalRow](items=letters.rows(plane, caller, shown, page, context), next_cursor=next_cursor)


async def _urgent_after(
    request: Request, session: ReadSession, cursor: str | None
) -> tuple[datetime, approval_urgency.UrgencyCursor | None]:
    """The reference time for "within the hour", and the position where the page begins."""
    if cursor is None:
        return await commands.clock(session), None
    now, stretch, expires_at, approval_id = decode(request, cursor, str, int, str, str)
    if not 0 <= stretch < approval_urgency.STRETCHES:
        raise InvalidInput("invalid cursor", [InvalidPlace(pointer="cursor", message="use the value of `next_cursor`")])
    return moment(now), approval_urgency.UrgencyCursor(
        stretch=stretch, expires_at=moment(expires_at) if expires_at else None, approval_id=approval_id
    )


def _urgent_cursor(request: Request, last: Approval, now: datetime) -> str:
    position = approval_urgency.place_of(last, now)
    expires_at = "" if position.expires_at is None else position.expires_at.isoformat()
    return encode(request, now.isoformat(), position.stretch, expires_at, position.approval_id)


@router.get("/counts", summary="Count pending approvals")
async def count_approvals(session: Session, plane: Plane, caller: CurrentCaller) -> ApprovalCounts:
    """Approvals that this caller can decide, by approver group, and in total. Each count equals the length of the list it links to."""
    scope, own = caller.principal.workflows, inbox(plane, caller)
    mine = await approvals.count(session, filters=own, scope=scope)
    soon = await approvals.count(session, filters=replace(own, expires_within=approval_urgency.SOON), scope=scope)
    pending = await approval_counts.pending(session, filters=visible(caller), scope=scope)
    entries = caller.principal.approver_entries
    return ApprovalCounts(
        mine=Count(count=mine, href=f"{V1}/approvals?decidable_by=me"),
        soon=soon,
        groups=[
            ApproverCount(
                approver=entry,
                mine=entry in entries,
                count=count,
                href=f"{V1}/approvals?{urlencode({'status': 'pending', 'approver': entry})}",
            )
            for entry, count in pending.by_approver.items()
        ],
        all=Count(count=pending.total, href=f"{V1}/approvals?status=pending"),
    )


@router.get("/{approval_id}", summary="One approval, with everything a person needs to decide it")
async def get_approval(plane: Plane, caller: CurrentCaller, shown: CallerView, approval_id: Id) -> ApprovalLetter:
    """`payload` holds exactly the arguments that `digest` covers. Send that digest with the decision.

    `payload` and the other fields that hold payloads are null unless the caller may decide the approval or read payloads. `previous` includes its
    arguments only for callers who may read that approval.
    """
    scope = caller.principal.workflows
    async with direct(plane.pool) as connection:
        approval_facts = await approvals.get(connection, approval_id, scope=scope)
        if approval_facts is None or started_by(caller.principal) not in (None, approval_facts.run.initiator):
            raise NotFound("approval", approval_id)
        answers = await letters.answers_to(connection, approval_facts.approval)
        letter = await approval_letters.read(
            connection, approval_facts, scope=scope, started_by=started_by(caller.principal)
        )
    async with reading(plane.engine) as session:
        context = await approval_context.read(session, [(approval_facts.approval, approval_facts.run)])
    return letters.page(plane, caller, shown, approval_facts, answers, letter, context)


@router.post("/{approval_id}/decisions", status_code=202, summary="Approve or reject")
async def decide(
    plane: Plane, caller: CurrentCaller, shown: CallerView, approval_id: Id, body: DecisionIn
) -> ApprovalAccepted:
    """Only a person who did not start the run may decide, only while the approval is pending, and only with its current digest.

    `202`: the decision was signed and sent. It takes effect when the run receives it; its command then becomes `applied`, or `superseded` if
    another decision arrived first.

    With `arguments`, the tool is called with these instead. They are validated against the tool's input schema before anything is signed. Checks in
    the tool's own code run in the worker; if they fail, the worker requests a new approval of the original call. If `changes` is
    `second_person`, the first such request only records a proposal (a command of the kind `approval.propose`), and the approval stays
    pending until another approver sends exactly the same arguments.
    """
    decided = await control_approvals.decide(
        plane,
        caller,
        approval_id,
        control_approvals.DecisionRequest(
            verdict=body.verdict, digest=body.digest, comment=body.comment, arguments=body.arguments
        ),
    )
    async with direct(plane.pool) as connection:
        approval_facts = decided.facts or await approvals.get(connection, approval_id, scope=caller.principal.workflows)
        if approval_facts is None or started_by(caller.principal) not in (None, approval_facts.run.initiator):
            raise NotFound("approval", approval_id)
        answers = await letters.answers_to(connection, approval_facts.approval)
    return letters.accepted(
        plane, caller, shown, approval_facts, answers, views.command_summary(decided.command, shown)
    )
