"""How many runs match a filter for each value that could narrow it. Each facet is counted under all filters except its own.

States are counted up to the same bound as in `run_counts`. The other facets only look at the first matches in the list, because a wide filter
would have to read most of the table for them; they are then marked as incomplete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import func, literal, select, true, union_all

from agentgrid.db import run_counts
from agentgrid.db.run_filter import R, RunFilter, S, Scope, conditions, is_stuck
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import Step
from agentgrid.domain.run_states import RunState, state_of
from agentgrid.domain.runs import RunStatus
from agentgrid.domain.scopes import is_everything
from agentgrid.domain.steps import StepKind

MOST = 5_000
"""How many matches to look at for all facets except states: about 30 ms."""
MOST_CALLED = 2_000
"""How many of these to look at for agents, whose names are in the steps."""
MOST_VALUES = 50
"""Maximum values per facet, those with the most runs."""


_COLUMNS = {"workflow": R.workflow, "initiator": R.initiator, "tool": R.tools, "tag": R.tags}
_LISTS = ("agent", "tool", "tag")


@dataclass(frozen=True, kw_only=True)
class Facet:
    """The values of one facet with the most runs."""

    counts: Mapping[str, int]
    complete: bool
    """False if more runs match than were looked at: the counts are then lower bounds."""
    more: int = 0
    """How many more values there are."""


@dataclass(frozen=True, kw_only=True)
class Facets:
    """The facets of a list of runs."""

    state: Facet
    workflow: Facet
    initiator: Facet
    agent: Facet
    tool: Facet
    tag: Facet


async def of(session: ReadSession, *, filters: RunFilter, scope: Scope) -> Facets:
    """The facets of the matching runs in the scope."""
    await session.execute(run_counts.BY_INDEX)
    state = await _states(session, replace(filters, state=(), status=(), waiting_on=(), stuck=None), scope)
    own = {
        "workflow": replace(filters, workflow=(), version=None),
        "initiator": replace(filters, initiator=None),
        "agent": replace(filters, agent=None),
        "tool": replace(filters, tool=None),
        "tag": replace(filters, tag=()),
    }
    by_filter: dict[RunFilter, list[str]] = {}
    for name, without_own in own.items():
        by_filter.setdefault(without_own, []).append(name)
    facets: dict[str, Facet] = {}
    for without_own, names in by_filter.items():
        facets |= await _values(session, without_own, scope, names)
    return Facets(state=state, **facets)


async def _states(session: ReadSession, filters: RunFilter, scope: Scope) -> Facet:
    unfiltered = filters == RunFilter() and is_everything(scope)
    statement = _in_the_index() if unfiltered else _collected(filters, scope)
    counts = dict.fromkeys(map(str, RunState), 0)
    rows = (await session.execute(statement)).all()
    for status, waiting_on, count in rows:
        counts[state_of(status, waiting_on)] += count
    # `stuck` overlaps: it includes runs that are also counted in other states.
    stuck = select(R.run_id).where(*conditions(filters, scope, R, True), is_stuck(R)).limit(run_counts.MOST + 1)
    counts[RunState.STUCK] = (await session.execute(select(func.count()).select_from(stuck.subquery()))).scalar_one()
    matched = [count for _, _, count in rows]
    complete = (max(matched, default=0) if unfiltered else sum(matched)) <= run_counts.MOST
    return Facet(counts={state: min(count, run_counts.MOST) for state, count in counts.items()}, complete=complete)


def _in_the_index() -> Any:
    """Count each status except `waiting` in its own index, and what runs wait for in the index of waiting runs."""
    parts = []
    for status in RunStatus:
        if status is not RunStatus.WAITING:
            matches = select(R.status).where(R.status == status.value).limit(run_counts.MOST + 1).subquery()
            parts.append(select(literal(status.value), literal(None), func.count()).select_from(matches))
    waiting = (
        select(R.status, R.waiting_on).where(R.status == RunStatus.WAITING.value).limit(run_counts.MOST + 1).subquery()
    )
    parts.append(
        select(waiting.c.status, waiting.c.waiting_on, func.count()).group_by(waiting.c.status, waiting.c.waiting_on)
    )
    return union_all(*parts)


def _collected(filters: RunFilter, scope: Scope) -> Any:
    matches = run_counts.matching(filters, scope, R.status, R.waiting_on).limit(run_counts.MOST + 1).subquery()
    return select(matches.c.status, matches.c.waiting_on, func.count()).group_by(matches.c.status, matches.c.waiting_on)


async def _values(session: ReadSession, filters: RunFilter, scope: Scope, names: Sequence[str]) -> dict[str, Facet]:
    """Count these facets, which share one filter."""
    columns = (R.run_id, *(_COLUMNS[name] for name in names if name in _COLUMNS))
    matches = run_counts.matching(filters, scope, *columns, newest=True).limit(MOST + 1).cte("matches")
    looked = select(literal("").label("facet"), literal("").label("value"), func.count().label("runs"), literal(0))
    parts = [looked.select_from(matches), *(_facet(name, matches) for name in names)]
    rows = (await session.execute(union_all(*(select(part.subquery()) for part in parts)))).all()
    matched = next(runs for facet, _, runs, _ in rows if not facet)
    facets = {}
    for name in names:
        counts = {value: int(runs) for facet, value, runs, _ in rows if facet == name}
        more = max((values for facet, _, _, values in rows if facet == name), default=0) - len(counts)
        facets[name] = Facet(counts=counts, complete=matched <= (MOST_CALLED if name == "agent" else MOST), more=more)
    return facets


def _facet(name: str, matches: Any) -> Any:
    """The facet's values with the most runs, each with its number of runs and the total number of values."""
    if name == "agent":
        alike = _called(matches)
    else:
        # Most runs share their tags with others, so equal lists are unnested once.
        column = matches.c[_COLUMNS[name].key]
        alike = select(column.label("values"), func.count().label("runs")).group_by(column).subquery()
    source, value, runs = alike, alike.c["values"].label("value"), func.sum(alike.c.runs)
    if name in _LISTS:
        # A run may have the same tag twice.
        element = select(func.unnest(alike.c["values"]).column_valued("value")).distinct().correlate(alike).lateral()
        source, value = alike.join(element, true()), element.c.value
    counted = select(literal(name).label("facet"), value, runs.label("runs"), func.count().over().label("values"))
    return counted.select_from(source).group_by(value).order_by(runs.desc(), value).limit(MOST_VALUES)


def _called(matches: Any) -> Any:
    """The distinct sets of agents that the first matches called, with the number of runs of each set."""
    first = select(matches.c.run_id).limit(MOST_CALLED).subquery()
    called = (
        select(func.array_agg(S.name.distinct()).label("values"))
        .join_from(first, Step, (S.run_id == first.c.run_id) & (S.kind == StepKind.AGENT.value))
        .group_by(first.c.run_id)
        .subquery()
    )
    return select(called.c["values"], func.count().label("runs")).group_by(called.c["values"]).subquery()
