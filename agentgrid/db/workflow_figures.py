"""Workflow statistics: open runs, how recent runs ended and how long they took, and the errors they failed with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ARRAY, Double, Integer, cast, func, literal, select

from agentgrid.db.arrays import among
from agentgrid.db.run_filter import OPEN_WORDS, R
from agentgrid.db.session import ReadSession
from agentgrid.domain.runs import RunStatus

UNSUCCESSFUL = (RunStatus.FAILED.value, RunStatus.TIMED_OUT.value, RunStatus.TERMINATED.value)
EDGES_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
"""The edges of the duration bins: the first bin is below the first edge, the last bin starts at the last edge."""
MOST_ERRORS = 20

_TOOK: Any = func.extract("epoch", R.closed_at - func.coalesce(R.started_at, R.created_at))


@dataclass(frozen=True, kw_only=True)
class Lately:
    """The number of open runs, and how runs ended in a period."""

    open: int = 0
    completed: int = 0
    failed: int = 0
    """Failed, timed out or terminated."""
    p50_seconds: float | None = None
    """Median duration of the completed runs."""


@dataclass(frozen=True, kw_only=True)
class Took:
    """How long completed runs took: median and 95th percentile."""

    completed: int
    p50_seconds: float | None
    p95_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class ErrorClass:
    """Unsuccessful runs with the same error class."""

    status: str
    error_type: str | None
    count: int
    last_at: datetime
    last_run_id: str


async def lately(session: ReadSession, workflows: Sequence[str], *, since: timedelta) -> dict[str, Lately]:
    """The statistics of each of these workflows; runs that ended are counted for the last `since`."""
    if not workflows:
        return {}
    opened = (
        select(R.workflow, func.count())
        .where(R.status.in_(OPEN_WORDS), among(R.workflow, workflows))
        .group_by(R.workflow)
    )
    completed = R.status == RunStatus.COMPLETED.value
    closed = (
        select(
            R.workflow,
            func.count().filter(completed).label("completed"),
            func.count().filter(R.status.in_(UNSUCCESSFUL)).label("failed"),
            func.percentile_cont(0.5).within_group(_TOOK).filter(completed).label("p50"),
        )
        .where(R.closed_at >= func.now() - since, among(R.workflow, workflows))
        .group_by(R.workflow)
    )
    now = {workflow: count for workflow, count in (await session.execute(opened)).all()}
    ended = {row.workflow: row for row in (await session.execute(closed)).all()}
    return {name: _lately(now.get(name, 0), ended.get(name)) for name in workflows}


def _lately(opened: int, row: Any) -> Lately:
    if row is None:
        return Lately(open=opened)
    return Lately(open=opened, completed=row.completed, failed=row.failed, p50_seconds=_seconds(row.p50))


def _seconds(value: Any) -> float | None:
    return None if value is None else round(float(value), 3)


async def errors(session: ReadSession, workflow: str, *, since: timedelta) -> Sequence[ErrorClass]:
    """The workflow's unsuccessful runs by error class, most frequent first; at most 20."""
    count = func.count().label("count")
    statement = (
        select(
            R.status,
            R.error_type,
            count,
            func.max(R.closed_at).label("last_at"),
            func.max(R.run_id).label("last_run_id"),
        )
        .where(R.workflow == workflow, R.status.in_(UNSUCCESSFUL), R.closed_at >= func.now() - since)
        .group_by(R.status, R.error_type)
        .order_by(count.desc(), R.status, R.error_type)
        .limit(MOST_ERRORS)
    )
    return [ErrorClass(**row) for row in (await session.execute(statement)).mappings()]


async def took(session: ReadSession, workflow: str, *, since: timedelta) -> Took:
    """How long the workflow's completed runs of the last `since` took."""
    ended = (R.workflow == workflow, R.status == RunStatus.COMPLETED.value, R.closed_at >= func.now() - since)
    shares = [func.percentile_cont(share).within_group(_TOOK) for share in (0.5, 0.95)]
    completed, p50, p95 = (await session.execute(select(func.count(), *shares).where(*ended))).one()
    return Took(completed=completed, p50_seconds=_seconds(p50), p95_seconds=_seconds(p95))


async def durations(session: ReadSession, workflow: str, *, since: timedelta) -> Sequence[int]:
    """A histogram of the durations of completed runs: a count for each bin of `EDGES_SECONDS`."""
    edges = cast(literal(list(EDGES_SECONDS), ARRAY(Double)), ARRAY(Double))
    bucket = cast(func.width_bucket(cast(_TOOK, Double), edges), Integer).label("bin")
    ended = (R.workflow == workflow, R.status == RunStatus.COMPLETED.value, R.closed_at >= func.now() - since)
    bins = select(bucket).where(*ended).subquery()
    rows = (await session.execute(select(bins.c.bin, func.count()).group_by(bins.c.bin))).all()
    counts = dict.fromkeys(range(len(EDGES_SECONDS) + 1), 0) | {number: count for number, count in rows}
    return [counts[number] for number in range(len(EDGES_SECONDS) + 1)]
