"""What a list of runs is limited to, as conditions. Lists, counts, facets and the overview share them, so that their numbers agree."""

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

# The same classes, their attributes read as the SQL expressions that they are.
R: Any = Run
E: Any = ExecutionRow
S: Any = Step

Scope = frozenset[str]
"""Globs of the workflows whose runs the caller may see."""

OPEN_WORDS = tuple(sorted(status.value for status in OPEN))


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """What a list of runs is limited to; several states, statuses, workflows or ids are alternatives, all else must hold together."""

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
    """Only runs that took, or have taken so far, longer than this."""
    q: str | None = None
    titles: bool = False
    """Search subjects and the titles of open approvals too, which quote payloads. Only together with `q`."""


_ORDERED = frozenset(
    {"status", "waiting_on", "run_ids", "workflow", "reference", "initiator", "trigger", "parent", "stuck"}
)
"""Each has an index in the list's order by itself, or, like `stuck` and `run_ids`, is cheap to find."""
_ANYWHERE = frozenset({"started_after", "started_before", "titles"})
"""These only bound the place in the list, or are a part of `q`."""


def is_ordered(wanted: RunFilter, scope: Scope) -> bool:
    """Whether a single index returns the matching runs in the scope in the list's order."""
    given = {item.name: getattr(wanted, item.name) for item in fields(wanted) if item.name not in _ANYWHERE}
    given = {name: value for name, value in given.items() if value is not None and value != ()}
    if len(given) > 1 or not is_everything(scope):
        return False
    return all(
        name == "run_ids" or (name in _ORDERED and not (isinstance(value, tuple) and len(value) > 1))
        for name, value in given.items()
    )


def is_stuck(run: Any) -> Any:
    """Open, and it waits for a worker or its workflow task keeps failing."""
    waits = select(R.run_id).where(R.waiting_on == WaitingOn.WORKER.value)
    return run.status.in_(OPEN_WORDS) & run.run_id.in_(union_all(waits, _task_keeps_failing()))


def _task_keeps_failing() -> Any:
    return select(E.run_id).where(E.status == ExecutionStatus.RUNNING.value, E.live_problem.is_not(None))


def _is_in(run: Any, states: Iterable[str]) -> Any:
    """In any of these states."""
    found, plain = [], []
    for state in states:
        if state == RunState.STUCK:
            found.append(is_stuck(run))
        elif state in WAITS:
            among_these = run.waiting_on.in_(WAITS[RunState(state)])
            if state == RunState.WAITING:
                among_these |= run.waiting_on.is_(None)
            found.append(and_(run.status == RunStatus.WAITING.value, among_these))
        else:
            plain.append(state)
    return or_(*found, run.status.in_(plain)) if plain else or_(*found)


def _took_longer(run: Any, duration: timedelta) -> Any:
    begun = func.coalesce(run.started_at, run.created_at)
    return or_(
        and_(run.closed_at.is_not(None), run.closed_at - begun > duration),
        and_(run.status.in_(OPEN_WORDS), begun < func.now() - duration),
    )


def _alternatives(column: Any, values: tuple[str, ...]) -> Any:
    return column == values[0] if len(values) == 1 else among(column, values)


def conditions(wanted: RunFilter, scope: Scope, run: Any, collected: bool) -> list[Any]:
    """What is wanted of `run`: the table or a stretch of it. collected: all that match are collected, so that every index helps."""
    found: list[Any] = scopes.among(run.workflow, scope) if collected else scopes.within(run.workflow, scope)
    if wanted.state:
        found.append(_is_in(run, wanted.state))
    if wanted.status:
        found.append(run.status.in_(wanted.status))
    if wanted.waiting_on:
        found.append(run.waiting_on.in_(wanted.waiting_on))
    if wanted.run_ids:
        found.append(_alternatives(run.run_id, wanted.run_ids))
    if wanted.workflow:
        found.append(_alternatives(run.workflow, wanted.workflow))
    equal = (
        (run.version, wanted.version),
        (run.reference, wanted.reference),
        (run.initiator, wanted.initiator),
        (run.trigger, wanted.trigger),
        (run.parent_run_id, wanted.parent),
        (run.workflow_id, wanted.workflow_id),
        (run.task_queue, wanted.task_queue),
    )
    found.extend(column == value for column, value in equal if value is not None)
    if wanted.tool is not None:
        found.append(holds_all(run.tools, [wanted.tool]))
    if wanted.tag:
        found.append(holds_all(run.tags, wanted.tag))
    if wanted.agent is not None:
        called = (S.run_id == run.run_id, S.kind == StepKind.AGENT.value, S.name == wanted.agent)
        found.append(exists(select(S.event_id).where(*called)))
    if wanted.stuck is not None:
        found.append(is_stuck(run) if wanted.stuck else ~is_stuck(run))
    return [*found, *_times(wanted, run), *_words(wanted, run, collected)]


def _times(wanted: RunFilter, run: Any) -> list[Any]:
    found = []
    if wanted.started_after is not None:
        found.append(run.created_at >= wanted.started_after)
    if wanted.started_before is not None:
        found.append(run.created_at < wanted.started_before)
    if wanted.closed_after is not None:
        found.append(run.closed_at >= wanted.closed_after)
    if wanted.closed_before is not None:
        # No run is requested after it ends: so the list is walked from where matches can be.
        found += [run.closed_at < wanted.closed_before, run.created_at < wanted.closed_before]
    if wanted.duration_over is not None:
        found.append(_took_longer(run, wanted.duration_over))
    return found


def _words(wanted: RunFilter, run: Any, collected: bool) -> list[Any]:
    if wanted.q is None:
        return []
    if collected:
        return [run.run_id.in_(run_search.matching_ids(wanted.q, titles=wanted.titles))]
    return [run_search.matches(run, wanted.q, titles=wanted.titles)]
