"""Queries for runs and their executions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any, Literal

from sqlalchemy import Integer, cast, exists, func, select, text, update
from sqlalchemy.orm import defer

from agentgrid.db import paging, scopes
from agentgrid.db.paging import Key, Listing
from agentgrid.db.pool import Connection
from agentgrid.db.rows import Query, columns, loaded
from agentgrid.db.run_filter import OPEN_WORDS, E, R, RunFilter, S, Scope, conditions, is_ordered, is_stuck
from agentgrid.db.session import ReadSession, WriteSession
from agentgrid.db.tables import ExecutionRow, Run
from agentgrid.domain.run_states import RunState, state_of
from agentgrid.domain.runs import RunStatus, WaitingOn
from agentgrid.domain.scopes import admits, is_everything
from agentgrid.domain.steps import StepKind, StepStatus
from agentgrid.errors import NotFound

_LISTING = Listing(
    table=Run,
    at="created_at",
    identifier="run_id",
    key=("run_id",),
    # Lists show no payloads, which make up most of a row.
    options=lambda run: [defer(payload, raiseload=True) for payload in (run.input, run.result, run.error)],
)


_UPDATED = replace(_LISTING, at="updated_at")
Sort = Literal["created", "updated", "next_at"]


async def newest(
    session: ReadSession,
    *,
    filters: RunFilter,
    scope: Scope,
    limit: int,
    after: Key | None = None,
    sort: Sort = "created",
) -> Sequence[Run]:
    """Runs in the scope, without their payloads, newest or last changed first. Sorted by `next_at`: only runs that have one, soonest first."""
    matching = partial(conditions, filters, scope)
    if sort == "next_at":
        return await _soonest(session, matching(R, True), limit=limit, after=after)
    if sort == "updated":
        ordered, listing = filters == RunFilter() and is_everything(scope), _UPDATED
    else:
        ordered, listing = is_ordered(filters, scope), _LISTING
    rows = await paging.newest(session, listing, matching, limit=limit, after=after, ordered=ordered)
    return [row[0] for row in rows]


async def _soonest(session: ReadSession, clauses: Sequence[Any], *, limit: int, after: Key | None) -> Sequence[Run]:
    # Only open runs have `next_at`, so its index bounds the rows read.
    statement = select(Run).where(R.next_at.is_not(None), *clauses).options(*_LISTING.options(R))
    if after is not None:
        statement = statement.where(paging.newer_than(R.next_at, R.run_id, after))
    return (await session.execute(statement.order_by(R.next_at, R.run_id).limit(limit))).scalars().all()


async def newest_in_order(
    connection: Connection, *, filters: RunFilter, scope: Scope, limit: int, after: Key | None = None
) -> Sequence[dict[str, Any]]:
    """Like `newest`, for filters that are `is_ordered`, as most are. Each row is a dict by column name."""
    query, arguments = _in_order(filters, scope, limit, after)
    return [dict(row) for row in await connection.fetch(query, *arguments)]


@lru_cache(maxsize=256)
def _in_order(filters: RunFilter, scope: Scope, limit: int, after: Key | None) -> Query:
    return paging.in_order(_LISTING, partial(conditions, filters, scope), limit=limit, after=after)


async def last_ended(
    session: ReadSession, *, scope: Scope, status: Collection[RunStatus], since: timedelta, limit: int
) -> Sequence[Run]:
    """Runs in the scope that ended in one of these statuses in the last `since`, without their payloads, most recent first."""
    inside = scopes.within(R.workflow, scope)
    ended = (R.closed_at >= func.now() - since, R.status.in_([word.value for word in status]))
    statement = select(Run).options(*_LISTING.options(R)).where(*ended, *inside)
    return (await session.execute(statement.order_by(R.closed_at.desc(), R.run_id).limit(limit))).scalars().all()


async def any_seen(session: ReadSession, *, scope: Scope) -> bool:
    """Whether there is a run in the scope."""
    return bool(
        (await session.execute(select(exists().where(*scopes.within(R.workflow, scope)).select_from(Run)))).scalar_one()
    )


async def get(session: ReadSession | WriteSession, run_id: str) -> Run | None:
    """One run."""
    return await session.get(Run, run_id)


async def named(session: ReadSession, run_ids: Sequence[str]) -> Sequence[Run]:
    """The runs with these ids, without their payloads; unknown ids are ignored."""
    statement = select(Run).options(*_LISTING.options(R)).where(R.run_id.in_(run_ids))
    return (await session.execute(statement)).scalars().all()


async def seen(session: ReadSession | WriteSession, run_id: str, *, scope: Scope) -> Run:
    """One run. Raises NotFound if it doesn't exist or is outside the scope."""
    run = await session.get(Run, run_id)
    if run is None or not admits(scope, run.workflow):
        raise NotFound("run", run_id)
    return run


