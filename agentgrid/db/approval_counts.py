"""Numbers of pending approvals: in total, and per approver entry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from agentgrid.db.approvals import ApprovalFilter, conditions
from agentgrid.db.arrays import among
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import Approval, Run
from agentgrid.domain.approval_status import ApprovalStatus

A: Any = Approval
R: Any = Run

MAX_ENTRIES = 100


@dataclass(frozen=True, kw_only=True)
class Pending:
    """Counts of pending approvals."""

    total: int
    by_approver: dict[str, int]
    """Per entry in the approver lists, most frequent first; at most 100."""


async def pending(session: ReadSession, *, filters: ApprovalFilter, scope: frozenset[str]) -> Pending:
    """The pending approvals in the scope that match the filter."""
    statement = (
        select(A.approvers, func.count())
        .join(Run, A.run_id == R.run_id)
        .where(A.status == ApprovalStatus.PENDING.value, ~A.inherited, *conditions(filters, scope, A))
        .group_by(A.approvers)
    )
    by_approver: Counter[str] = Counter()
    total = 0
    for approvers, count in (await session.execute(statement)).all():
        total += count
        # An entry that an approval names twice counts once.
        by_approver.update(dict.fromkeys(approvers, count))
    ranked = sorted(by_approver.items(), key=lambda entry: (-entry[1], entry[0]))
    return Pending(total=total, by_approver=dict(ranked[:MAX_ENTRIES]))


async def pending_under(
    session: ReadSession, *, tools: Sequence[str], rules: Sequence[str], agent: str | None, scope: frozenset[str]
) -> int:
    """The number of pending approvals for calls of these tools under these rules (`id@version`), by one agent or by anyone."""
    if not tools:
        return 0
    matching = [among(A.tool, tools), among(A.policy, rules), *conditions(ApprovalFilter(agent=agent), scope, A)]
    statement = select(func.count()).select_from(Approval).join(Run, A.run_id == R.run_id)
    statement = statement.where(A.status == ApprovalStatus.PENDING.value, ~A.inherited, *matching)
    return int((await session.execute(statement)).scalar_one())
