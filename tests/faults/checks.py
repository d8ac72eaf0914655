"""What must be true afterwards, whatever went wrong meanwhile. Each check answers with what it found, and raises AssertionError."""

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
    """How often each effect of the run has landed."""
    with ledger.opened(stage.ledger) as connection:
        rows = connection.execute("SELECT step FROM effects WHERE workflow_id = ?", (workflow_id,)).fetchall()
    return Counter(step for (step,) in rows)


def attempts(stage: Stage, workflow_id: str, step: str) -> list[tuple[str, int]]:
    """Key and process of each attempt at this effect, oldest first."""
    with ledger.opened(stage.ledger) as connection:
        return connection.execute(
            "SELECT key, pid FROM attempts WHERE workflow_id = ? AND step = ? ORDER BY at", (workflow_id, step)
        ).fetchall()


def repeated(stage: Stage, run_ids: Iterable[str]) -> int:
    """How many effects of these runs were attempted more than once."""
    with ledger.opened(stage.ledger) as connection:
        rows = connection.execute("SELECT workflow_id FROM attempts GROUP BY key HAVING count(*) > 1").fetchall()
    wanted = set(run_ids)
    return sum(workflow_id in wanted for (workflow_id,) in rows)


async def mirrored(stage: Stage, run_ids: Iterable[str], *, seconds: float = 30.0) -> int:
    """What the API says of these runs is what Temporal's own histories say; how many runs that were."""
    client, places = await stage.client(), asyncio.Semaphore(AT_ONCE)

    async def one(run_id: str) -> None:
        async def ask() -> tuple[Any, Any, Any]:
            run = await stage.run(run_id)
            steps = (await stage.call("operator", "GET", f"/runs/{run_id}/steps?limit=200"))["items"]
            approvals = (await stage.call("operator", "GET", f"/runs/{run_id}/approvals?limit=200"))["items"]
            return run, steps, approvals

        async with places:
            await oracle.eventually(client, ask, seconds=seconds)

    wanted = list(run_ids)
    await asyncio.gather(*(one(run_id) for run_id in wanted))
    return len(wanted)


async def started_once(stage: Stage, run_ids: Iterable[str], *, since: datetime) -> None:
    """Temporal has each of these runs, in one execution, and no others that began since then and have no parent."""
    wanted = set(run_ids)
    client = await stage.client()

    async def listed() -> Counter[str] | None:
        found = client.list_workflows()
        seen = Counter([each.id async for each in found if each.parent_id is None and each.start_time >= since])
        return seen if wanted <= seen.keys() else None  # its lists are a moment late

    seen = await stage.until(listed, "Temporal has heard of all that was acknowledged", seconds=10)
    assert not seen.keys() - wanted, f"started, and nobody was informed: {seen.keys() - wanted}"
    again = {key for key, count in seen.items() if count != 1}
    assert not again, f"started more than once: {again}"


async def decided_once(stage: Stage) -> int:
    """Each approval that was decided was so by one decision that counted, carried by one command that says so. How many."""
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
    """Every command has an outcome. How many have which."""

    async def settled() -> dict[str, int] | None:
        async with stage.database() as database:
            rows = await database.fetch("SELECT kind || ' ' || status AS what, count(*) FROM commands GROUP BY 1")
        found = {row["what"]: row["count"] for row in rows}
        return found if not any(what.endswith((" pending", " delivered")) for what in found) else None

    outcomes: dict[str, int] = await stage.until(settled, "every command has an outcome", seconds=seconds)
    return outcomes


async def rebuilt(stage: Stage) -> int:
    """The projection made again from nothing is, row for row, the one that grew under faults. How many executions it holds.

    What is due is waited for first: a killed projector's claims are taken over when their lease ends, and a child may be among them
    whose parent is shown already. The projectors are stopped then, and are down afterwards.
    """

    async def caught_up() -> bool:
        async with stage.database() as database:
            return not await database.fetchval(
                "SELECT EXISTS (SELECT FROM run_changes WHERE due_at <= now()) OR EXISTS (SELECT FROM touches)"
            )

    await stage.until(caught_up, "nothing is due any more", seconds=60)
    for projector in stage.of("projector"):
        if projector.running:
            assert await projector.stop() == 0
    async with asyncpg.create_pool(stage.dsn, min_size=1, max_size=2) as pool:
        tables = Tables(pool)
        before = await snapshot(tables)
        await truncate(tables)
        assert not (await snapshot(tables))["executions"]
        found = await rebuild_projection(stage.settings)
        after = await snapshot(tables)
    for name, rows in before.items():
        if rows == after[name]:
            continue
        differing = [row for row in rows if row not in after[name]] + [row for row in after[name] if row not in rows]
        raise AssertionError(f"{len(differing)} rows of {name} differ; the first: {differing[:2]}")
    assert found.executions == len(after["executions"])
    return found.executions
