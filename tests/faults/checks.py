"""Guarantees that must hold after any faults. Each check returns a figure, and raises AssertionError if its guarantee is violated."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import asyncpg

from agentgrid.projector.rebuild import rebuild_projection
from tests import oracle
from tests.faults.stage import Stage
from tests.faults.subject import ledger
from tests.projector.conftest import Tables, snapshot, truncate

AT_ONCE = 16


def effects(stage: Stage, workflow_id: str) -> Counter[str]:
    """How often each effect of the run happened."""
    with ledger.opened(stage.ledger) as connection:
        rows = connection.execute("SELECT step FROM effects WHERE workflow_id = ?", (workflow_id,)).fetchall()
    return Counter(step for (step,) in rows)


def attempts(stage: Stage, workflow_id: str, step: str) -> list[tuple[str, int]]:
    """Idempotency key and process of each attempt at this effect, oldest first."""
    with ledger.opened(stage.ledger) as connection:
        return connection.execute(
            "SELECT key, pid FROM attempts WHERE workflow_id = ? AND step = ? ORDER BY at", (workflow_id, step)
        ).fetchall()


def repeated(stage: Stage, run_ids: Iterable[str]) -> int:
    """The number of these runs' effects that were attempted more than once."""
    with ledger.opened(stage.ledger) as connection:
        rows = connection.execute("SELECT workflow_id FROM attempts GROUP BY key HAVING count(*) > 1").fetchall()
    workflow_ids = set(run_ids)
    return sum(workflow_id in workflow_ids for (workflow_id,) in rows)


async def mirrored(stage: Stage, run_ids: Iterable[str], *, seconds: float = 30.0) -> int:
    """The API agrees with Temporal's histories about these runs. Returns their number."""
    client, slots = await stage.client(), asyncio.Semaphore(AT_ONCE)

    async def compare(run_id: str) -> None:
        async def probe() -> tuple[Any, Any, Any]:
            run = await stage.run(run_id)
            steps = (await stage.call("operator", "GET", f"/runs/{run_id}/steps?limit=200"))["items"]
            approvals = (await stage.call("operator", "GET", f"/runs/{run_id}/approvals?limit=200"))["items"]
            return run, steps, approvals

        async with slots:
            await oracle.eventually(client, probe, seconds=seconds)

    compared = list(run_ids)
    await asyncio.gather(*(compare(run_id) for run_id in compared))
    return len(compared)


async def started_once(stage: Stage, run_ids: Iterable[str], *, since: datetime) -> None:
    """Temporal has exactly one execution of each of these runs, and no other parentless ones started since then."""
    expected = set(run_ids)
    client = await stage.client()

    async def listed() -> Counter[str] | None:
        executions = client.list_workflows()
        counts = Counter(
            [
                execution.id
                async for execution in executions
                if execution.parent_id is None and execution.start_time >= since
            ]
        )
        return counts if expected <= counts.keys() else None  # visibility lags a little

    counts = await stage.until(listed, "Temporal lists all acknowledged runs", seconds=10)
    assert not counts.keys() - expected, f"started, but never acknowledged: {counts.keys() - expected}"
    repeated = {key for key, count in counts.items() if count != 1}
    assert not repeated, f"started more than once: {repeated}"


async def decided_once(stage: Stage) -> int:
    """Each decided approval has exactly one counted decision and one applied command. Returns their number."""
    async with stage.database() as database:
        rows = await database.fetch(
            "SELECT a.approval_id, a.status, count(d.*) FILTER (WHERE d.judged = 'counted') AS counted, "
            "(SELECT count(*) FROM commands AS c WHERE c.approval_id = a.approval_id AND c.kind = 'approval.decide' "
            "AND c.status = 'applied') AS applied "
            "FROM approvals AS a LEFT JOIN decisions AS d USING (execution_id, approval_id) "
            "WHERE NOT a.inherited GROUP BY a.execution_id, a.approval_id"
        )
    decided = [row for row in rows if row["status"] in ("approved", "rejected")]
    wrong = [tuple(row) for row in decided if (row["counted"], row["applied"]) != (1, 1)]
    wrong += [tuple(row) for row in rows if row not in decided and row["counted"]]
    assert not wrong, f"approval, status, decisions that counted, commands applied: {wrong}"
    return len(decided)


async def nothing_pending(stage: Stage, *, seconds: float = 60.0) -> Mapping[str, int]:
    """Every command has been settled. Returns the number of commands by kind and status."""

    async def settled() -> dict[str, int] | None:
        async with stage.database() as database:
            rows = await database.fetch("SELECT kind || ' ' || status AS what, count(*) FROM commands GROUP BY 1")
        counts = {row["what"]: row["count"] for row in rows}
        return counts if not any(what.endswith((" pending", " delivered")) for what in counts) else None

    outcomes: dict[str, int] = await stage.until(settled, "every command is settled", seconds=seconds)
    return outcomes


async def rebuilt(stage: Stage) -> int:
    """A rebuilt projection equals, row for row, the one that was written during the faults. Returns the number of executions.

    First waits until the queue is empty: a killed projector's claims are taken over when their leases expire, and may include a child whose
    parent is already shown. Then stops the projectors, and leaves them stopped.
    """

    async def caught_up() -> bool:
        async with stage.database() as database:
            return not await database.fetchval(
                "SELECT EXISTS (SELECT FROM run_changes WHERE due_at <= now()) OR EXISTS (SELECT FROM touches)"
            )

    await stage.until(caught_up, "the projector's queue is empty", seconds=60)
    for projector in stage.of("projector"):
        if projector.running:
            assert await projector.stop() == 0
    async with asyncpg.create_pool(stage.dsn, min_size=1, max_size=2) as pool:
        tables = Tables(pool)
        before = await snapshot(tables)
        await truncate(tables)
        assert not (await snapshot(tables))["executions"]
        result = await rebuild_projection(stage.settings)
        after = await snapshot(tables)
    for name, rows in before.items():
        if rows == after[name]:
            continue
        differing = [row for row in rows if row not in after[name]] + [row for row in after[name] if row not in rows]
        raise AssertionError(f"{len(differing)} rows of {name} differ; the first: {differing[:2]}")
    assert result.executions == len(after["executions"])
    return result.executions
