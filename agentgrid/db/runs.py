"""Runs and their executions, as the screens ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import exists, func, select, text, union_all, update
from sqlalchemy.orm import defer

from agentgrid.db import paging, run_search, scopes
from agentgrid.db.arrays import holds_all
from agentgrid.db.paging import Key, Listing
from agentgrid.db.pool import Connection
from agentgrid.db.rows import Question, columns, loaded
from agentgrid.db.session import ReadSession, WriteSession
from agentgrid.db.tables import Execution, Run, Step
from agentgrid.domain.runs import OPEN, ExecutionStatus, RunStatus, WaitingOn
from agentgrid.domain.scopes import admits, is_everything
from agentgrid.domain.steps import StepKind, StepStatus

# The same classes, their attributes read as the SQL expressions that they are.
R: Any = Run
E: Any = Execution
S: Any = Step

Scope = frozenset[str]
"""Globs of the workflows whose runs the caller may see."""

OPEN_WORDS = tuple(sorted(status.value for status in OPEN))


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """What a list of runs is limited to; several statuses are alternatives, all else must hold together."""

    status: tuple[str, ...] = ()
    waiting_on: tuple[str, ...] = ()
    workflow: str | None = None
    agent: str | None = None
    tool: str | None = None
    tag: tuple[str, ...] = ()
    reference: str | None = None
    initiator: str | None = None
    trigger: str | None = None
    parent: str | None = None
    workflow_id: str | None = None
    stuck: bool | None = None
    started_after: datetime | None = None
    started_before: datetime | None = None
    closed_after: datetime | None = None
    q: str | None = None


_ORDERED = frozenset({"status", "waiting_on", "workflow", "reference", "initiator", "trigger", "parent", "stuck"})
"""Each has an index in the list's order by itself, or, like `stuck`, is cheap to find."""
_ANYWHERE = frozenset({"started_after", "started_before"})
"""These only bound the place in the list."""


def _ordered(wanted: RunFilter) -> bool:
    """Whether one index holds what is wanted in the list's order."""
    given = {item.name: getattr(wanted, item.name) for item in fields(wanted) if item.name not in _ANYWHERE}
    given = {name: value for name, value in given.items() if value is not None and value != ()}
    if len(given) > 1:
        return False
    return all(name in _ORDERED and not (isinstance(value, tuple) and len(value) > 1) for name, value in given.items())


def _stuck(run: Any) -> Any:
    """Open, and it waits for a worker or its workflow task keeps failing."""
    waits = select(R.run_id).where(R.waiting_on == WaitingOn.WORKER.value)
    return run.status.in_(OPEN_WORDS) & run.run_id.in_(union_all(waits, _task_keeps_failing()))


def _task_keeps_failing() -> Any:
    return select(E.run_id).where(E.status == ExecutionStatus.RUNNING.value, E.live_problem.is_not(None))


def conditions(wanted: RunFilter, scope: Scope, run: Any, collected: bool) -> list[Any]:
    """What is wanted of `run`: the table or a stretch of it. collected: all that match are collected, so that every index helps."""
    found: list[Any] = scopes.among(run.workflow, scope) if collected else scopes.within(run.workflow, scope)
    if wanted.status:
        found.append(run.status.in_(wanted.status))
    if wanted.waiting_on:
        found.append(run.waiting_on.in_(wanted.waiting_on))
    equal = (
        (run.workflow, wanted.workflow),
        (run.reference, wanted.reference),
        (run.initiator, wanted.initiator),
        (run.trigger, wanted.trigger),
        (run.parent_run_id, wanted.parent),
        (run.workflow_id, wanted.workflow_id),
    )
    found.extend(column == value for column, value in equal if value is not None)
    if wanted.tool is not None:
        found.append(holds_all(run.tools, [wanted.tool]))
    if wanted.tag:
        found.append(holds_all(run.tags, wanted.tag))
    if wanted.agent is not None:
        found.append(
            exists(
                select(S.event_id).where(S.run_id == run.run_id, S.kind == StepKind.AGENT.value, S.name == wanted.agent)
            )
        )
    if wanted.stuck is not None:
        found.append(_stuck(run) if wanted.stuck else ~_stuck(run))
    if wanted.started_after is not None:
        found.append(run.created_at >= wanted.started_after)
    if wanted.started_before is not None:
        found.append(run.created_at < wanted.started_before)
    if wanted.closed_after is not None:
        found.append(run.closed_at >= wanted.closed_after)
    if wanted.q is not None:
        found.append(run.run_id.in_(run_search.found(wanted.q)) if collected else run_search.matches(run, wanted.q))
    return found


