"""The filter of the list of approvals, as query parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import Depends, Query

from agentgrid.api.deps import Asking, Plane, Search
from agentgrid.api.schemas.common import Moment
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db.approvals import ApprovalFilter
from agentgrid.domain.approval_status import ApprovalStatus
from agentgrid.domain.principals import Permission, Principal

Text = Annotated[str | None, Query(min_length=1, max_length=300)]


def started_by(principal: Principal) -> str | None:
    """The initiator whose approvals this principal is limited to; None for no limit."""
    return principal.name if principal.only_own_approvals else None


def visible(caller: Caller) -> ApprovalFilter:
    """The approvals that this caller may see, within its scope."""
    return ApprovalFilter(started_by=started_by(caller.principal))


def pending_of(caller: Caller) -> ApprovalFilter:
    """The approvals that wait and that this caller may see."""
    return replace(visible(caller), status=(ApprovalStatus.PENDING.value,))


def inbox(plane: ControlPlane, caller: Caller) -> ApprovalFilter:
    """The approvals that this caller can decide now: those where `control.approvals.obstacle` finds nothing."""
    return replace(assigned(visible(caller), caller), open_under=plane.signer.public)


def assigned(wanted: ApprovalFilter, caller: Caller) -> ApprovalFilter:
    """Of these, the approvals that this caller may decide, in any state. Nobody who took part in starting a run may."""
    return replace(wanted, approver_entries=caller.principal.approver_entries, not_behind=caller.persons)


@dataclass(frozen=True, kw_only=True)
class _People:
    """Filters by who may decide, or has decided."""

    assigned_to: str | None
    decidable_by: str | None
    approver: str | None
    decided_by: str | None


async def _people(
    assigned_to: Annotated[
        Literal["me"] | None,
        Query(description="`me`: only approvals that this caller may decide, or might have decided, of any status."),
    ] = None,
    decidable_by: Annotated[
        Literal["me"] | None,
        Query(description="`me`: only approvals that this caller can decide now. A decision on them is accepted."),
    ] = None,
    approver: Annotated[
        str | None,
        Query(min_length=1, max_length=300, description="Only those that name this entry among their approvers."),
    ] = None,
    decided_by: Annotated[
        str | None,
        Query(
            min_length=1, max_length=300, description="Only those that this principal has decided; `me` is the caller."
        ),
    ] = None,
) -> _People:
    return _People(assigned_to=assigned_to, decidable_by=decidable_by, approver=approver, decided_by=decided_by)


async def _wanted(
    plane: Plane,
    caller: Asking,
    people: Annotated[_People, Depends(_people)],
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
            description="Only those of this shape. Explicit approvals only for callers who may read payloads.",
        ),
    ] = None,
    opened_after: Moment | None = None,
    q: Search = None,
) -> ApprovalFilter:
    wanted = inbox(plane, caller) if people.decidable_by == "me" else visible(caller)
    if people.assigned_to == "me":
        wanted = assigned(wanted, caller)
    about_titles = q is not None or shape is not None
    return replace(
        wanted,
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
        titles=about_titles and caller.principal.may(Permission.READ_PAYLOADS),
    )


Wanted = Annotated[ApprovalFilter, Depends(_wanted)]
