"""Totals over the steps of agents and their model turns, in bounded time ranges. Steps copied by a reset count once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import BigInteger, Double, and_, case, cast, func, select, text

from agentgrid.db import scopes
from agentgrid.db.agents import IS_OPEN_CALL
from agentgrid.db.run_filter import Scope
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import Run, Step
from agentgrid.domain.agents import Usage

S: Any = Step
R: Any = Run

# Literals, not parameters: a generic plan could not use the partial indexes.
_IS_AGENT = text("steps.kind = 'agent'")
_IS_MODEL = text("steps.kind = 'model'")

Size = Literal["hour", "day"]
"""The size of a bucket."""

_COUNTED = ("requests", "input_tokens", "cached_tokens", "output_tokens", "unpriced")


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """The usage from `start` to the next bucket's start."""

    start: datetime
    usage: Usage


@dataclass(frozen=True, kw_only=True)
class AgentCallFigures:
    """An agent's calls in a period: counts by outcome, durations and cost."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    p50_seconds: float | None = None
    p95_seconds: float | None = None
    p50_usd: float | None = None
    p95_usd: float | None = None


@dataclass(frozen=True, kw_only=True)
class Stats:
    """An agent's recent calls and their usage, and the number of calls open now."""

    calls: AgentCallFigures
    usage: Usage
    open: int


def _sums() -> list[Any]:
    counted = [func.coalesce(func.sum(cast(S.usage.op("->>")(name), BigInteger)), 0).label(name) for name in _COUNTED]
    return [*counted, func.sum(cast(S.usage.op("->>")("usd"), Double)).label("usd")]


def _usage(row: Any) -> Usage:
    usd = None if row.usd is None else round(row.usd, 9)
    return Usage(usd=usd, **{name: int(getattr(row, name)) for name in _COUNTED})


def _seen(scope: Scope) -> list[Any]:
    """Conditions that limit steps to the runs in the scope."""
    inside = scopes.within(R.workflow, scope)
    return [select(R.run_id).where(R.run_id == S.run_id, *inside).exists()] if inside else []


async def of_agent(
    session: ReadSession, agent: str, *, since: datetime, before: datetime, bucket: Size, scope: Scope
) -> list[Bucket]:
    """The usage of the agent's model turns, by the `hour` or `day` (UTC) of the request; empty buckets are omitted."""
    return await _buckets(session, [S.name == agent, *_seen(scope)], since, before, bucket)


async def of_workflow(
    session: ReadSession, workflow: str, *, since: datetime, before: datetime, bucket: Size
) -> list[Bucket]:
    """Like `of_agent`, for the model turns of the workflow's runs."""
    # A run that ended earlier has no turns in the range.
    runs = select(R.run_id).where(
        R.workflow == workflow, R.created_at < before, R.closed_at.is_(None) | (R.closed_at >= since)
    )
    return await _buckets(session, [S.run_id.in_(runs)], since, before, bucket)


async def _buckets(
    session: ReadSession, conditions: list[Any], since: datetime, before: datetime, bucket: Size
) -> list[Bucket]:
    start = func.date_trunc(text(f"'{bucket}'"), S.scheduled_at, text("'UTC'")).label("start")
    statement = (
        select(start, *_sums())
        .where(
            _IS_MODEL, *conditions, S.scheduled_at >= since, S.scheduled_at < before, ~S.inherited, S.usage.is_not(None)
        )
        .group_by(text("1"))
        .order_by(text("1"))
    )
    return [Bucket(start=row.start, usage=_usage(row)) for row in (await session.execute(statement)).all()]


async def stats(session: ReadSession, agents: Sequence[str], *, since: timedelta, scope: Scope) -> dict[str, Stats]:
    """The statistics of each of these agents in the last `since`."""
    recent = and_(S.name.in_(agents), S.scheduled_at >= func.now() - since, ~S.inherited, *_seen(scope))
    took = func.extract("epoch", S.closed_at - S.started_at)
    # A call that needed approval lasts as long as people took to decide: the median and a high percentile say more than the mean.
    ended = case((S.status == "completed", took))
    cost = case((S.status == "completed", cast(S.usage.op("->>")("usd"), Double)))
    calls = (
        select(
            S.name,
            *(func.count().filter(S.status == word).label(word) for word in ("completed", "failed", "cancelled")),
            func.percentile_cont(0.5).within_group(ended).label("p50"),
            func.percentile_cont(0.95).within_group(ended).label("p95"),
            func.percentile_cont(0.5).within_group(cost).label("p50_usd"),
            func.percentile_cont(0.95).within_group(cost).label("p95_usd"),
        )
        .where(_IS_AGENT, recent)
        .group_by(S.name)
    )
    used = select(S.name, *_sums()).where(_IS_MODEL, recent, S.usage.is_not(None)).group_by(S.name)
    opened = (
        select(S.name, func.count().label("open"))
        .where(IS_OPEN_CALL, S.name.in_(agents), ~S.inherited, *_seen(scope))
        .group_by(S.name)
    )
    ends = {row.name: _calls(row) for row in (await session.execute(calls)).all()}
    sums = {row.name: _usage(row) for row in (await session.execute(used)).all()}
    now = {row.name: row.open for row in (await session.execute(opened)).all()}
    return {
        name: Stats(calls=ends.get(name, AgentCallFigures()), usage=sums.get(name, Usage()), open=now.get(name, 0))
        for name in agents
    }


def _calls(row: Any) -> AgentCallFigures:
    return AgentCallFigures(
        completed=row.completed,
        failed=row.failed,
        cancelled=row.cancelled,
        p50_seconds=None if row.p50 is None else round(float(row.p50), 3),
        p95_seconds=None if row.p95 is None else round(float(row.p95), 3),
        p50_usd=None if row.p50_usd is None else round(row.p50_usd, 9),
        p95_usd=None if row.p95_usd is None else round(row.p95_usd, 9),
    )
