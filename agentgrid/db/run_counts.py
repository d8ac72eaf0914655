"""Counts of runs by status under any filter, at a bounded cost: counting stops at MOST matches.

Without a filter, or with only a status filter, each status is counted in its own index. Under any other filter, all matches are collected by any
available index, as for a list that no index returns in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import func, literal, select, text, union_all

from agentgrid.db.run_filter import R, RunFilter, Scope, conditions
from agentgrid.db.session import ReadSession
from agentgrid.domain.runs import RunStatus
from agentgrid.domain.scopes import is_everything

MOST = 100_000
"""About 50 ms if the matches are scattered over the table, 10 ms if one index contains them."""


BY_INDEX = text("SET LOCAL enable_seqscan = off")
"""Otherwise a filter that matches much of the table causes a full scan, however large the table is."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Numbers of runs by status."""

    by_status: Mapping[RunStatus, int]
    """Has every status, even with a count of 0."""
    complete: bool
    """False if there are more: the counts are then lower bounds."""

    @property
    def total(self) -> int:
        """The sum over all statuses."""
        return sum(self.by_status.values())


async def by_status(session: ReadSession, *, filters: RunFilter, scope: Scope) -> Tally:
    """The number of matching runs in the scope, by status."""
    only_status = replace(filters, status=()) == RunFilter() and is_everything(scope)
    statement = _in_the_index(filters) if only_status else _collected(filters, scope)
    await session.execute(BY_INDEX)
    counts = {RunStatus(status): count for status, count in (await session.execute(statement)).all()}
    # One match over the limit shows that there are more.
    complete = (max(counts.values(), default=0) if only_status else sum(counts.values())) <= MOST
    capped = {status: min(counts.get(status, 0), MOST) for status in RunStatus}
    return Tally(by_status=capped, complete=complete)


def _in_the_index(filters: RunFilter) -> Any:
    statuses = filters.status or tuple(status.value for status in RunStatus)
    counts = []
    for status in dict.fromkeys(statuses):
        matches = select(R.status).where(R.status == status).limit(MOST + 1).subquery()
        counts.append(select(literal(status), func.count()).select_from(matches))
    return union_all(*counts)


def _collected(filters: RunFilter, scope: Scope) -> Any:
    matches = matching(filters, scope, R.status).limit(MOST + 1).subquery()
    return select(matches.c.status, func.count()).group_by(matches.c.status)


def matching(filters: RunFilter, scope: Scope, *columns: Any, newest: bool = False) -> Any:
    """These columns of the matching runs in the scope, for the caller to limit. newest: in list order."""
    statement = select(*columns).where(*conditions(filters, scope, R, True))
    # The trigger's index omits the most common value, `api`, so that filter scans the list's index.
    in_list_order = filters.trigger is not None or (newest and filters == RunFilter())
    return statement.order_by(R.created_at.desc(), R.run_id.desc()) if in_list_order else statement
