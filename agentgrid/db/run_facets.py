"""How many runs match a filter, by the values that it could be narrowed to: each facet under all filters but its own.

States are counted up to the same bound as `run_counts`. The other facets look at the first matches of the list only, because a wide filter
would read most of the table for them; they say so.
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
"""How many matches are looked at for all facets but that of states: about 30 ms."""
MOST_CALLED = 2_000
"""How many of them for agents, whose names are in the steps."""
MOST_VALUES = 50
"""Of each facet, those with most runs."""


_COLUMNS = {"workflow": R.workflow, "initiator": R.initiator, "tool": R.tools, "tag": R.tags}
_LISTS = ("agent", "tool", "tag")


@dataclass(frozen=True, kw_only=True)
class Facet:
    """The values of one facet with most runs."""

    counts: Mapping[str, int]
    complete: bool
    """False if more runs match than were looked at: the counts are then lower bounds."""
    more: int = 0
    """How many values more there are."""


@dataclass(frozen=True, kw_only=True)
class Facets:
    """All facets."""

    state: Facet
    workflow: Facet
    initiator: Facet
    agent: Facet
    tool: Facet
    tag: Facet


async def of(session: ReadSession, *, wanted: RunFilter, scope: Scope) -> Facets:
    """The facets of the matching runs in the scope."""
    await session.execute(run_counts.BY_INDEX)
    state = await _states(session, replace(wanted, state=(), status=(), waiting_on=(), stuck=None), scope)
    own = {
        "workflow": replace(wanted, workflow=(), version=None),
        "initiator": replace(wanted, initiator=None),
        "agent": replace(wanted, agent=None),
        "tool": replace(wanted, tool=None),
        "tag": replace(wanted, tag=()),
    }
    together: dict[RunFilter, list[str]] = {}
    for name, each in own.items():
        together.setdefault(each, []).append(name)
    found: dict[str, Facet] = {}
    for each, names in together.items():
        found |= await _values(session, each, scope, names)
    return Facets(state=state, **found)


async def _states(session: ReadSession, wanted: RunFilter, scope: Scope) -> Facet:
    alone = wanted == RunFilter() and is_everything(scope)
    statement = _in_the_index() if alone else _collected(wanted, scope)
    counts = dict.fromkeys(map(str, RunState), 0)
    rows = (await session.execute(statement)).all()
    for status, waiting_on, count in rows:
        counts[state_of(status, waiting_on)] += count
    # Beside those that wait for a worker, it has runs that are in other states too.
    stuck = select(R.run_id).where(*conditions(wanted, scope, R, True), is_stuck(R)).limit(run_counts.MOST + 1)
    counts[RunState.STUCK] = (await session.execute(select(func.count()).select_from(stuck.subquery()))).scalar_one()
    matched = [count for _, _, count in rows]
    complete = (max(matched, default=0) if alone else sum(matched)) <= run_counts.MOST
    return Facet(counts={state: min(count, run_counts.MOST) for state, count in counts.items()}, complete=complete)


def _in_the_index() -> Any:
    """Each status but `waiting` in its own index, and what is waited for in that of waiting runs."""
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


def _collected(wanted: RunFilter, scope: Scope) -> Any:
    matches = run_counts.matching(wanted, scope, R.status, R.waiting_on).limit(run_counts.MOST + 1).subquery()
    return select(matches.c.status, matches.c.waiting_on, func.count()).group_by(matches.c.status, matches.c.waiting_on)


async def _values(session: ReadSession, wanted: RunFilter, scope: Scope, names: Sequence[str]) -> dict[str, Facet]:
    """These facets, which are all counted under one filter."""
    columns = (R.run_id, *(_COLUMNS[name] for name in names if name in _COLUMNS))
    matches = run_counts.matching(wanted, scope, *columns, newest=True).limit(MOST + 1).cte("matches")
    looked = select(literal("").label("facet"), literal("").label("value"), func.count().label("runs"), literal(0))
    parts = [looked.select_from(matches), *(_facet(name, matches) for name in names)]
    rows = (await session.execute(union_all(*(select(part.subquery()) for part in parts)))).all()
    matched = next(runs for facet, _, runs, _ in rows if not facet)
    found = {}
    for name in names:
        counts = {value: int(runs) for facet, value, runs, _ in rows if facet == name}
        more = max((values for facet, _, _, values in rows if facet == name), default=0) - len(counts)
        found[name] = Facet(counts=counts, complete=matched <= (MOST_CALLED if name == "agent" else MOST), more=more)
    return found


def _facet(name: str, matches: Any) -> Any:
    """Its values with most runs, each with its runs and how many values there are."""
    if name == "agent":
        alike = _called(matches)
    else:
        # Most runs have the tags of others: equal lists are taken apart once.
        column = matches.c[_COLUMNS[name].key]
        alike = select(column.label("values"), func.count().label("runs")).group_by(column).subquery()
    source, value, runs = alike, alike.c["values"].label("value"), func.sum(alike.c.runs)
    if name in _LISTS:
        # A run may have a tag twice.
        each = select(func.unnest(alike.c["values"]).column_valued("value")).distinct().correlate(alike).lateral()
        source, value = alike.join(each, true()), each.c.value
    counted = select(literal(name).label("facet"), value, runs.label("runs"), func.count().over().label("values"))
    return counted.select_from(source).group_by(value).order_by(runs.desc(), value).limit(MOST_VALUES)


def _called(matches: Any) -> Any:
    """The agents that each of some runs called, and how many called the same."""
    some = select(matches.c.run_id).limit(MOST_CALLED).subquery()
    called = (
        select(func.array_agg(S.name.distinct()).label("values"))
        .join_from(some, Step, (S.run_id == some.c.run_id) & (S.kind == StepKind.AGENT.value))
        .group_by(some.c.run_id)
        .subquery()
    )
    return select(called.c["values"], func.count().label("runs")).group_by(called.c["values"]).subquery()
