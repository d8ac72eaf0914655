"""A killed worker's unfinished calls and tasks are done once by the next worker; a stopped worker finishes its own."""

from __future__ import annotations

from tests.faults import checks
from tests.faults.stage import Stage


async def test_calls_and_workflow_tasks_of_a_killed_worker_are_taken_over_and_done_once(stage: Stage) -> None:
    (worker,) = stage.of("worker")
    before = await stage.start("run_errand", {"hold": "before"})
    after = await stage.start("run_errand", {"hold": "after"})
    task = await stage.start("run_errand", {"hold_note": "after"})  # a local call holds its workflow task open
    held = [(before, "first"), (after, "first"), (task, "noted")]
    await stage.until(lambda: _attempted(stage, held), "all three are held")
    assert (checks.effects(stage, before), checks.effects(stage, after)) == ({}, {"first": 1})

    killed = await worker.kill()
    unserved = await stage.start("run_errand", {})
    waiting = await stage.run_until(unserved, lambda run: run["waiting_on"] == "worker", "waits for a worker")
    assert waiting["status"] in ("queued", "waiting")

    worker.start()
    for run_id in (before, after, task, unserved):
        assert (await stage.ended(run_id))["status"] == "completed"
        assert checks.effects(stage, run_id) == {"first": 1, "noted": 1, "last": 1}
    for run_id, step in held:
        attempts = checks.attempts(stage, run_id, step)
        assert [pid for _, pid in attempts] == [killed, worker.pid]
        assert len({key for key, _ in attempts}) == 1, "the next worker must use the same idempotency key"
    await checks.mirrored(stage, (before, after, task, unserved))


async def _attempted(stage: Stage, held: list[tuple[str, str]]) -> bool:
    return all(checks.attempts(stage, run_id, step) for run_id, step in held)


async def test_a_stopped_worker_finishes_its_call_in_flight(stage: Stage) -> None:
    (worker,) = stage.of("worker")
    run_id = await stage.start("run_errand", {"effort": 0.8})
    await stage.until(lambda: _attempted(stage, [(run_id, "first")]), "the call has started")
    assert checks.effects(stage, run_id) == {}
    stopped = worker.pid
    assert await worker.stop() == 0
    assert checks.effects(stage, run_id) == {"first": 1}
    worker.start()
    assert (await stage.ended(run_id))["status"] == "completed"
    assert [pid for _, pid in checks.attempts(stage, run_id, "first")] == [stopped]
