"""Steps of a run, and what its workers told of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, or_, select, tuple_
from sqlalchemy.orm import aliased

from agentgrid.db.paging import Key, newer_than
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import Execution, Job, Log, Step

S: Any = Step
E: Any = Execution
J: Any = Job
L: Any = Log

PENDING = ("scheduled", "running", "waiting")


async def of_run(
    session: ReadSession,
    run_id: str,
    *,
    limit: int,
    after: tuple[datetime, int, str] | None = None,
    execution_id: str | None = None,
    status: Sequence[str] = (),
    kind: Sequence[str] = (),
) -> Sequence[Step]:
    """The run's steps in the order in which they were scheduled.

    Without an execution, those of the newest execution of each segment: what a reset left behind is not shown.
    """
    statement = select(Step).where(S.run_id == run_id)
    if execution_id is not None:
        statement = statement.where(S.execution_id == execution_id)
    else:
        shown = select(E.execution_id).where(E.run_id == run_id, E.reset_to.is_(None))
        statement = statement.where(S.execution_id.in_(shown))
    if status:
        statement = statement.where(S.status.in_(status))
    if kind:
        statement = statement.where(S.kind.in_(kind))
    if after is not None:
        statement = statement.where(tuple_(S.scheduled_at, S.event_id, S.execution_id) > tuple_(*after))
    statement = statement.order_by(S.scheduled_at, S.event_id, S.execution_id).limit(limit)
    return (await session.execute(statement)).scalars().all()


async def pending(session: ReadSession, run_id: str, *, limit: int) -> Sequence[Step]:
    """The steps that run or wait now, oldest first."""
    return await of_run(session, run_id, limit=limit, status=PENDING)


def _reported(report: Any, run_id: str, execution_id: str | None) -> Any:
    """Only what the run's own workers reported: the queue that a worker serves is its execution's or its step's.

    The database has checked that the reporting login serves the queue that is named, so others can't report about the run.
    """
    chain = select(E.execution_id).where(E.run_id == run_id)
    if execution_id is not None:
        chain = chain.where(E.execution_id == execution_id)
    of = aliased(Execution)
    run = select(1).where(of.execution_id == report.execution_id, of.task_queue == report.task_queue)
    step = select(1).where(
        S.execution_id == report.execution_id,
        S.activity_id == report.activity_id,
        S.task_queue == report.task_queue,
    )
    own = or_(report.task_queue.is_(None), run.exists(), step.exists())
    return and_(report.execution_id.in_(chain), own)


async def jobs(
    session: ReadSession,
    run_id: str,
    *,
    limit: int,
    after: Key | None = None,
    execution_id: str | None = None,
    activity_id: str | None = None,
) -> Sequence[Job]:
    """Attempts of the run's steps on workers, oldest first."""
    statement = select(Job).where(_reported(J, run_id, execution_id))
    if activity_id is not None:
        statement = statement.where(J.activity_id == activity_id)
    if after is not None:
        statement = statement.where(newer_than(J.started_at, J.job_id, after))
    return (await session.execute(statement.order_by(J.started_at, J.job_id).limit(limit))).scalars().all()


async def logs(
    session: ReadSession,
    run_id: str,
    *,
    limit: int,
    after: int | None = None,
    execution_id: str | None = None,
    activity_id: str | None = None,
    level: Sequence[str] = (),
    q: str | None = None,
) -> Sequence[Log]:
    """What the run's workflow and tools wrote, oldest first."""
    statement = select(Log).where(_reported(L, run_id, execution_id))
    if activity_id is not None:
        statement = statement.where(L.activity_id == activity_id)
    if level:
        statement = statement.where(L.level.in_(level))
    if q is not None:
        statement = statement.where(L.message.icontains(q, autoescape=True))
    if after is not None:
        statement = statement.where(L.log_id > after)
    return (await session.execute(statement.order_by(L.log_id).limit(limit))).scalars().all()
