"""The run filter and its SQL conditions. Lists, counts, facets and the overview share them, so that their numbers agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, exists, func, or_, select, union_all

from agentgrid.db import run_search, scopes
from agentgrid.db.arrays import among, holds_all
from agentgrid.db.tables import ExecutionRow, Run, Step
from agentgrid.domain.run_states import WAITS, RunState
from agentgrid.domain.runs import OPEN, ExecutionStatus, RunStatus, WaitingOn
from agentgrid.domain.scopes import is_everything
from agentgrid.domain.steps import StepKind

# The same classes, typed so that their attributes are SQL expressions.
R: Any = Run
E: Any = ExecutionRow
S: Any = Step

Scope = frozenset[str]
"""Globs of the workflows whose runs the caller may see."""

OPEN_WORDS = tuple(sorted(status.value for status in OPEN))


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """The filter of a list of runs. Multiple states, statuses, workflows or ids are alternatives; all other conditions are combined with AND."""

    state: tuple[str, ...] = ()
    """`RunState`: a status, or what a waiting run waits for."""
    status: tuple[str, ...] = ()
    waiting_on: tuple[str, ...] = ()
    run_ids: tuple[str, ...] = ()
    workflow: tuple[str, ...] = ()
    version: str | None = None
    agent: str | None = None
    tool: str | None = None
    tag: tuple[str, ...] = ()
    reference: str | None = None
    initiator: str | None = None
    trigger: str | None = None
    parent: str | None = None
    workflow_id: str | None = None
    task_queue: str | None = None
    stuck: bool | None = None
    started_after: datetime | None = None
    started_before: datetime | None = None
    closed_after: datetime | None = None
    closed_before: datetime | None = None
    duration_over: timedelta | None = None
    """Only runs that took longer than this, or have been running for longer."""
    q: str | None = None
    titles: bool = False
    """Also search subjects and the titles of open approvals, which quote payloads. Only with `q`."""


_ORDERED = frozenset(
    {"status", "waiting_on", "run_ids", "workflow", "reference", "initiator", "trigger", "parent", "stuck"}
)
"""Each of these filters on its own has an index in list order, or, like `stuck` and `run_ids`, is cheap to evaluate."""
_ANYWHERE = frozenset({"started_after", "started_before", "titles"})
"""These only bound the position in the list, or are part of `q`."""


def is_ordered(filters: RunFilter, scope: Scope) -> bool:
    """Whether a single index returns the matching runs in the scope in list order."""
    active = {item.name: getattr(filters, item.name) for item in fields(filters) if item.name not in _ANYWHERE}
    active = {name: value for name, value in active.items() if value is not None and value != ()}
    if len(active) > 1 or not is_everything(scope):
        return False
    return all(
        name == "run_ids" or (name in _ORDERED and not (isinstance(value, tuple) and len(value) > 1))
        for name, value in active.items()
    )


def is_stuck(run: Any) -> Any:
    """The run is open, and waits for a worker or its workflow task keeps failing."""
    waits = select(R.run_id).where(R.waiting_on == WaitingOn.WORKER.value)
    return run.status.in_(OPEN_WORDS) & run.run_id.in_(union_all(waits, _task_keeps_failing()))


def _task_keeps_failing() -> Any:
    return select(E.run_id).where(E.status == ExecutionStatus.RUNNING.value, E.live_problem.is_not(None))


def _is_in(run: Any, states: Iterable[str]) -> Any:
    """The run is in any of these states."""
    clauses, statuses = [], []
    for state in states:
        if state == RunState.STUCK:
            clauses.append(is_stuck(run))
        elif state in WAITS:
            among_these = run.waiting_on.in_(WAITS[RunState(state)])
            if state == RunState.WAITING:
                among_these |= run.waiting_on.is_(None)
            clauses.append(and_(run.status == RunStatus.WAITING.value, among_these))
        else:
            statuses.append(state)
    return or_(*clauses, run.status.in_(statuses)) if statuses else or_(*clauses)


def _took_longer(run: Any, duration: timedelta) -> Any:
    begun = func.coalesce(run.started_at, run.created_at)
    return or_(
        and_(run.closed_at.is_not(None), run.closed_at - begun > duration),
        and_(run.status.in_(OPEN_WORDS), begun < func.now() - duration),
    )


def _alternatives(column: Any, values: tuple[str, ...]) -> Any:
    return column == values[0] if len(values) == 1 else among(column, values)


def conditions(filters: RunFilter, scope: Scope, run: Any, collected: bool) -> list[Any]:
    """Conditions for the filter on `run`, the table or a stretch of it. collected: all matches are collected, so that any index helps."""
    clauses: list[Any] = scopes.among(run.workflow, scope) if collected else scopes.within(run.workflow, scope)
    if filters.state:
        clauses.append(_is_in(run, filters.state))
    if filters.status:
        clauses.append(run.status.in_(filters.status))
    if filters.waiting_on:
        clauses.append(run.waiting_on.in_(filters.waiting_on))
    if filters.run_ids:
        clauses.append(_alternatives(run.run_id, filters.run_ids))
    if filters.workflow:
        clauses.append(_alternatives(run.workflow, filters.workflow))
    equal = (
        (run.version, filters.version),
        (run.reference, filters.reference),
        (run.initiator, filters.initiator),
        (run.trigger, filters.trigger),
        (run.parent_run_id, filters.parent),
        (run.workflow_id, filters.workflow_id),
        (run.task_queue, filters.task_queue),
    )
    clauses.extend(column == value for column, value in equal if value is not None)
    if filters.tool is not None:
        clauses.append(holds_all(run.tools, [filters.tool]))
    if filters.tag:
        clauses.append(holds_all(run.tags, filters.tag))
    if filters.agent is not None:
        called = (S.run_id == run.run_id, S.kind == StepKind.AGENT.value, S.name == filters.agent)
        clauses.append(exists(select(S.event_id).where(*called)))
    if filters.stuck is not None:
        clauses.append(is_stuck(run) if filters.stuck else ~is_stuck(run))
    return [*clauses, *_times(filters, run), *_words(filters, run, collected)]


def _times(filters: RunFilter, run: Any) -> list[Any]:
    clauses = []
    if filters.started_after is not None:
        clauses.append(run.created_at >= filters.started_after)
    if filters.started_before is not None:
        clauses.append(run.created_at < filters.started_before)
    if filters.closed_after is not None:
        clauses.append(run.closed_at >= filters.closed_after)
    if filters.closed_before is not None:
        # A run is created before it closes, so this bound lets the scan start where matches begin.
        clauses += [run.closed_at < filters.closed_before, run.created_at < filters.closed_before]
    if filters.duration_over is not None:
        clauses.append(_took_longer(run, filters.duration_over))
    return clauses


def _words(filters: RunFilter, run: Any, collected: bool) -> list[Any]:
    if filters.q is None:
        return []
    if collected:
        return [run.run_id.in_(run_search.matching_ids(filters.q, titles=filters.titles))]
    return [run_search.matches(run, filters.q, titles=filters.titles)]
