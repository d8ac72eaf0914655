"""Faults around a projector: lost notifications and connections, emptied tables, a rewound Temporal, executions that can't be folded.

Each test checks that its fault occurred."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.common import RawValue

from agentgrid.errors import NotFound
from agentgrid.projector import queue as projector_queue
from agentgrid.projector import work
from agentgrid.projector.fold.state import FoldState
from agentgrid.projector.listener import Listener
from agentgrid.projector.rebuild import rebuild_projection
from agentgrid.projector.store import LoadedState, Store
from agentgrid.protocol import SIGNAL_CONTROL
from agentgrid.settings import Settings
from agentgrid.temporal import archive
from agentgrid.temporal.history import ExecutionId, HistoryReader
from tests.api.conftest import Proxy
from tests.projector.conftest import Tables, new_namespace, projecting, snapshot, truncate, unique, until
from tests.projector.record import completed_tasks, reset
from tests.projector.scenarios import Continued, Messages, Mixed, Sequence


async def touch(
    store: Store, workflow_id: str, execution_id: str, *, urgent: bool = False, queued: bool = True
) -> None:
    """Touch as a worker does; with `queued`, move the touch into the queue as a projector does."""
    await store.pool.execute(
        "SELECT agentgrid_touch($4, $1::text[], $2::text[], $3::bigint[], $5::boolean[])",
        [execution_id],
        [workflow_id],
        [0],
        store.namespace,
        [urgent],
    )
    if queued:
        await projector_queue.take_touches(store.pool)


async def test_a_lost_notification_delays_work_by_at_most_the_poll_interval(
    settings: Settings, client: Client, queue: str, tables: Tables, store: Store
) -> None:
    async with projecting(settings, sweep=600):
        listening = "SELECT pid FROM pg_stat_activity WHERE application_name = 'agentgrid-projector-listener' AND "
        listening += "datname = current_database()"
        pid = await until(lambda: store.pool.fetchval(listening))
        handle = await client.start_workflow(Sequence.run, 1, id=unique(), task_queue=queue)
        await handle.result()
        # While the listener reconnects, nothing receives the notification of this touch.
        assert await store.pool.fetchval("SELECT pg_terminate_backend($1)", pid)
        began = time.monotonic()
        await touch(store, handle.id, handle.first_execution_run_id or "")
        await tables.run_in(handle.id, "completed", seconds=10)
        assert time.monotonic() - began < 4
        assert await until(lambda: store.pool.fetchval(listening)) != pid


async def test_a_cancellation_that_coincides_with_a_notification_is_not_lost() -> None:
    """A projector that lost it would never stop."""
    listener = Listener("")
    for turns in range(4):
        waiting = asyncio.create_task(listener.wait(10))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        listener.hear()
        for _ in range(turns):
            await asyncio.sleep(0)
        if waiting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await waiting


async def test_an_urgent_touch_waits_only_briefly(store: Store) -> None:
    hour = timedelta(hours=1)
    await touch(store, "w", "moving")
    await touch(store, "w", "resting")
    assert await projector_queue.claim(store.pool, limit=10, delay=hour) == []
    await touch(store, "w", "resting", urgent=True)
    assert await projector_queue.claim(store.pool, limit=10, delay=hour, brief=hour) == [], "urgent, but not old enough"
    (claim,) = await projector_queue.claim(store.pool, limit=10, delay=hour)
    assert claim.execution.execution_id == "resting"
    # Once looked at, the execution is no longer urgent.
    assert await projector_queue.finish(
        store.pool, [projector_queue.FinishedClaim(claim=claim, look_at=datetime.now(UTC) - hour / 2)]
    )
    assert await projector_queue.claim(store.pool, limit=10, delay=hour) == []


async def test_an_urgent_touch_during_the_look_stays_urgent(store: Store) -> None:
    await touch(store, "w", "execution")
    (claim,) = await projector_queue.claim(store.pool, limit=10, delay=timedelta(0))
    await touch(store, "w", "execution", urgent=True)
    assert await projector_queue.finish(store.pool, [projector_queue.FinishedClaim(claim=claim, look_at=None)])
    assert len(await projector_queue.claim(store.pool, limit=10, delay=timedelta(hours=1))) == 1


async def test_a_touch_during_the_look_is_not_lost(store: Store) -> None:
    await touch(store, "w", "execution")
    (claim,) = await projector_queue.claim(store.pool, limit=10, delay=projector_queue.LEASE * 0)
    assert await projector_queue.claim(store.pool, limit=10, delay=projector_queue.LEASE * 0) == []
    await touch(store, "w", "execution")
    assert await projector_queue.finish(store.pool, [projector_queue.FinishedClaim(claim=claim, look_at=None)]), (
        "it is due now"
    )
    (second,) = await projector_queue.claim(store.pool, limit=10, delay=projector_queue.LEASE * 0)
    assert second.generation == claim.generation + 1
    assert not await projector_queue.finish(store.pool, [projector_queue.FinishedClaim(claim=second, look_at=None)])
    assert await store.pool.fetchval("SELECT count(*) FROM run_changes") == 0


async def test_a_touch_during_the_look_does_not_wait_for_the_next_poll(
    settings: Settings, client: Client, queue: str, tables: Tables, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its notification comes while the execution is claimed, and there won't be another."""
    looking, continue_look, idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
    real_look, real_wait = work.Looker.look, Listener.wait

    async def slow_look(*args: Any, **kwargs: Any) -> work.LookResult:
        looked = await real_look(*args, **kwargs)
        looking.set()
        await continue_look.wait()
        return looked

    async def wait(listener: Listener, seconds: float) -> bool:
        idle.set()
        return await real_wait(listener, seconds)

    monkeypatch.setattr(work.Looker, "look", slow_look)
    monkeypatch.setattr(Listener, "wait", wait)
    async with projecting(settings, sweep=600, poll=600, check=600):
        handle = await client.start_workflow(Messages.run, id=unique(), task_queue=queue)
        await touch(store, handle.id, handle.first_execution_run_id or "")
        await looking.wait()
        await handle.terminate()
        idle.clear()
        await touch(store, handle.id, handle.first_execution_run_id or "")
        await idle.wait()  # the notification came, and the execution was still claimed
        continue_look.set()
        await tables.run_in(handle.id, "terminated", seconds=5)


