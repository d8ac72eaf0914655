"""The queue of executions to process (`run_changes`). Executions are claimed by lease, without holding locks; a touch during the lease requeues them.

Workers append to `touches`, and projectors move those rows here, so a worker's transaction never locks a row that a projector needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from agentgrid.projector.store import LoadedState, load_state
from agentgrid.temporal.history import ExecutionId

TOUCHES_AT_ONCE = 5_000

TAKE_TOUCHES = """
WITH taken AS (
    DELETE FROM touches WHERE touch_id IN (
        SELECT touch_id FROM touches ORDER BY touch_id LIMIT $1 FOR UPDATE SKIP LOCKED
    ) RETURNING execution_id, workflow_id, namespace, expect, urgent, touched_at
)
INSERT INTO run_changes AS c (execution_id, workflow_id, namespace, expect, due_at, urgent_at)
SELECT execution_id, min(workflow_id), min(namespace), max(expect), min(touched_at), min(touched_at) FILTER (WHERE urgent)
FROM taken GROUP BY execution_id ORDER BY execution_id
ON CONFLICT (execution_id) DO UPDATE SET
    generation = c.generation + 1,
    expect = greatest(c.expect, excluded.expect),
    due_at = least(c.due_at, excluded.due_at),
    urgent_at = coalesce(excluded.urgent_at, c.urgent_at)
"""
"""A touch never lowers `expect` and never releases a claim."""

LEASE = timedelta(seconds=20)
"""A projector that hasn't finished within this time is presumed dead, and another takes over. Compare-and-set makes late writes of the first one harmless."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A leased execution to look at."""

    execution: ExecutionId
    loaded: LoadedState
    """The state of the projection when the claim was made."""
    generation: int
    expect: int
    failures: int


@dataclass(frozen=True, kw_only=True)
class FinishedClaim:
    """A finished look. `look_at` is when to look again, None for never."""

    claim: Claim
    look_at: datetime | None
    expect: int = 0


async def take_touches(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Move touches into the queue, up to `TOUCHES_AT_ONCE`."""
    await pool.execute(TAKE_TOUCHES, TOUCHES_AT_ONCE)


async def claim(
    pool: asyncpg.Pool[asyncpg.Record], *, limit: int, delay: timedelta, brief: timedelta = timedelta(0)
) -> list[Claim]:
    """Claim executions that have been due for `delay`, so that several touches of one execution cost one read; load their state too.

    brief: the delay of urgent ones.
    """
    records = await pool.fetch(
        "WITH due AS (SELECT execution_id FROM run_changes WHERE due_at <= now() "
        "AND (due_at <= now() - $2::interval OR urgent_at <= now() - $4::interval) "
        "AND (claimed_until IS NULL OR claimed_until < now()) ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED), "
        "claimed AS (UPDATE run_changes AS c SET claimed_until = now() + $3::interval FROM due "
        "WHERE c.execution_id = due.execution_id "
        "RETURNING c.execution_id, c.workflow_id, c.generation, c.expect, c.failures) "
        "SELECT c.*, e.run_id, e.fold_version, e.fold_state, e.live_checked_at "
        "FROM claimed AS c LEFT JOIN executions AS e USING (execution_id)",
        limit,
        delay,
        LEASE,
        brief,
    )
    return [
        Claim(
            execution=ExecutionId(workflow_id=record["workflow_id"], execution_id=record["execution_id"]),
            loaded=load_state(record),
            generation=record["generation"],
            expect=record["expect"],
            failures=record["failures"],
        )
        for record in records
    ]


async def finish(pool: asyncpg.Pool[asyncpg.Record], done: Sequence[FinishedClaim]) -> bool:
    """Remove executions that need no further look, unless they were touched since the claim; release the claims of the others.

    Returns whether any of them is due now: a touch that came during the look sends no further notification.
    """
    if not done:
        return False
    ordered = sorted(done, key=lambda item: item.claim.execution.execution_id)
    records = await pool.fetch(
        "WITH f AS (SELECT * FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::bigint[]) "
        "AS f(execution_id, generation, look_at, expect)), "
        "locked AS (SELECT c.execution_id FROM run_changes AS c WHERE c.execution_id = ANY($1) "
        "ORDER BY c.execution_id FOR UPDATE), "
        "gone AS (DELETE FROM run_changes AS c USING f, locked WHERE c.execution_id = f.execution_id "
        "AND locked.execution_id = c.execution_id AND c.generation = f.generation AND f.look_at IS NULL) "
        "UPDATE run_changes AS c SET claimed_until = NULL, failures = 0, last_error = NULL, "
        "due_at = CASE WHEN c.generation = f.generation THEN f.look_at ELSE c.due_at END, "
        "expect = CASE WHEN c.generation = f.generation THEN f.expect ELSE c.expect END, "
        "urgent_at = CASE WHEN c.generation = f.generation THEN NULL ELSE c.urgent_at END "
        "FROM f, locked WHERE c.execution_id = f.execution_id AND locked.execution_id = c.execution_id "
        "AND (f.look_at IS NOT NULL OR c.generation <> f.generation) RETURNING c.due_at <= now() AS due",
        [item.claim.execution.execution_id for item in ordered],
        [item.claim.generation for item in ordered],
        [item.look_at for item in ordered],
        [item.expect for item in ordered],
    )
    return any(record["due"] for record in records)


async def release(pool: asyncpg.Pool[asyncpg.Record], claims: Sequence[Claim]) -> None:
    """Release claims unprocessed: on shutdown, or after an error that isn't the executions' fault."""
    await pool.execute(
        "UPDATE run_changes SET claimed_until = NULL WHERE execution_id = ANY($1)",
        sorted(claim.execution.execution_id for claim in claims),
    )


async def postpone(pool: asyncpg.Pool[asyncpg.Record], postponed: Claim, *, wait: timedelta) -> None:
    """Retry after `wait`, without counting a failure."""
    await pool.execute(
        "UPDATE run_changes SET claimed_until = now() + $2::interval WHERE execution_id = $1",
        postponed.execution.execution_id,
        wait,
    )


async def fail(pool: asyncpg.Pool[asyncpg.Record], failed: Claim, *, error: str, wait: timedelta) -> None:
    """Record the failure and hold the execution back for `wait`, even if it is touched meanwhile."""
    await pool.execute(
        "UPDATE run_changes SET claimed_until = now() + $2::interval, failures = failures + 1, last_error = $3 "
        "WHERE execution_id = $1",
        failed.execution.execution_id,
        wait,
        error[:2000].replace("\x00", ""),
    )


async def forget(pool: asyncpg.Pool[asyncpg.Record], execution_id: str) -> None:
    """Remove the execution from the queue."""
    await pool.execute("DELETE FROM run_changes WHERE execution_id = $1", execution_id)


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """The size and age of the queue."""

    due: int
    failing: int
    oldest_seconds: float
    """How long the oldest execution without failures has been due."""


async def backlog(pool: asyncpg.Pool[asyncpg.Record]) -> Backlog:
    """Count the executions that are due now."""
    record = await pool.fetchrow(
        "SELECT count(*) FILTER (WHERE failures = 0) AS due, count(*) FILTER (WHERE failures > 0) AS failing, "
        "coalesce(extract(epoch FROM now() - min(due_at) FILTER (WHERE failures = 0)), 0) AS oldest "
        "FROM (SELECT failures, due_at FROM run_changes WHERE due_at <= now() "
        "UNION ALL SELECT 0, touched_at FROM touches) AS waiting"
    )
    assert record is not None
    return Backlog(due=record["due"], failing=record["failing"], oldest_seconds=float(record["oldest"]))