_LISTING = Listing(
    table=Run,
    at="created_at",
    identifier="run_id",
    key=("run_id",),
    # A list shows no payloads, which are most of a row.
    options=lambda run: [defer(payload, raiseload=True) for payload in (run.input, run.result, run.error)],
)


async def newest(
    session: ReadSession, *, wanted: RunFilter, scope: Scope, limit: int, after: Key | None = None
) -> Sequence[Run]:
    """Runs in the scope, newest first, without their payloads."""
    ordered = is_ordered(wanted, scope)
    wanting = partial(conditions, wanted, scope)
    rows = await paging.newest(session, _LISTING, wanting, limit=limit, after=after, ordered=ordered)
    return [row[0] for row in rows]


def is_ordered(wanted: RunFilter, scope: Scope) -> bool:
    """Whether a single index returns the matching runs in the scope in the list's order."""
    return _ordered(wanted) and is_everything(scope)


async def newest_in_order(
    connection: Connection, *, wanted: RunFilter, scope: Scope, limit: int, after: Key | None = None
) -> Sequence[dict[str, Any]]:
    """Like `newest`, for filters that are `is_ordered`, which most are. Each row is a dict by column name."""
    words, arguments = _in_order(wanted, scope, limit, after)
    return [dict(row) for row in await connection.fetch(words, *arguments)]


@lru_cache(maxsize=256)
def _in_order(wanted: RunFilter, scope: Scope, limit: int, after: Key | None) -> Question:
    return paging.in_order(_LISTING, partial(conditions, wanted, scope), limit=limit, after=after)


async def get(session: ReadSession | WriteSession, run_id: str) -> Run | None:
    """One run."""
    return await session.get(Run, run_id)


async def named(session: ReadSession, run_ids: Sequence[str]) -> Sequence[Run]:
    """Those of these runs that exist, without their payloads."""
    statement = select(Run).options(*_LISTING.options(R)).where(R.run_id.in_(run_ids))
    return (await session.execute(statement)).scalars().all()


async def seen(session: ReadSession | WriteSession, run_id: str, *, scope: Scope) -> Run | None:
    """One run; None also if it is not in the scope."""
    run = await session.get(Run, run_id)
    return run if run is not None and admits(scope, run.workflow) else None


_RESULT = "SELECT {run} FROM runs r WHERE r.run_id = $1".replace("{run}", columns(Run, "r", without=("input",)))


async def result_of(connection: Connection, run_id: str, *, scope: Scope) -> Run | None:
    """One run without its input; None also if it is not in the scope."""
    row = await connection.fetchrow(_RESULT, run_id)
    return loaded(Run, dict(row)) if row is not None and admits(scope, row["workflow"]) else None


async def executions(session: ReadSession, run_id: str) -> Sequence[Execution]:
    """The run's chain, oldest first."""
    statement = select(Execution).where(E.run_id == run_id).order_by(E.started_at, E.execution_id)
    return (await session.execute(statement)).scalars().all()


async def taken(session: ReadSession | WriteSession, run: Run) -> bool:
    """Whether a worker has completed a workflow task of the run's present execution."""
    statement = select(E.taken).where(E.execution_id == run.execution_id)
    return (await session.execute(statement)).scalar() is True