_RESULT = "SELECT {run} FROM runs r WHERE r.run_id = $1".replace("{run}", columns(Run, "r", without=("input",)))


async def result_of(connection: Connection, run_id: str, *, scope: Scope) -> Run | None:
    """One run without its input; None if it doesn't exist or is outside the scope."""
    row = await connection.fetchrow(_RESULT, run_id)
    return loaded(Run, dict(row)) if row is not None and admits(scope, row["workflow"]) else None


async def executions(session: ReadSession, run_id: str) -> Sequence[ExecutionRow]:
    """The executions in the run's chain, oldest first."""
    statement = select(ExecutionRow).where(E.run_id == run_id).order_by(E.started_at, E.execution_id)
    return (await session.execute(statement)).scalars().all()


async def taken(session: ReadSession | WriteSession, run: Run) -> bool:
    """Whether a worker has completed a workflow task of the run's current execution."""
    statement = select(E.taken).where(E.execution_id == run.execution_id)
    return (await session.execute(statement)).scalar() is True


async def agent_running(session: ReadSession | WriteSession, run: Run) -> bool:
    """Whether an agent's call is open in the run's current execution."""
    statement = select(
        exists().where(S.execution_id == run.execution_id, S.kind == StepKind.AGENT, S.status == StepStatus.RUNNING)
    )
    return bool((await session.execute(statement)).scalar_one())


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Numbers of runs. The fields after `by_status` are subsets of it."""

    by_status: Mapping[RunStatus, int]
    """Has every status, even with a count of 0."""
    waiting_for_approval: int
    stuck: int
    retrying: int = 0
    waiting_otherwise: int = 0
    """Runs that wait for a timer, a signal, a child or policy."""
    by_hour: Mapping[tuple[int, RunStatus], int] = field(default_factory=dict)
    """Closed runs, by the number of whole hours since they closed, and by status."""


_OTHERWISE = (RunState.SLEEPING, RunState.WAITING)


async def counts(session: ReadSession, *, scope: Scope, since: timedelta) -> Counts:
    """Counts of runs in the scope: open runs by status, runs closed in the last `since` by status, and open runs that wait or are stuck."""
    opened, closed, stuck = _counting(scope, since)
    by_status = dict.fromkeys(RunStatus, 0)
    waiting: dict[str | None, int] = {}
    for status, waiting_on, count in (await session.execute(opened)).all():
        by_status[RunStatus(status)] += count
        if status == RunStatus.WAITING:
            waiting[waiting_on] = count
    by_hour = {}
    for status, ago, count in (await session.execute(closed)).all():
        by_status[RunStatus(status)] += count
        by_hour[ago, RunStatus(status)] = count
    return Counts(
        by_status=by_status,
        waiting_for_approval=waiting.get(WaitingOn.APPROVAL, 0),
        retrying=waiting.get(WaitingOn.RETRY, 0),
        waiting_otherwise=sum(count for on, count in waiting.items() if state_of(RunStatus.WAITING, on) in _OTHERWISE),
        stuck=(await session.execute(stuck)).scalar_one(),
        by_hour=by_hour,
    )


@lru_cache(maxsize=256)
def _counting(scope: Scope, since: timedelta) -> tuple[Any, Any, Any]:
    """Statements that count open, closed and stuck runs, cached for the same reason as in `approvals.py`."""
    inside = scopes.within(R.workflow, scope)
    opened = select(R.status, R.waiting_on, func.count()).where(R.status.in_(OPEN_WORDS), *inside)
    ago = cast(func.floor(func.extract("epoch", func.now() - R.closed_at) / 3600), Integer).label("ago")
    closed = select(R.status, ago, func.count()).where(R.closed_at >= func.now() - since, *inside)
    closed = closed.group_by(R.status, text("ago"))
    stuck = select(func.count()).select_from(Run).where(is_stuck(R), *inside)
    return opened.group_by(R.status, R.waiting_on), closed, stuck


async def counts_of_workflow(
    session: ReadSession, workflow: str, *, since: timedelta
) -> tuple[dict[str, int], dict[str, int]]:
    """One workflow's open runs by status, and its runs closed in the last `since` by status."""
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
    rows = (await session.execute(_LAST, {"names": list(workflows)})).all()
    return {row.name: Last(run_id=row.run_id, status=row.status, created_at=row.created_at) for row in rows}


async def close_unstarted(
    session: WriteSession, run_id: str, *, status: RunStatus, reason: str, error: dict[str, Any] | None
) -> bool:
    """Close a queued run that Temporal never accepted, and so has no history to fold. Returns false if it has a history after all."""
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
