"""Log lines of a run's workflow and tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select

from agentgrid.db.session import ReadSession
from agentgrid.db.steps import activities_of, reported, steps_of
from agentgrid.db.tables import Log
from agentgrid.domain.logs import LogLevel, spellings

L: Any = Log


@dataclass(frozen=True, kw_only=True)
class LogFilter:
    """Selects log lines of a run."""

    execution_id: str | None = None
    activity_id: str | None = None
    step: tuple[str, int] | None = None
    """The execution and the event id of a step."""
    levels: frozenset[LogLevel] = frozenset()
    """Empty for all levels."""
    q: str | None = None


async def page(
    session: ReadSession,
    run_id: str,
    filters: LogFilter,
    *,
    limit: int,
    after: int | None = None,
    before: int | None = None,
    newest: bool = False,
) -> Sequence[Log]:
    """Lines, oldest first. `after`, `before`: only lines with a higher or lower id. `newest`: the last page instead of the first."""
    execution = filters.step[0] if filters.step is not None else filters.execution_id
    statement = select(Log).where(reported(L, run_id, execution))
    if filters.activity_id is not None:
        statement = statement.where(L.activity_id == filters.activity_id)
    if filters.step is not None:
        statement = statement.where(L.activity_id.in_(await activities_of(session, *filters.step)))
    if filters.levels:
        statement = statement.where(_level(filters.levels))
    if filters.q is not None:
        statement = statement.where(L.message.icontains(filters.q, autoescape=True))
    if after is not None:
        statement = statement.where(L.log_id > after)
    if before is not None:
        statement = statement.where(L.log_id < before)
    order = L.log_id.desc() if newest else L.log_id
    lines = (await session.execute(statement.order_by(order).limit(limit))).scalars().all()
    return lines[::-1] if newest else lines


def _level(levels: frozenset[LogLevel]) -> ColumnElement[bool]:
    written = func.lower(L.level)
    if LogLevel.INFO in levels:
        # A custom level counts as info.
        return written.not_in(spellings(frozenset(LogLevel) - levels))
    return written.in_(spellings(levels))


async def steps(session: ReadSession, lines: Sequence[Log]) -> Mapping[tuple[str, str], int]:
    """The event ids of the steps that wrote these lines, by execution id and activity id."""
    return await steps_of(session, {(line.execution_id, line.activity_id) for line in lines if line.activity_id})
