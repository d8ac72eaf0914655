"""Unattributed acts: signals that affected runs, but without a registered key and a matching command to confirm who sent them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, literal, select, tuple_, union_all

from agentgrid.db import scopes
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import Control, DecisionRow, Run

D: Any = DecisionRow
K: Any = Control
R: Any = Run

_DECISIONS = (D.judged == "counted", ~D.attributed, ~D.inherited)
_CONTROLS = (~K.attributed, ~K.inherited)


@dataclass(frozen=True, kw_only=True)
class Act:
    """One unattributed signal that affected a run."""

    signalled_at: datetime
    execution_id: str
    event_id: int
    run_id: str
    approval_id: str | None
    action: str
    """`approved`, `rejected`, `pause`, `resume` or `interrupt`."""
    claimed_principal: str | None
    identity: str | None
    unattributed_because: str | None


async def newest(
    session: ReadSession,
    *,
    scope: frozenset[str],
    limit: int,
    run_id: str | None = None,
    approvals_of: str | None = None,
    after: tuple[datetime, str, int] | None = None,
) -> Sequence[Act]:
    """Unattributed acts on runs in the scope, newest first. `approvals_of` limits decisions to runs started by this principal."""
    within = scopes.within(R.workflow, scope)
    own = [] if approvals_of is None else [R.initiator == approvals_of]

    def part(table: Any, conditions: Sequence[Any], approval_id: Any, action: Any, of_run: Sequence[Any]) -> Any:
        statement = select(
            table.signalled_at,
            table.execution_id,
            table.event_id,
            table.run_id,
            approval_id.label("approval_id"),
            action.label("action"),
            table.principal.label("claimed_principal"),
            table.identity,
            table.unattributed_because,
        ).where(*conditions)
        if of_run:
            statement = statement.join(R, R.run_id == table.run_id).where(*of_run)
        key = tuple_(table.signalled_at, table.execution_id, table.event_id)
        if run_id is not None:
            statement = statement.where(table.run_id == run_id)
        if after is not None:
            statement = statement.where(key < tuple_(*after))
        ordered = statement.order_by(table.signalled_at.desc(), table.execution_id.desc(), table.event_id.desc())
        return select(ordered.limit(limit).subquery())

    both = union_all(
        part(D, _DECISIONS, D.approval_id, D.verdict, [*within, *own]),
        part(K, _CONTROLS, literal(None), K.action, within),
    ).subquery()
    act = both.c
    statement = select(both).order_by(act.signalled_at.desc(), act.execution_id.desc(), act.event_id.desc())
    return [Act(**row) for row in (await session.execute(statement.limit(limit))).mappings()]


async def count_since(session: ReadSession, since: timedelta) -> int:
    """The number of unattributed acts on all runs in the last `since`."""
    decisions, controls = (
        select(func.count())
        .select_from(table)
        .where(table.signalled_at > func.now() - since, *conditions)
        .scalar_subquery()
        for table, conditions in ((D, _DECISIONS), (K, _CONTROLS))
    )
    return int((await session.execute(select(decisions + controls))).scalar_one())
