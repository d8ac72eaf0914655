"""Approvals: list them, read one with its payload, decide it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import Query
from starlette.requests import Request

from agentgrid.api import views
from agentgrid.api.access import V1
from agentgrid.api.deps import DEFAULT_LIMIT, Asking, Cursor, Id, Limit, Plane, Session, Shows
from agentgrid.api.gate import router as make_router
from agentgrid.api.paging import cut, decode_key, encode_key
from agentgrid.api.schemas.approvals import ApprovalAccepted, ApprovalDetail, ApprovalSummary, DecisionIn
from agentgrid.api.schemas.common import Page
from agentgrid.control import approvals as control
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import approvals
from agentgrid.db.pool import direct
from agentgrid.domain.approvals import ApprovalStatus
from agentgrid.domain.principals import Principal
from agentgrid.errors import NotFound

router = make_router(tags=["approvals"], prefix=f"{V1}/approvals")

Text = Annotated[str | None, Query(min_length=1, max_length=300)]


def started_by(principal: Principal) -> str | None:
    """The initiator whose approvals this principal is limited to; None for no limit."""
    return principal.name if principal.only_own_approvals else None


def inbox(plane: ControlPlane, caller: Caller) -> approvals.ApprovalFilter:
    """The approvals that this caller can decide now: those where `control.approvals.obstacle` finds nothing."""
    return replace(assigned(approvals.ApprovalFilter(), caller), open_under=plane.signer.public)


def assigned(wanted: approvals.ApprovalFilter, caller: Caller) -> approvals.ApprovalFilter:
    """Of these, the approvals that this caller may decide, in any state. Nobody who took part in starting a run may."""
    return replace(wanted, approver_entries=caller.principal.approver_entries, not_behind=caller.persons)


@router.get("", summary="List approvals, newest first")
async def list_approvals(
    request: Request,
    session: Session,
    plane: Plane,
    caller: Asking,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    status: Annotated[list[ApprovalStatus], Query(description="Any of these.")] = [],  # noqa: B006
    assigned_to: Annotated[
        Literal["me"] | None,
        Query(description="`me`: only approvals that this caller may decide, or might have decided, of any status."),
    ] = None,
    decidable_by: Annotated[
        Literal["me"] | None,
        Query(description="`me`: only approvals that this caller can decide now. A decision on them is accepted."),
    ] = None,
    run: Text = None,
    tool: Text = None,
    agent: Text = None,
    workflow: Text = None,
) -> Page[ApprovalSummary]:
    """Without payloads: read a single approval to see its payload."""
    wanted = inbox(plane, caller) if decidable_by == "me" else approvals.ApprovalFilter()
    if assigned_to == "me":
        wanted = assigned(wanted, caller)
    wanted = replace(
        wanted,
        status=tuple(status),
        run_id=run,
        tool=tool,
        agent=agent,
        workflow=workflow,
        started_by=started_by(caller.principal),
    )
    after = decode_key(request, cursor)
    rows = await approvals.newest(
        session, wanted=wanted, scope=caller.principal.workflows, limit=limit + 1, after=after
    )
    page, onward = cut(rows, limit, lambda pair: encode_key(request, pair[0].opened_at, pair[0].approval_id))
    return Page[ApprovalSummary](items=views.summaries(page), next_cursor=onward)


@router.get("/{approval_id}", summary="One approval, with its payload and decisions")
async def get_approval(plane: Plane, caller: Asking, shown: Shows, approval_id: Id) -> ApprovalDetail:
    """`payload` holds exactly the arguments that `digest` covers. Send that digest with the decision.

    `payload` is null unless the caller may decide the approval or read payloads.
    """
    async with direct(plane.pool) as connection:
        found = await approvals.get(connection, approval_id, scope=caller.principal.workflows)
        if found is None or started_by(caller.principal) not in (None, found.run.initiator):
            raise NotFound("approval", approval_id)
        answers = await views.answers_to(connection, found.approval)
    return views.approval_detail(plane, caller, shown, found, answers)


@router.post("/{approval_id}/decisions", status_code=202, summary="Approve or reject")
async def decide(plane: Plane, caller: Asking, shown: Shows, approval_id: Id, body: DecisionIn) -> ApprovalAccepted:
    """Only a person who did not start the run may decide, only while the approval is pending, and only with its current digest.

    `202`: the decision is signed and sent. It takes effect when the run receives it: its command then becomes `applied`, or `superseded` if
    another decision arrived first.

    With `arguments`, a tool is called with these instead. They are checked against the tool's input schema before anything is signed; a check
    that the tool's own code makes runs in the worker, which requests a new approval of the original call if it refuses them. If `changes` is
    `second_person`, the first such request only records a proposal (the command's kind is `approval.propose`), and the approval stays
    pending until another approver sends exactly the same arguments.
    """
    decided = await control.decide(
        plane,
        caller,
        approval_id,
        control.DecisionRequest(
            verdict=body.verdict, digest=body.digest, comment=body.comment, arguments=body.arguments
        ),
    )
    async with direct(plane.pool) as connection:
        found = decided.found or await approvals.get(connection, approval_id, scope=caller.principal.workflows)
        if found is None or started_by(caller.principal) not in (None, found.run.initiator):
            raise NotFound("approval", approval_id)
        answers = await views.answers_to(connection, found.approval)
    return views.approval_accepted(plane, caller, shown, found, answers, decided.command)
