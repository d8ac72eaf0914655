"""Steps of a run, and what its workers reported about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, or_, select, tuple_
from sqlalchemy.orm import defer

from agentgrid.db.paging import Key, newer_than
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import Execution, Job, Log, Step
from agentgrid.domain.runs import ExecutionStatus
from agentgrid.domain.steps import JobStatus, StepStatus

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


async def get(session: ReadSession, execution_id: str, event_id: int) -> Step | None:
    """One step."""
    return await session.get(Step, (execution_id, event_id))


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A job as its worker reported it, with the facts that history adds."""

    job: Job
    step: Step | None
    last: bool
    """No later attempt is known."""
    ended: bool
    """Its execution has ended."""


def _reported(report: Any, run_id: str, execution_id: str | None) -> Any:
    """A condition for reports by the run's own workers: the worker's queue must be that of the execution or the step.

    The database has checked that the reporting login serves the queue, so other workers can't report about the run.
    """
    chain = select(E.execution_id).where(E.run_id == run_id)
    if execution_id is not None:
        chain = chain.where(E.execution_id == execution_id)
    # The subqueries name the run and not the report, so PostgreSQL answers each once. A lookup for each report would read all steps of its execution.
    executions = select(E.execution_id, E.task_queue).where(E.run_id == run_id)
    called = select(S.execution_id, S.activity_id, S.task_queue).where(S.execution_id.in_(chain))
    own = or_(
        report.task_queue.is_(None),
        tuple_(report.execution_id, report.task_queue).in_(executions),
        tuple_(report.execution_id, report.activity_id, report.task_queue).in_(called),
    )
    return and_(report.execution_id.in_(chain), own)


async def jobs(
    session: ReadSession,
    run_id: str,
    *,
    limit: int,
    after: Key | None = None,
    execution_id: str | None = None,
    activity_id: str | None = None,
) -> Sequence[Attempt]:
    """Attempts of the run's steps on workers, oldest first."""
    statement = select(Job).where(_reported(J, run_id, execution_id))
    if activity_id is not None:
        statement = statement.where(J.activity_id == activity_id)
    if after is not None:
        statement = statement.where(newer_than(J.started_at, J.job_id, after))
    found = (await session.execute(statement.order_by(J.started_at, J.job_id).limit(limit))).scalars().all()
    return await _attempts(session, found)


async def _attempts(session: ReadSession, found: Sequence[Job]) -> Sequence[Attempt]:
    if not found:
        return []
    executions = sorted({job.execution_id for job in found})
    activities = sorted({job.activity_id for job in found})
    closed = select(E.execution_id).where(E.execution_id.in_(executions), E.status != ExecutionStatus.RUNNING.value)
    ended = set((await session.execute(closed)).scalars())
    named = (
        select(Step)
        .where(S.execution_id.in_(executions), S.activity_id.in_(activities))
        .options(*(defer(column, raiseload=True) for column in (S.input, S.changed_input, S.output)))
    )
    steps = {(step.execution_id, step.activity_id): step for step in (await session.execute(named)).scalars()}
    following = [_next_id(job) for job in found if not job.local]
    known = set((await session.execute(select(J.job_id).where(J.job_id.in_(following)))).scalars())

    def attempt(job: Job) -> Attempt:
        step = steps.get((job.execution_id, job.activity_id))
        if job.local:
            # Attempts of one local call may share a number. The worker that ends the call reports it, so a job that never reported its end belongs to
            # another worker.
            last = step is None or not StepStatus(step.status).closed or job.status != JobStatus.RUNNING
        else:
            last = _next_id(job) not in known and (step is None or (step.live_attempt or 0) <= job.attempt)
        return Attempt(job=job, step=step, last=last, ended=job.execution_id in ended)

    return [attempt(job) for job in found]


def _next_id(job: Job) -> str:
    """The id of the attempt after this one."""
    return f"{job.execution_id}/{job.activity_id}/{job.attempt + 1}"


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
