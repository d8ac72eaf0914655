"""From Temporal to the tables, through the running loop, for workers without AgentGrid."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import temporalio.api.workflowservice.v1 as service
from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from agentgrid.settings import Settings
from tests.projector import scenarios
from tests.projector.conftest import Tables, projecting, snapshot, unique, until
from tests.projector.record import completed_tasks, reset
from tests.projector.scenarios import Continued, InFlight, Messages, Mixed, Retried, Sequence, Sleeper


@activity.defn
async def always_fails() -> None:
    raise ApplicationError("not yet", type="NotYet") from ValueError("nul \x00")


@workflow.defn(sandboxed=False)
class Retrying:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            always_fails,
            start_to_close_timeout=timedelta(seconds=5),
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=2), backoff_coefficient=1.5),
        )


async def test_a_plain_workflow_shows_as_a_completed_run_with_its_steps(
    projector: asyncio.Task[None], client: Client, queue: str, tables: Tables
) -> None:
    handle = await client.start_workflow(Sequence.run, 3, id=unique(), task_queue=queue)
    await handle.result()
    run = await tables.run_in(handle.id, "completed")
    assert run["run_id"] == handle.first_execution_run_id
    assert run["initiator"] == "unknown"
    assert run["trigger"] == "external"
    assert run["input"] == {"size": 1, "value": 3}
    assert run["result"] == {"size": 6, "value": "done"}
    assert run["steps_done"] == run["step_count"] == 3
    steps = await tables.steps(run["run_id"])
    assert [(step["kind"], step["name"], step["status"], step["attempts"]) for step in steps] == [
        ("activity", "echo", "completed", 1)
    ] * 3
    assert [step["output"]["value"] for step in steps] == ["step 0", "step 1", "step 2"]


async def test_a_child_is_a_separate_run_linked_to_its_parent(
    projector: asyncio.Task[None], client: Client, queue: str, tables: Tables
) -> None:
    handle = await client.start_workflow(Mixed.run, id=unique(), task_queue=queue)
    await handle.result()
    parent = await tables.run_in(handle.id, "completed")

    async def joined() -> bool:
        child = await tables.run_of(f"{handle.id}-child")
        return child is not None and child["status"] == "completed" and child["parent_run_id"] == parent["run_id"]

    await until(joined)
    child = await tables.run_of(f"{handle.id}-child")
    assert child is not None
    assert (child["trigger"], child["root_run_id"]) == ("child", parent["run_id"])
    step = next(step for step in await tables.steps(parent["run_id"]) if step["kind"] == "child")
    assert step["child_execution_id"] == child["run_id"]


@workflow.defn(sandboxed=False)
class Signalling:
    """Signals another workflow and its own child, and cancels the child."""

    @workflow.run
    async def run(self, other: str) -> None:
        await workflow.get_external_workflow_handle(other).signal("note", "x")
        child = await workflow.start_child_workflow(Messages.run, id=f"{workflow.info().workflow_id}-child")
        await child.signal(Messages.note, "x")
        child.cancel()
        await asyncio.wait([child])


async def test_signals_and_cancels_to_a_child_belong_to_the_childs_step(
    projector: asyncio.Task[None], client: Client, queue: str, tables: Tables
) -> None:
    other = await client.start_workflow(Messages.run, id=unique(), task_queue=queue)
    async with Worker(
        client,
        task_queue=f"{queue}-signalling",
        workflows=[Signalling, Messages],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        handle = await client.start_workflow(Signalling.run, other.id, id=unique(), task_queue=f"{queue}-signalling")
        await handle.result()
    run = await tables.run_in(handle.id, "completed")
    steps = await tables.steps(run["run_id"])
    (child,) = [step["event_id"] for step in steps if step["kind"] == "child"]
    assert [(step["kind"], step["name"], step["parent"]) for step in steps] == [
        ("signal", "note", None),
        ("child", "Messages", None),
        ("signal", "note", child),
        ("signal", "cancel", child),
    ]


async def test_chains_are_one_run_that_shows_its_newest_execution(
    projector: asyncio.Task[None], client: Client, queue: str, tables: Tables
) -> None:
    continued = await client.start_workflow(Continued.run, 2, id=unique(), task_queue=queue)
    retried = await client.start_workflow(
        Retried.run,
        id=unique(),
        task_queue=queue,
        retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=100)),
    )
    assert await continued.result() == 0
    assert await retried.result() == 3
    for handle, kinds in ((continued, ["first", "continued", "continued"]), (retried, ["first", "retry", "retry"])):
        run = await tables.run_in(handle.id, "completed")
        assert [execution["kind"] for execution in await tables.executions(run["run_id"])] == kinds
        assert run["run_id"] == handle.first_execution_run_id != run["execution_id"]
    run = await tables.run_of(continued.id)
    assert run is not None
    assert run["input"]["value"] == 2
    assert run["step_count"] == 3


async def test_a_reset_reopens_the_run_and_its_copies_are_marked(
    projector: asyncio.Task[None], client: Client, queue: str, tables: Tables
) -> None:
    handle = await client.start_workflow(InFlight.run, id=unique(), task_queue=queue)
    await handle.result()
    before = await tables.run_in(handle.id, "completed")
    fork = await reset(client, handle, (await completed_tasks(handle))[1])
    await fork.result()

    async def forked() -> bool:
        run = await tables.run_of(handle.id)
        return run is not None and run["execution_id"] != before["execution_id"] and run["status"] == "completed"

    await until(forked)
    base, forked_execution = await tables.executions(before["run_id"])
    assert base["reset_to"] == forked_execution["execution_id"]
    assert forked_execution["reset_from"] == base["execution_id"]
    assert forked_execution["reset_reason"] == "agentgrid:test"
    shown = await tables.steps(before["run_id"])
    assert [step["inherited"] for step in shown] == [False, True, False, False]


async def test_runs_end_by_cancellation_termination_and_timeout(
    projector: asyncio.Task[None], client: Client, queue: str, tables: Tables
) -> None:
    cancelled = await client.start_workflow(Sleeper.run, id=unique(), task_queue=queue)
    terminated = await client.start_workflow(Sleeper.run, id=unique(), task_queue=queue)
    timed_out = await client.start_workflow(
        Sleeper.run, id=unique(), task_queue=queue, run_timeout=timedelta(seconds=1)
    )
    for handle in (cancelled, terminated):
        await tables.run_in(handle.id, "running")
    await cancelled.cancel()
    await terminated.terminate(reason="by hand")
    assert (await tables.run_in(cancelled.id, "cancelled"))["closed_at"] is not None
    assert (await tables.run_in(terminated.id, "terminated"))["status_reason"] == "by hand"
    await tables.run_in(timed_out.id, "timed_out")
    assert {step["status"] for step in await tables.steps(terminated.first_execution_run_id or "")} == {"abandoned"}


async def test_f17_a_run_with_an_activity_paused_in_temporal_is_shown_as_waiting(
    projector: asyncio.Task[None], client: Client, tables: Tables
) -> None:
    queue = unique("paused")
    async with Worker(
        client,
        task_queue=queue,
        workflows=[Retrying],
        activities=[always_fails],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        handle = await client.start_workflow(Retrying.run, id=unique(), task_queue=queue)
        await tables.run_in(handle.id, "running", "waiting")
        await client.workflow_service.pause_activity(
            service.PauseActivityRequest(
                namespace=client.namespace,
                execution=WorkflowExecution(workflow_id=handle.id),
                type="always_fails",
                identity="someone",
            )
        )

        async def shows_pause() -> bool:
            run = await tables.run_of(handle.id)
            return run is not None and "paused in Temporal itself" in (run["status_reason"] or "")

        await until(shows_pause, seconds=60)
        run = await tables.run_of(handle.id)
        assert run is not None
        assert (run["status"], run["waiting_on"]) == ("waiting", "retry")
        assert run["status_reason"].endswith(": always_fails")
        await handle.terminate()


async def test_a_run_without_a_worker_shows_that_it_waits_for_one(
    projector: asyncio.Task[None], client: Client, tables: Tables
) -> None:
    queue = unique("no-worker")
    handle = await client.start_workflow(Sequence.run, 1, id=unique(), task_queue=queue)
    await tables.run_in(handle.id, "running")
    run = await tables.run_in(handle.id, "waiting", seconds=30)
    assert run["waiting_on"] == "worker"
    assert queue in run["status_reason"]
    await handle.terminate()


async def test_a_retrying_activity_shows_its_attempts_and_next_retry(
    projector: asyncio.Task[None], client: Client, tables: Tables
) -> None:
    queue = unique("retries")
    failing = Worker(
        client,
        task_queue=queue,
        workflows=[Retrying],
        activities=[always_fails],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    async with failing:
        handle = await client.start_workflow(Retrying.run, id=unique(), task_queue=queue)
        run = await tables.run_in(handle.id, "waiting", seconds=60)
        assert run["waiting_on"] == "retry"

        async def between_attempts() -> Any:
            (step,) = await tables.steps(run["run_id"])
            return step["live_next_retry_at"] is not None and step

        step = await until(between_attempts, seconds=60)
        assert step["live_attempt"] >= 2
        assert step["live_error"]["message"] == "not yet"
        await handle.terminate()


async def test_signals_during_a_failing_workflow_task_are_not_lost(
    projector: asyncio.Task[None], client: Client, queue: str, tables: Tables
) -> None:
    """A forward read of this open execution would return events whose ids the signals get later."""
    scenarios.failing_tasks = True
    handle = await client.start_workflow(scenarios.Poisoned.run, id=unique(), task_queue=queue)

    async def stuck() -> bool:
        run = await tables.run_of(handle.id)
        return run is not None and run["waiting_on"] == "retry" and "poison" in run["status_reason"]

    await until(stuck, seconds=60)
    await handle.signal(scenarios.Poisoned.note, "one")
    await asyncio.sleep(1)
    await handle.signal(scenarios.Poisoned.note, "two")
    scenarios.failing_tasks = False
    run = await tables.run_in(handle.id, "completed", seconds=60)
    assert [step["kind"] for step in await tables.steps(run["run_id"])] == ["signal", "signal"]


async def test_two_concurrent_projectors_write_the_same_rows_as_one(
    settings: Settings, client: Client, queue: str, tables: Tables
) -> None:
    async with projecting(settings), projecting(settings):
        handles = [await client.start_workflow(Mixed.run, id=unique(), task_queue=queue) for _ in range(8)]
        await asyncio.gather(*(handle.result() for handle in handles))
        for handle in handles:
            run = await tables.run_in(handle.id, "completed")
            assert run["step_count"] == run["steps_done"] == 4
            assert run["steps_failed"] == 1
    ends = await tables.rows("SELECT run_id, count(*) AS n FROM events WHERE kind = 'end' GROUP BY run_id")
    assert {row["n"] for row in ends} == {1}


async def test_live_readers_get_each_event_once_and_in_order(
    projector: asyncio.Task[None], client: Client, queue: str, tables: Tables
) -> None:
    handle = await client.start_workflow(Messages.run, id=unique(), task_queue=queue)
    for text in ("one", "two", "three", "four"):
        await handle.signal(Messages.note, text)
    await handle.result()
    run = await tables.run_in(handle.id, "completed")
    events = await tables.rows("SELECT * FROM events WHERE run_id = $1 ORDER BY event_id", run["run_id"])
    assert events[-1]["kind"] == "end"
    assert events[-1]["data"] == {"status": "completed"}
    closed = [event["subject"] for event in events if event["kind"] == "step"]
    assert len(closed) == len(set(closed)) == 4
    assert (await snapshot(tables))["runs"][0]["status"] == "completed"
