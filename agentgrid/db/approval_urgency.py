"""Pending approvals by urgency: what expires within the hour, then by risk, then by expiry.

Urgency is a list of stretches, each of one risk and on one side of the hour, and each in the order of the index `ix_approvals_urgency`. A page
takes from every stretch that is left at most as many rows as it has room for. The time from which the hour counts is part of the cursor, so
pages that follow each other are of one order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, func, literal, literal_column, select, tuple_, union_all

from agentgrid.db.approvals import ApprovalFilter, conditions, without_payloads
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import Approval, Run
from agentgrid.domain.approval_status import ApprovalStatus
from agentgrid.domain.policies import Risk

A: Any = Approval
R: Any = Run

SOON = timedelta(hours=1)
RISKS = (Risk.DESTRUCTIVE.value, Risk.WRITE.value, None, Risk.READ.value)
"""In the order in which they are decided. None: an explicit approval, and a call whose risk is unknown."""
STRETCHES = 2 * len(RISKS)
_NEVER: Any = literal_column("'infinity'::timestamptz")
"""In place of the expiry of an approval that is not open yet, as in the index."""


@dataclass(frozen=True, kw_only=True)
class UrgencyCursor:
    """Where a page ended: the stretch, and the expiry and id of its last row."""

    stretch: int
    expires_at: datetime | None
    approval_id: str


def is_soon(approval: Approval, now: datetime) -> bool:
    """Whether it expires within the hour after `now`."""
    return approval.expires_at is not None and approval.expires_at <= now + SOON


def place_of(approval: Approval, now: datetime) -> UrgencyCursor:
    """Where the approval is in the order that `now` makes."""
    stretch = RISKS.index(approval.risk) + (0 if is_soon(approval, now) else len(RISKS))
    return UrgencyCursor(stretch=stretch, expires_at=approval.expires_at, approval_id=approval.approval_id)


async def most_urgent(
    session: ReadSession,
    *,
    wanted: ApprovalFilter,
    scope: frozenset[str],
    now: datetime,
    limit: int,
    after: UrgencyCursor | None = None,
) -> Sequence[tuple[Approval, Run]]:
    """A page of the pending approvals in the scope with their runs, without payloads. now: the time from which the hour counts."""
    given = conditions(wanted, scope, A)
    first = 0 if after is None else after.stretch
    parts = [_stretch(each, given, now, limit, after if each == first else None) for each in range(first, STRETCHES)]
    found = union_all(*(select(part.subquery()) for part in parts)).subquery("found")
    order = (found.c.stretch, found.c.expiry, found.c.approval_id)
    page = select(found).order_by(*order).limit(limit).subquery("page")
    same = and_(A.execution_id == page.c.execution_id, A.approval_id == page.c.approval_id)
    statement: Any = (
        select(Approval, Run)
        .join(page, same)
        .join(Run, A.run_id == R.run_id)
        .options(*without_payloads(A))
        .order_by(page.c.stretch, page.c.expiry, page.c.approval_id)
    )
    return [(approval, run) for approval, run in (tuple(row) for row in (await session.execute(statement)).all())]


def _stretch(number: int, given: Sequence[Any], now: datetime, limit: int, after: UrgencyCursor | None) -> Any:
    risk, soon = RISKS[number % len(RISKS)], number < len(RISKS)
    expiry = func.coalesce(A.expires_at, _NEVER)
    until = literal(now + SOON, A.expires_at.type)
    found = [
        A.status == ApprovalStatus.PENDING.value,
        ~A.inherited,
        A.risk.is_(None) if risk is None else A.risk == risk,
        expiry <= until if soon else expiry > until,
        *given,
    ]
    if after is not None:
        at = _NEVER if after.expires_at is None else literal(after.expires_at, A.expires_at.type)
        found.append(tuple_(expiry, A.approval_id) > tuple_(at, literal(after.approval_id, A.approval_id.type)))
    return (
        select(literal_column(str(number)).label("stretch"), expiry.label("expiry"), A.execution_id, A.approval_id)
        .join(Run, A.run_id == R.run_id)
        .where(*found)
        .order_by(expiry, A.approval_id)
        .limit(limit)
    )
