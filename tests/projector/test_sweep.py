"""The sweep finds executions without touches, the rolling check repairs wrong rows, and neither makes needless calls."""

from __future__ import annotations

import json

import pytest
from temporalio.client import Client

from agentgrid.projector import sweep
from agentgrid.projector.refold import Refolder
from agentgrid.projector.store import Store
from agentgrid.settings import Settings
from agentgrid.temporal.history import HistoryReader
from tests.projector.conftest import Tables, projecting, snapshot, unique, until
from tests.projector.record import completed_tasks, reset
from tests.projector.scenarios import Messages, Mixed, Sequence


async def test_after_a_long_list_without_findings_the_sweep_skips_turns(
    settings: Settings, client: Client, queue: str, tables: Tables, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "PER_TURN", 1)
    reader = HistoryReader(client)
    sweeping = sweep.Sweep(store, Refolder(reader))
    ids = [unique() for _ in range(2)]
    for workflow_id in ids:
        handle = await client.start_workflow(Sequence.run, 1, id=workflow_id, task_queue=queue)
        await handle.result()
    while len(ids) > await store.pool.fetchval("SELECT count(*) FROM run_changes"):
        await sweeping.sweep()  # visibility lags a little
    async with projecting(settings, sweep=600):
        for workflow_id in ids:
            await tables.run_in(workflow_id, "completed")
    listed: list[int] = []
    for _ in range(4):
        before = reader.calls["list"]
        assert await sweeping.sweep() == 0
        listed.append(reader.calls["list"] - before)
    # Two calls, for open and for closed executions; then one turn is skipped for each listed execution.
    assert listed == [2, 0, 0, 2]
    untouched = await client.start_workflow(Sequence.run, 1, id=unique(), task_queue="without-worker")
    assert await until(sweeping.sweep, what=untouched.id) == 1, "the number of skipped turns is limited"


async def test_corrupted_rows_are_repaired_within_a_round_of_checks(
    settings: Settings, client: Client, queue: str, tables: Tables, store: Store
) -> None:
    async with projecting(settings, check=0.2):
        handle = await client.start_workflow(Mixed.run, id=unique(), task_queue=queue)
        waiting = await client.start_workflow(Messages.run, id=unique(), task_queue=queue)
        await handle.result()
        run = await tables.run_in(handle.id, "completed")
        await tables.run_in(waiting.id, "waiting")
        await tables.run_in(f"{handle.id}-child", "completed")
        before = await snapshot(tables)
        await store.pool.execute("UPDATE runs SET status = 'failed', step_count = 77, result = NULL")
        await store.pool.execute("UPDATE executions SET status = 'failed' WHERE execution_id = $1", run["execution_id"])
        await store.pool.execute("UPDATE steps SET status = 'failed', output = '{\"size\": 1, \"value\": 0}'")
        await store.pool.execute("DELETE FROM steps WHERE execution_id = $1 AND kind = 'timer'", run["execution_id"])
        await store.pool.execute(
            "INSERT INTO steps (execution_id, event_id, run_id, kind, name, status, scheduled_at) "
            "VALUES ($1, 999, $2, 'tool', 'never happened', 'completed', now())",
            run["execution_id"],
            run["run_id"],
        )
        assert await snapshot(tables) != before

        async def repaired() -> bool:
            return await snapshot(tables) == before

        await until(repaired, seconds=25)
        stored = await tables.rows("SELECT value FROM projector_state WHERE name = 'check'")
        assert stored[0]["value"]["checked"] >= 1
        await waiting.terminate()


async def test_after_an_upgrade_a_chain_is_refolded_though_its_other_execution_has_an_old_state(
    settings: Settings, client: Client, queue: str, tables: Tables, store: Store
) -> None:
    async with projecting(settings):
        handle = await client.start_workflow(Messages.run, id=unique(), task_queue=queue)
        await handle.signal(Messages.note, "one")
        run = await tables.run_in(handle.id, "waiting")
        fork = await reset(client, handle, (await completed_tasks(handle))[0])

        async def forked() -> bool:
            shown = await tables.run_of(handle.id)
            return shown is not None and (shown["execution_id"], shown["status"]) == (fork.run_id, "waiting")

        await until(forked)
    base, tip = await tables.executions(run["run_id"])
    before = await snapshot(tables)
    for execution in (base, tip):
        old = json.dumps(execution["fold_state"] | {"field_of_an_older_version": {}})
        await store.pool.execute(
            "UPDATE executions SET fold_version = 1, fold_state = $2::json WHERE execution_id = $1",
            execution["execution_id"],
            old,
        )

    await sweep.Sweep(store, Refolder(HistoryReader(client))).check(limit=1)
    refolded, waiting = await tables.executions(run["run_id"])
    assert refolded["fold_version"] > waiting["fold_version"] == 1
    shown = await tables.run_of(handle.id)
    assert shown is not None
    assert shown["step_count"] == run["step_count"], "counted from the old state"
    # The open execution's other state can't be read, so it is refolded at once.
    assert [row["execution_id"] for row in await tables.rows("SELECT * FROM run_changes")] == [fork.run_id]
    async with projecting(settings):

        async def same() -> bool:
            return await snapshot(tables) == before

        await until(same)
    await fork.terminate()
