"""A run's steps, and what its workers reported about them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, or_, select, tuple_
from sqlalchemy.orm import defer

from agentgrid.db.paging import Key, newer_than
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import ExecutionRow, Job, Step
from agentgrid.domain.runs import ExecutionStatus
from agentgrid.domain.steps import JobStatus, StepStatus
from agentgrid.errors import NotFound

S: Any = Step
E: Any = ExecutionRow
J: Any = Job

Place = tuple[str, str]
"""An execution id and an activity id."""

MAX_CALLS = 1_000
"""Maximum jobs of one step to search for its activities."""

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
    """The run's steps, in the order in which they were scheduled.

    Without an execution, the steps of each segment's newest execution: executions replaced by a reset are not shown.
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


async def in_run(session: ReadSession, run_id: str, execution_id: str, event_id: int) -> Step:
    """One step of the run. Raises NotFound, also for a step of another run."""
    row = await get(session, execution_id, event_id)
    if row is None or row.run_id != run_id:
        raise NotFound("step", f"{execution_id}/{event_id} of run {run_id}")
    return row


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A job as its worker reported it, with facts from history."""

    job: Job
    step: Step | None
    """The step whose current activity this job belongs to."""
    step_event_id: int | None
    """The event id of the job's step, even if the job is a call from before an approval."""
    last: bool
    """Whether no later attempt is known."""
    ended: bool
    """Whether the job's execution has ended."""


def reported(report: Any, run_id: str, execution_id: str | None) -> Any:
    """A condition for reports by the run's own workers: the worker's queue must be the execution's or the step's.

    The database has checked that the reporting login serves the queue, so other workers can't report about the run.
    """
    chain = select(E.execution_id).where(E.run_id == run_id)
    if execution_id is not None:
        chain = chain.where(E.execution_id == execution_id)
    # The subqueries depend on the run and not on the report, so PostgreSQL runs each once. A correlated one would read all steps of the execution
    # for each report.
    executions = select(E.execution_id, E.task_queue).where(E.run_id == run_id)
    called = select(S.execution_id, S.activity_id, S.task_queue).where(S.execution_id.in_(chain))
    own = [
        report.task_queue.is_(None),
        tuple_(report.execution_id, report.task_queue).in_(executions),
        tuple_(report.execution_id, report.activity_id, report.task_queue).in_(called),
    ]
    if hasattr(report, "call_key"):
        # After an approval, a step has the activity of its last call; the call key joins the earlier calls to it.
        keyed = select(S.execution_id, S.call_key, S.task_queue).where(S.execution_id.in_(chain))
        own.append(tuple_(report.execution_id, report.call_key, report.task_queue).in_(keyed))
    return and_(report.execution_id.in_(chain), or_(*own))


async def jobs(
    session: ReadSession,
    run_id: str,
    *,
    limit: int,
    after: Key | None = None,
    execution_id: str | None = None,
    activity_id: str | None = None,
) -> Sequence[Attempt]:
    """The attempts of the run's steps, oldest first."""
    statement = select(Job).where(reported(J, run_id, execution_id))
    if activity_id is not None:
        statement = statement.where(J.activity_id == activity_id)
    if after is not None:
        statement = statement.where(newer_than(J.started_at, J.job_id, after))
    rows = (await session.execute(statement.order_by(J.started_at, J.job_id).limit(limit))).scalars().all()
    return await _attempts(session, rows)


async def _attempts(session: ReadSession, rows: Sequence[Job]) -> Sequence[Attempt]:
    if not rows:
        return []
    executions = sorted({job.execution_id for job in rows})
    activities = sorted({job.activity_id for job in rows})
    closed = select(E.execution_id).where(E.execution_id.in_(executions), E.status != ExecutionStatus.RUNNING.value)
    ended = set((await session.execute(closed)).scalars())
    named = (
        select(Step)
        .where(S.execution_id.in_(executions), S.activity_id.in_(activities))
        .options(*(defer(column, raiseload=True) for column in (S.input, S.changed_input, S.output)))
    )
    steps = {(step.execution_id, step.activity_id): step for step in (await session.execute(named)).scalars()}
    owners = {(place[0], place[1] or ""): step.event_id for place, step in steps.items()}
    keys = {(job.execution_id, job.activity_id): job.call_key for job in rows if job.call_key is not None}
    owners |= await _by_key(session, {place: key for place, key in keys.items() if place not in owners})
    next_ids = [_next_id(job) for job in rows if not job.local]
    later = set((await session.execute(select(J.job_id).where(J.job_id.in_(next_ids)))).scalars())

    def attempt(job: Job) -> Attempt:
        step = steps.get((job.execution_id, job.activity_id))
        if job.local:
            # Attempts of one local call may share a number. The worker that ends the call reports it, so a job without a reported end belongs to
            # another worker.
            last = step is None or not StepStatus(step.status).closed or job.status != JobStatus.RUNNING
        else:
            last = _next_id(job) not in later and (step is None or (step.live_attempt or 0) <= job.attempt)
        owner = owners.get((job.execution_id, job.activity_id))
        return Attempt(job=job, step=step, step_event_id=owner, last=last, ended=job.execution_id in ended)

    return [attempt(job) for job in rows]


async def _by_key(session: ReadSession, keys: Mapping[Place, str]) -> dict[Place, int]:
    """The event ids of the steps with these call keys, by the calls' places."""
    if not keys:
        return {}
    call_keys = sorted({(place[0], key) for place, key in keys.items()})
    statement = select(S.execution_id, S.call_key, S.event_id).where(tuple_(S.execution_id, S.call_key).in_(call_keys))
    steps = {(execution, key): event for execution, key, event in await session.execute(statement)}
    return {place: steps[place[0], key] for place, key in keys.items() if (place[0], key) in steps}


async def steps_of(session: ReadSession, places: Collection[Place]) -> dict[Place, int]:
    """The event ids of these activities' steps, including activities of calls from before an approval."""
    if not places:
        return {}
    named = select(S.execution_id, S.activity_id, S.event_id).where(
        tuple_(S.execution_id, S.activity_id).in_(sorted(places))
    )
    events = {(execution, activity): event for execution, activity, event in await session.execute(named)}
    missing = sorted(set(places) - events.keys())
    if missing:
        called = select(J.execution_id, J.activity_id, J.call_key).where(
            tuple_(J.execution_id, J.activity_id).in_(missing), J.call_key.is_not(None)
        )
        keys = {(execution, activity): key for execution, activity, key in await session.execute(called)}
        events |= await _by_key(session, keys)
    return events


async def activities_of(session: ReadSession, execution_id: str, event_id: int) -> list[str]:
    """The ids of a step's activities; empty if there is no such step."""
    step = await session.get(Step, (execution_id, event_id))
    if step is None:
        return []
    activities = {step.activity_id} - {None}
    if step.call_key is not None:
        calls = (
            select(J.activity_id).where(J.execution_id == execution_id, J.call_key == step.call_key).limit(MAX_CALLS)
        )
        activities |= set((await session.execute(calls)).scalars())
    return sorted(activity for activity in activities if activity is not None)


def _next_id(job: Job) -> str:
    """The id of the attempt after this one."""
    return f"{job.execution_id}/{job.activity_id}/{job.attempt + 1}"