async def test_an_internal_error_of_the_driver_does_not_stop_the_projector(
    settings: Settings, client: Client, queue: str, tables: Tables, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg raises it if PostgreSQL is killed while a statement is being prepared."""
    real, errors = projector_queue.claim, [asyncpg.InternalClientError("another operation is in progress")] * 2

    async def claim(*args: Any, **kwargs: Any) -> list[projector_queue.Claim]:
        if errors:
            raise errors.pop()
        return await real(*args, **kwargs)

    monkeypatch.setattr(projector_queue, "claim", claim)
    async with projecting(settings) as task:
        handle = await client.start_workflow(Sequence.run, 1, id=unique(), task_queue=queue)
        await tables.run_in(handle.id, "completed")
        assert not errors
        assert not task.done()


async def test_a_projector_that_starts_before_temporal_waits_for_it(
    settings: Settings, client: Client, queue: str, tables: Tables, store: Store
) -> None:
    handle = await client.start_workflow(Sequence.run, 1, id=unique(), task_queue=queue)
    await handle.result()
    proxy = Proxy(settings.temporal_address)
    async with projecting(settings.model_copy(update={"temporal_address": proxy.address})) as task:
        await touch(store, handle.id, handle.first_execution_run_id or "")
        reported = "SELECT value->>'last_error' FROM projector_state WHERE name = 'lag'"
        assert "can't be reached" in await until(lambda: store.pool.fetchval(reported))
        assert not task.done()
        assert await store.pool.fetchval("SELECT failures FROM run_changes WHERE workflow_id = $1", handle.id) == 0
        await proxy.open()
        await tables.run_in(handle.id, "completed")
    await proxy.close()


async def test_a_write_that_failed_with_a_lost_connection_is_retried_long_before_its_lease_expires(
    settings: Settings, client: Client, queue: str, tables: Tables, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, errors = (
        Store.write,
        [asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")],
    )

    async def write(*args: Any) -> list[bool]:
        if errors:
            raise errors.pop()
        return await real(*args)

    monkeypatch.setattr(Store, "write", write)
    async with projecting(settings, sweep=600, check=600):
        handle = await client.start_workflow(Sequence.run, 1, id=unique(), task_queue=queue)
        await handle.result()
        await touch(store, handle.id, handle.first_execution_run_id or "")
        await tables.run_in(handle.id, "completed", seconds=projector_queue.LEASE.total_seconds() / 3)
    assert not errors


async def test_a_rebuild_after_truncate_gives_the_same_rows_even_for_runs_that_temporal_has_forgotten(
    settings: Settings, client: Client, queue: str, tables: Tables, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with projecting(settings):
        forgotten = await client.start_workflow(Mixed.run, id=unique(), task_queue=queue)
        await forgotten.result()
        await tables.run_in(forgotten.id, "completed")
        chained = await client.start_workflow(Continued.run, 2, id=unique(), task_queue=queue)
        forked = await client.start_workflow(Sequence.run, 3, id=unique(), task_queue=queue)
        waiting = await client.start_workflow(Messages.run, id=unique(), task_queue=queue)
        await waiting.signal(Messages.note, "one")
        for handle in (chained, forked):
            await handle.result()
            await tables.run_in(handle.id, "completed")
        fork = await reset(client, forked, (await completed_tasks(forked))[1])
        await fork.result()
        await tables.run_in(f"{forgotten.id}-child", "completed")
        await tables.run_in(waiting.id, "waiting")

        async def shows_fork() -> bool:
            query = "SELECT count(*) FROM runs WHERE workflow_id = $1 AND execution_id = $2 AND status = 'completed'"
            return bool(await store.pool.fetchval(query, forked.id, fork.run_id))

        await until(shows_fork)
    before = await snapshot(tables)

    await truncate(tables)
    assert (await snapshot(tables))["runs"] == []
    rebuilt = await rebuild_projection(settings)
    assert rebuilt.executions >= 8
    after = await snapshot(tables)
    for name, rows in before.items():
        assert after[name] == rows, name

    # A new namespace is like a Temporal that has forgotten everything.
    await truncate(tables)
    forgetful = settings.model_copy(update={"temporal_namespace": await new_namespace(settings.temporal_address)})
    await rebuild_projection(forgetful)
    after = await snapshot(tables)
    closed = {row["run_id"] for row in before["runs"] if row["closed_at"] is not None}
    assert len(closed) == 4
    for name, rows in before.items():
        kept = [{**row, "namespace": None} for row in rows if row["run_id"] in closed]
        assert [{**row, "namespace": None} for row in after[name]] == kept, name

    # Archives that are too large are skipped, and the rebuild completes.
    monkeypatch.setattr(archive, "MAX_BYTES", 1)
    refused = await rebuild_projection(forgetful)
    assert (refused.executions, refused.unknown) == (0, len(after["executions"]))
    assert await snapshot(tables) == after
    await waiting.terminate()


async def test_a_projection_that_is_ahead_of_temporal_is_replaced(
    projector: asyncio.Task[None], client: Client, queue: str, tables: Tables, store: Store
) -> None:
    """Temporal was restored to an earlier time, so other events will get these ids."""
    handle = await client.start_workflow(Messages.run, id=unique(), task_queue=queue)
    await handle.signal(Messages.note, "one")
    await tables.run_in(handle.id, "waiting")
    before = await snapshot(tables)
    state = await store.pool.fetchval("SELECT fold_state FROM executions")
    ahead = json.dumps({**json.loads(state), "last_event_id": 500})
    await store.pool.execute("UPDATE executions SET last_event_id = 500, fold_state = $1::json", ahead)
    await touch(store, handle.id, handle.first_execution_run_id or "")

    async def same() -> bool:
        return await snapshot(tables) == before

    await until(same)
    for word in ("two", "three", "four"):
        await handle.signal(Messages.note, word)
    assert (await tables.run_in(handle.id, "completed"))["step_count"] == 4


async def test_rebuilding_an_unknown_run_raises_not_found(settings: Settings) -> None:
    with pytest.raises(NotFound):
        await rebuild_projection(settings, run_ids=["no-such-run"])


async def test_an_execution_that_fails_to_fold_is_retried_later_and_blocks_no_others(
    settings: Settings,
    client: Client,
    queue: str,
    tables: Tables,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    poison = await client.start_workflow(Sequence.run, 1, id=unique("poison"), task_queue=queue)
    healthy = await client.start_workflow(Sequence.run, 1, id=unique(), task_queue=queue)
    await asyncio.gather(poison.result(), healthy.result())
    bad = poison.first_execution_run_id or ""
    real = work.fold

    def fold(state: object, events: object) -> object:
        if getattr(state, "execution_id", None) == bad:
            raise RuntimeError("poison")
        return real(state, events)  # type: ignore[arg-type]

    monkeypatch.setattr(work, "fold", fold)
    async with projecting(settings):
        await tables.run_in(healthy.id, "completed")

        async def failed() -> asyncpg.Record | None:
            return await store.pool.fetchrow(
                "SELECT failures, last_error FROM run_changes WHERE execution_id = $1 AND failures >= 2", bad
            )

        for _ in range(20):
            await touch(store, poison.id, bad)
        record = await until(failed)
        assert "poison" in record["last_error"]
        assert record["failures"] < 6
        another = await client.start_workflow(Sequence.run, 1, id=unique(), task_queue=queue)
        await tables.run_in(another.id, "completed")
        monkeypatch.setattr(work, "fold", real)
        await tables.run_in(poison.id, "completed", seconds=30)


async def test_lag_is_reported_and_grows_while_no_projector_runs(
    settings: Settings, tables: Tables, store: Store
) -> None:
    async with projecting(settings):
        await until(lambda: tables.rows("SELECT value FROM projector_state WHERE name = 'lag'"))
    await touch(store, "w", "waits-for-a-projector", queued=False)
    await store.pool.execute("UPDATE touches SET touched_at = now() - interval '90 seconds'")
    backlog = await projector_queue.backlog(store.pool)
    assert backlog.oldest_seconds >= 90
    assert backlog.due >= 1


@pytest.mark.parametrize("execution_id", ["01a20ad8-f83c-7eba-b1c6-000000000000", "not an id"])
async def test_an_unknown_execution_is_removed_from_the_queue(
    projector: asyncio.Task[None], store: Store, execution_id: str
) -> None:
    await touch(store, "never-started", execution_id)
    await until(lambda: store.pool.fetchval("SELECT count(*) = 0 FROM touches"))

    async def empty() -> bool:
        return not await store.pool.fetchval("SELECT count(*) FROM run_changes WHERE workflow_id = 'never-started'")

    await until(empty)


async def test_a_pass_that_another_projector_overtook_is_dropped(
    settings: Settings, client: Client, queue: str, tables: Tables, store: Store
) -> None:

    handle = await client.start_workflow(Sequence.run, 2, id=unique(), task_queue=queue)
    await handle.result()
    execution = ExecutionId(workflow_id=handle.id, execution_id=handle.first_execution_run_id or "")
    looker = work.Looker(HistoryReader(client), store)
    loaded = LoadedState(state=FoldState(execution_id=execution.execution_id))
    one = await looker.look(execution, loaded)
    two = await looker.look(execution, loaded)
    assert one.folded is not None
    assert two.folded is not None
    assert (await store.commit([one.folded])).accepted == {execution.execution_id}
    before = await snapshot(tables)
    events = await store.pool.fetchval("SELECT count(*) FROM events")
    assert (await store.commit([two.folded])).accepted == set()
    assert await snapshot(tables) == before
    assert await store.pool.fetchval("SELECT count(*) FROM events") == events


async def test_payloads_keep_characters_that_text_columns_reject(
    projector: asyncio.Task[None], client: Client, queue: str, tables: Tables, store: Store
) -> None:
    text = "nul \x00 and a lone surrogate " + json.loads('"\\ud800"').encode("utf-8", "surrogatepass").decode(
        "utf-8", "replace"
    )
    handle = await client.start_workflow(Messages.run, id=unique(), task_queue=queue)
    await handle.signal("note\x00", text)
    # The command ids that a sender chose are looked up in the database.
    await store.pool.execute(
        "INSERT INTO commands (command_id, kind, status, principal) VALUES ('c', 'run.update', 'delivered', 'p')"
    )
    await handle.execute_update(Messages.ask, "asked", id="update\x00")
    control = {"action": "pause", "principal": "p\x00", "command_id": "\x00\ud800", "reason": "\x00"}
    sent = Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(control).encode())
    await handle.signal(SIGNAL_CONTROL, RawValue(sent))
    for word in ("a", "b", "c"):
        await handle.signal(Messages.note, word)
    run = await tables.run_in(handle.id, "completed")
    step = (await tables.steps(run["run_id"]))[0]
    assert step["input"]["value"] == text
    assert step["name"] == "note\ufffd"
