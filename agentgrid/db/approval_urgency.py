"""Pending approvals by urgency: first those that expire within the hour, then by risk, then by expiry.

The order is a sequence of stretches, each with one risk and either within the hour or not, and each in the order of the index `ix_approvals_urgency`.
A page reads at most its own size from each remaining stretch. The time from which the hour counts is part of the cursor, so that consecutive pages
have the same order.
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
"""Most urgent first. None: an explicit approval, or a call of unknown risk."""
STRETCHES = 2 * len(RISKS)
_NEVER: Any = literal_column("'infinity'::timestamptz")
"""Replaces the expiry of an approval that doesn't have one yet, as in the index."""


@dataclass(frozen=True, kw_only=True)
class UrgencyCursor:
    """Where a page ended: the stretch, and the expiry and id of its last row."""

    stretch: int
    expires_at: datetime | None
    approval_id: str


def is_soon(approval: Approval, now: datetime) -> bool:
    """Whether the approval expires within an hour of `now`."""
    return approval.expires_at is not None and approval.expires_at <= now + SOON


def place_of(approval: Approval, now: datetime) -> UrgencyCursor:
    """The approval's position in the order at the time `now`."""
    stretch = RISKS.index(approval.risk) + (0 if is_soon(approval, now) else len(RISKS))
    return UrgencyCursor(stretch=stretch, expires_at=approval.expires_at, approval_id=approval.approval_id)


async def most_urgent(
    session: ReadSession,
    *,
    filters: ApprovalFilter,
    scope: frozenset[str],
    now: datetime,
    limit: int,
    after: UrgencyCursor | None = None,
) -> Sequence[tuple[Approval, Run]]:
    """A page of the pending approvals in the scope with their runs, without payloads. now: the time from which the hour counts."""
    filtering = conditions(filters, scope, A)
    first = 0 if after is None else after.stretch
    parts = [
        _stretch(number, filtering, now, limit, after if number == first else None)
        for number in range(first, STRETCHES)
    ]
    matches = union_all(*(select(part.subquery()) for part in parts)).subquery("matches")
    order = (matches.c.stretch, matches.c.expiry, matches.c.approval_id)
    page = select(matches).order_by(*order).limit(limit).subquery("page")
    same = and_(A.execution_id == page.c.execution_id, A.approval_id == page.c.approval_id)
    statement: Any = (
        select(Approval, Run)
        .join(page, same)
        .join(Run, A.run_id == R.run_id)
        .options(*without_payloads(A))
        .order_by(page.c.stretch, page.c.expiry, page.c.approval_id)
    )
    return [(approval, run) for approval, run in (tuple(row) for row in (await session.execute(statement)).all())]


def _stretch(number: int, filtering: Sequence[Any], now: datetime, limit: int, after: UrgencyCursor | None) -> Any:
    risk, soon = RISKS[number % len(RISKS)], number < len(RISKS)
    expiry = func.coalesce(A.expires_at, _NEVER)
    until = literal(now + SOON, A.expires_at.type)
    clauses = [
        A.status == ApprovalStatus.PENDING.value,
        ~A.inherited,
        A.risk.is_(None) if risk is None else A.risk == risk,
        expiry <= until if soon else expiry > until,
        *filtering,
    ]
    if after is not None:
        at = _NEVER if after.expires_at is None else literal(after.expires_at, A.expires_at.type)
        clauses.append(tuple_(expiry, A.approval_id) > tuple_(at, literal(after.approval_id, A.approval_id.type)))
    return (
        select(literal_column(str(number)).label("stretch"), expiry.label("expiry"), A.execution_id, A.approval_id)
        .join(Run, A.run_id == R.run_id)
        .where(*clauses)
        .order_by(expiry, A.approval_id)
        .limit(limit)
    )
