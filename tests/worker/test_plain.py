"""The plugin alone makes an existing worker governed, and breaks none of its workflows."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.worker import Replayer, Worker

from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule
from agentgrid.testing import Governance
from tests.worker.beginnings import begun_governed, marked
from tests.worker.conftest import kinds, recorded
from tests.worker.plain import CANCELLATIONS, SHAPES, Cancellations, Child, Counting, Shapes, beat, describe, echo

WORKFLOWS = [Shapes, Child, Cancellations]


async def outcome(client: Client, queue: str, case: str, plugins: list[Any]) -> tuple[str, list[str], str]:
    """What user code saw, the activity events in history, and whether the run replays."""
    handle = await client.start_workflow(
        Cancellations.run, case, id=f"{case}-{queue}", task_queue=queue, execution_timeout=timedelta(seconds=40)
    )
    if case == "workflow_cancel":
        await recorded(handle, "ACTIVITY_TASK_SCHEDULED")
        await _beaten(handle)
        await handle.cancel()
    try:
        seen = str(await handle.result())
    except WorkflowFailureError as error:
        seen = f"failed {describe(error)} {error.cause}"
    history = await handle.fetch_history()
    replay = "ok"
    try:
        await Replayer(workflows=WORKFLOWS, plugins=plugins).replay_workflow(history)
    except Exception as error:
        replay = repr(error)[:200]
    return seen, [kind for kind in kinds(history.events) if kind.startswith("ACTIVITY")], replay


async def _beaten(handle: WorkflowHandle[Any, Any]) -> None:
    """Wait for the activity's first heartbeat, after which it can notice a cancellation."""
    async with asyncio.timeout(60):
        while not any(
            activity.HasField("last_heartbeat_time")
            for activity in (await handle.describe()).raw_description.pending_activities
        ):
            await asyncio.sleep(0.05)


async def test_thirteen_shapes_of_cancellation_behave_as_in_the_plain_sdk(client: Client, queue: str) -> None:
    async def played(name: str, plugins: list[Any], cache: int) -> dict[str, tuple[str, list[str], str]]:
        own = f"{queue}-{name}"
        async with Worker(
            client,
            task_queue=own,
            workflows=WORKFLOWS,
            activities=[echo, beat],
            plugins=plugins,
            max_cached_workflows=cache,
        ):
            results = await asyncio.gather(*[outcome(client, own, case, plugins) for case in CANCELLATIONS])
        return dict(zip(CANCELLATIONS, results, strict=True))

    native, governed, uncached = await asyncio.gather(
        played("native", [], 100),
        played("governed", [Governance().plugin()], 100),
        played("uncached", [Governance().plugin()], 0),
    )
    assert len(CANCELLATIONS) == 13
    assert all(replay == "ok" for _, _, replay in native.values())
    assert governed == native
    assert uncached == native


@pytest.mark.parametrize("cache", [0, 100], ids=["uncached", "cached"])
async def test_unmodified_workflows_run_and_replay_under_the_plugin(client: Client, queue: str, cache: int) -> None:
    plugin = Governance().plugin()
    async with Worker(
        client,
        task_queue=queue,
        workflows=WORKFLOWS,
        activities=[echo, beat],
        plugins=[plugin],
        max_cached_workflows=cache,
    ):

        async def one(case: str) -> None:
            handle = await client.start_workflow(Shapes.run, case, id=f"{case}-{queue}", task_queue=queue)
            assert await handle.result() == (case if case != "continue_as_new" else "sequence")
            history = await client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id).fetch_history()
            assert begun_governed(history)
            seen = kinds(history.events)
            assert marked(history) == (seen[3] != "WORKFLOW_TASK_COMPLETED"), (
                f"an undisturbed first task needs no marker: {seen}"
            )
            await Replayer(workflows=WORKFLOWS, plugins=[plugin]).replay_workflow(history)

        await asyncio.gather(*[one(case) for case in SHAPES])


async def test_runs_open_before_the_plugin_continue_unchanged(client: Client, queue: str) -> None:
    """A worker without the plugin begins the runs, and one with it completes them: no marker, no header, no new command."""
    ends = {}
    async with Worker(client, task_queue=queue, workflows=[Counting], activities=[echo], max_cached_workflows=0):
        handles = [
            await client.start_workflow(Counting.run, number, id=f"count-{number}-{queue}", task_queue=queue)
            for number in range(3)
        ]
        for handle in handles:
            await recorded(handle, "ACTIVITY_TASK_COMPLETED")
    governance = Governance()
    async with Worker(
        client,
        task_queue=queue,
        workflows=[Counting],
        activities=[echo],
        plugins=[governance.plugin()],
        max_cached_workflows=0,
    ):
        for handle in handles:
            await handle.signal("go")
            ends[handle.id] = await handle.result()
            history = await handle.fetch_history()
            assert not begun_governed(history)
            assert "MARKER_RECORDED" not in kinds(history.events)
            assert all(
                not event.activity_task_scheduled_event_attributes.header.fields
                for event in history.events
                if event.HasField("activity_task_scheduled_event_attributes")
            )
            await Replayer(workflows=[Counting], plugins=[governance.plugin()]).replay_workflow(history)
            await Replayer(workflows=[Counting]).replay_workflow(history)
    assert sorted(ends.values()) == ["0 0", "1 1", "2 2"]


async def test_a_run_open_before_the_plugin_cannot_wait_for_an_approval(client: Client, queue: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[Counting], activities=[echo], max_cached_workflows=0):
        handle = await client.start_workflow(Counting.run, 1, id=f"count-{queue}", task_queue=queue)
        await recorded(handle, "ACTIVITY_TASK_COMPLETED")
    governance = Governance(rules=[Rule(rule_id="ask", tool="echo", effect=Effect.REQUIRE_APPROVAL)])
    async with Worker(client, task_queue=queue, workflows=[Counting], activities=[echo], plugins=[governance.plugin()]):
        await handle.signal("go")
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
    assert getattr(getattr(caught.value.cause, "cause", None), "type", None) == "ApprovalUnsupported"


async def test_a_workflow_only_and_an_activity_only_worker_share_a_queue_and_lose_nothing(
    client: Client, queue: str
) -> None:
    """The local activity added to a workflow-only worker must not make it take the other worker's tasks."""

    async def ended(handle: WorkflowHandle[Any, Any]) -> list[str]:
        await handle.result()
        return kinds((await handle.fetch_history()).events)

    async with (
        Worker(client, task_queue=queue, workflows=[Shapes, Child], plugins=[Governance().plugin()]),
        Worker(client, task_queue=queue, activities=[echo], plugins=[Governance().plugin()]),
    ):
        handles = [
            await client.start_workflow(Shapes.run, "gather", id=f"{number}-{queue}", task_queue=queue)
            for number in range(20)
        ]
        histories = await asyncio.gather(*[ended(handle) for handle in handles])
    assert sum(history.count("ACTIVITY_TASK_COMPLETED") for history in histories) == 80
    assert not any("ACTIVITY_TASK_FAILED" in history for history in histories)
