"""The filters of the list of approvals, as query parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import Depends, Query

from agentgrid.api.deps import CurrentCaller, Plane, Search
from agentgrid.api.schemas.common import Moment
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db.approvals import ApprovalFilter
from agentgrid.domain.approval_status import ApprovalStatus
from agentgrid.domain.principals import Permission, Principal

Text = Annotated[str | None, Query(min_length=1, max_length=300)]


def started_by(principal: Principal) -> str | None:
    """The initiator whose approvals the principal is limited to; None means no limit."""
    return principal.name if principal.only_own_approvals else None


def visible(caller: Caller) -> ApprovalFilter:
    """The approvals that the caller may see, within its scope."""
    return ApprovalFilter(started_by=started_by(caller.principal))


def pending_of(caller: Caller) -> ApprovalFilter:
    """The pending approvals that the caller may see."""
    return replace(visible(caller), status=(ApprovalStatus.PENDING.value,))


def inbox(plane: ControlPlane, caller: Caller) -> ApprovalFilter:
    """The approvals that the caller can decide now: those where `control.approvals.obstacle` finds nothing."""
    return replace(assigned(visible(caller), caller), open_under=plane.signer.public)


def assigned(filters: ApprovalFilter, caller: Caller) -> ApprovalFilter:
    """Narrow to the approvals that the caller may decide, in any state. Nobody who took part in starting a run may."""
    return replace(filters, approver_entries=caller.principal.approver_entries, not_behind=caller.persons)


@dataclass(frozen=True, kw_only=True)
class _PeopleFilters:
    """Filters by who may decide or has decided."""

    assigned_to: str | None
    decidable_by: str | None
    approver: str | None
    decided_by: str | None


async def _people(
    assigned_to: Annotated[
        Literal["me"] | None,
        Query(description="`me`: only approvals that the caller may decide or could have decided, of any status."),
    ] = None,
    decidable_by: Annotated[
        Literal["me"] | None,
        Query(description="`me`: only approvals that the caller can decide now."),
    ] = None,
    approver: Annotated[
        str | None,
        Query(min_length=1, max_length=300, description="Only approvals whose approvers include this entry."),
    ] = None,
    decided_by: Annotated[
        str | None,
        Query(
            min_length=1, max_length=300, description="Only approvals decided by this principal; `me` is the caller."
        ),
    ] = None,
) -> _PeopleFilters:
    return _PeopleFilters(assigned_to=assigned_to, decidable_by=decidable_by, approver=approver, decided_by=decided_by)


async def _filters(
    plane: Plane,
    caller: CurrentCaller,
    people: Annotated[_PeopleFilters, Depends(_people)],
    status: Annotated[list[ApprovalStatus], Query(description="Any of these.")] = [],  # noqa: B006
    run: Text = None,
    tool: Text = None,
    agent: Text = None,
    workflow: Text = None,
    shape: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=300,
            description="Only approvals of this shape. Includes explicit approvals only for callers who may read payloads.",
        ),
    ] = None,
    opened_after: Moment | None = None,
    q: Search = None,
) -> ApprovalFilter:
    filters = inbox(plane, caller) if people.decidable_by == "me" else visible(caller)
    if people.assigned_to == "me":
        filters = assigned(filters, caller)
    reads_titles = q is not None or shape is not None
    return replace(
        filters,
        status=tuple(status),
        run_id=run,
        tool=tool,
        agent=agent,
        workflow=workflow,
        approver=people.approver,
        decided_by=caller.principal.name if people.decided_by == "me" else people.decided_by,
        shape=shape,
        opened_after=opened_after,
        q=q,
        titles=reads_titles and caller.principal.may(Permission.READ_PAYLOADS),
    )


ApprovalFilters = Annotated[ApprovalFilter, Depends(_filters)]
