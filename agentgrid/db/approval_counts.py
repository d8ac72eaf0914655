"""How many approvals are pending: all, and of each approver entry."""

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
    """Of each entry that is named among approvers, the most frequent first; at most 100."""


async def pending(session: ReadSession, *, wanted: ApprovalFilter, scope: frozenset[str]) -> Pending:
    """The pending approvals in the scope among those that are wanted."""
    statement = (
        select(A.approvers, func.count())
        .join(Run, A.run_id == R.run_id)
        .where(A.status == ApprovalStatus.PENDING.value, ~A.inherited, *conditions(wanted, scope, A))
        .group_by(A.approvers)
    )
    found: Counter[str] = Counter()
    total = 0
    for approvers, count in (await session.execute(statement)).all():
        total += count
        # An entry that is named twice in one approval counts once.
        found.update(dict.fromkeys(approvers, count))
    ranked = sorted(found.items(), key=lambda each: (-each[1], each[0]))
    return Pending(total=total, by_approver=dict(ranked[:MAX_ENTRIES]))


async def pending_under(
    session: ReadSession, *, tools: Sequence[str], rules: Sequence[str], agent: str | None, scope: frozenset[str]
) -> int:
    """The pending approvals of these tools' calls under these rules (`id@version`), of one agent's calls or of all."""
    if not tools:
        return 0
    about = [among(A.tool, tools), among(A.policy, rules), *conditions(ApprovalFilter(agent=agent), scope, A)]
    counted = select(func.count()).select_from(Approval).join(Run, A.run_id == R.run_id)
    found = await session.execute(counted.where(A.status == ApprovalStatus.PENDING.value, ~A.inherited, *about))
    return int(found.scalar_one())
