"""Counts of runs by status under any filter, at a bounded cost: counting ends at MOST matches.

Without a filter, or by status alone, each status is counted in its own index. Under any other filter the matches are collected by whatever indexes
there are, as a list does that is not in an index's order.
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
"""About 50 ms where the matches are scattered over the table, 10 ms where one index holds them."""


BY_INDEX = text("SET LOCAL enable_seqscan = off")
"""Otherwise a filter that matches much of the table is answered from one end of it to the other, however large it has become."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many runs there are."""

    by_status: Mapping[RunStatus, int]
    """Every status, also where there are none."""
    complete: bool
    """False if there are more: the counts are then lower bounds."""

    @property
    def total(self) -> int:
        """All together."""
        return sum(self.by_status.values())


async def by_status(session: ReadSession, *, wanted: RunFilter, scope: Scope) -> Tally:
    """The number of matching runs in the scope, by status."""
    alone = replace(wanted, status=()) == RunFilter() and is_everything(scope)
    statement = _in_the_index(wanted) if alone else _collected(wanted, scope)
    await session.execute(BY_INDEX)
    found = {RunStatus(status): count for status, count in (await session.execute(statement)).all()}
    # The one beyond the most only tells that there are more.
    complete = (max(found.values(), default=0) if alone else sum(found.values())) <= MOST
    counted = {status: min(found.get(status, 0), MOST) for status in RunStatus}
    return Tally(by_status=counted, complete=complete)


def _in_the_index(wanted: RunFilter) -> Any:
    statuses = wanted.status or tuple(status.value for status in RunStatus)
    counts = []
    for status in dict.fromkeys(statuses):
        matches = select(R.status).where(R.status == status).limit(MOST + 1).subquery()
        counts.append(select(literal(status), func.count()).select_from(matches))
    return union_all(*counts)


def _collected(wanted: RunFilter, scope: Scope) -> Any:
    matches = matching(wanted, scope, R.status).limit(MOST + 1).subquery()
    return select(matches.c.status, func.count()).group_by(matches.c.status)


def matching(wanted: RunFilter, scope: Scope, *columns: Any, newest: bool = False) -> Any:
    """These columns of the matching runs in the scope, to be limited. newest: in the list's order."""
    found = select(*columns).where(*conditions(wanted, scope, R, True))
    # No index holds the trigger of most runs, `api`: the list's own is walked.
    walked = wanted.trigger is not None or (newest and wanted == RunFilter())
    return found.order_by(R.created_at.desc(), R.run_id.desc()) if walked else found