async def at_work(session: ReadSession | WriteSession, run: Run) -> bool:
    """Whether a call of an agent is open in the run's present execution."""
    statement = select(
        exists().where(S.execution_id == run.execution_id, S.kind == StepKind.AGENT, S.status == StepStatus.RUNNING)
    )
    return bool((await session.execute(statement)).scalar_one())


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many runs there are. The last two count some of the open ones once more."""

    by_status: Mapping[RunStatus, int]
    """Every status, also where there are none."""
    waiting_for_approval: int
    stuck: int


async def counts(session: ReadSession, *, scope: Scope, since: timedelta) -> Counts:
    """Counts of runs in the scope: open by status, closed by status since then, open ones that wait for approval, and stuck ones."""
    opened, closed, stuck = _counting(scope, since)
    found = dict.fromkeys(RunStatus, 0)
    waiting = 0
    for status, waiting_on, count in (await session.execute(opened)).all():
        found[RunStatus(status)] += count
        if (status, waiting_on) == (RunStatus.WAITING, WaitingOn.APPROVAL):
            waiting += count
    for status, count in (await session.execute(closed)).all():
        found[RunStatus(status)] = count
    return Counts(by_status=found, waiting_for_approval=waiting, stuck=(await session.execute(stuck)).scalar_one())


@lru_cache(maxsize=256)
def _counting(scope: Scope, since: timedelta) -> tuple[Any, Any, Any]:
    """Statements, kept for the same reason as that of approvals, that count open, closed and stuck runs."""
    inside = scopes.within(R.workflow, scope)
    opened = select(R.status, R.waiting_on, func.count()).where(R.status.in_(OPEN_WORDS), *inside)
    closed = select(R.status, func.count()).where(R.closed_at >= func.now() - since, *inside).group_by(R.status)
    stuck = select(func.count()).select_from(Run).where(_stuck(R), *inside)
    return opened.group_by(R.status, R.waiting_on), closed, stuck


async def counts_of_workflow(
    session: ReadSession, workflow: str, *, since: timedelta
) -> tuple[dict[str, int], dict[str, int]]:
    """One workflow's open runs by status, and its closed ones since then."""
    base = select(R.status, func.count()).where(R.workflow == workflow).group_by(R.status)
    opened = (await session.execute(base.where(R.status.in_(OPEN_WORDS)))).all()
    closed = (await session.execute(base.where(R.closed_at >= func.now() - since))).all()
    return {status: count for status, count in opened}, {status: count for status, count in closed}


async def open_by_task_queue(session: ReadSession, *, scope: Scope) -> dict[str, int]:
    """The number of open runs in the scope, by task queue."""
    inside = scopes.within(R.workflow, scope)
    statement = select(R.task_queue, func.count()).where(R.status.in_(OPEN_WORDS), *inside).group_by(R.task_queue)
    return {queue: count for queue, count in (await session.execute(statement)).all()}


@dataclass(frozen=True, kw_only=True)
class Last:
    """A workflow's newest run."""

    run_id: str
    status: str
    created_at: datetime


_LAST = text(
    "SELECT w.name, r.run_id, r.status, r.created_at FROM unnest(CAST(:names AS text[])) AS w(name) CROSS JOIN LATERAL "
    "(SELECT run_id, status, created_at FROM runs WHERE workflow = w.name ORDER BY created_at DESC, run_id DESC LIMIT 1) AS r"
)


async def last_of(session: ReadSession, workflows: Sequence[str]) -> dict[str, Last]:
    """The newest run of each workflow."""
    if not workflows:
        return {}
    found = (await session.execute(_LAST, {"names": list(workflows)})).all()
    return {row.name: Last(run_id=row.run_id, status=row.status, created_at=row.created_at) for row in found}


async def close_unstarted(
    session: WriteSession, run_id: str, *, status: RunStatus, reason: str, error: dict[str, Any] | None
) -> bool:
    """End a queued run that Temporal never took, and so has no history to be folded; false where it has one after all."""
    statement = (
        update(Run)
        .where(
            R.run_id == run_id,
            R.status == RunStatus.QUEUED.value,
            R.first_execution_id.is_(None),
        )
        .values(
            status=status.value,
            status_reason=reason,
            error_type=(error or {}).get("type"),
            error=error,
            closed_at=func.now(),
            updated_at=func.now(),
        )
        .returning(R.run_id)
    )
    return (await session.execute(statement)).scalar() is not None
