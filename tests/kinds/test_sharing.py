"""Workers that share a task queue, each with or without the plugin: every task reaches a worker that can handle it."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Governance
from tests.conftest import Temporal
from tests.kinds.case import chain_of
from tests.worker import gated
from tests.worker.beginnings import begun_governed
from tests.worker.conftest import kinds
from tests.worker.plain import Child, Shapes, echo

RUNS = 20
BAD = ("ACTIVITY_TASK_FAILED", "ACTIVITY_TASK_TIMED_OUT", "WORKFLOW_TASK_FAILED", "WORKFLOW_TASK_TIMED_OUT")


@pytest.fixture
async def plain_client(temporal_server: Temporal) -> Client:
    return await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)


async def lost_nothing(client: Client, ids: list[str]) -> Counter[str]:
    """Count the events of all runs, and fail if a worker failed or timed out on a task."""
    counted: Counter[str] = Counter()
    for workflow_id in ids:
        await client.get_workflow_handle(workflow_id).result()
        for history in await chain_of(client, workflow_id):
            counted.update(kinds(history.events))
    assert {kind: counted[kind] for kind in BAD} == dict.fromkeys(BAD, 0)
    return counted


@pytest.mark.parametrize(
    ("on_workflows", "on_activities"),
    list(itertools.product([False, True], repeat=2)),
    ids=["none", "on the activities' worker", "on the workflows' worker", "on both"],
)
async def test_a_worker_for_workflows_and_one_for_activities_lose_no_task(
    plain_client: Client, on_workflows: bool, on_activities: bool
) -> None:
    queue = f"shared-{uuid.uuid4().hex[:8]}"

    def plugins(plugged: bool) -> list[Any]:
        return [Governance().plugin()] if plugged else []

    shapes = list(itertools.islice(itertools.cycle(("gather", "sequence", "then_child", "gather_timer")), RUNS))
    async with (
        Worker(plain_client, task_queue=queue, workflows=[Shapes, Child], plugins=plugins(on_workflows)),
        Worker(plain_client, task_queue=queue, activities=[echo], plugins=plugins(on_activities)),
    ):
        handles = [
            await plain_client.start_workflow(Shapes.run, shape, id=f"{number}-{queue}", task_queue=queue)
            for number, shape in enumerate(shapes)
        ]
        counted = await lost_nothing(plain_client, [handle.id for handle in handles])
    calls = {"gather": 4, "sequence": 3, "then_child": 1, "gather_timer": 1}
    assert counted["ACTIVITY_TASK_COMPLETED"] == sum(calls[shape] for shape in shapes)


async def test_a_worker_for_workflows_alone_can_open_approvals(plain_client: Client) -> None:
    """The local activity runs on the workflow's worker, even while another worker serves the activities of the queue."""
    queue = f"shared-{uuid.uuid4().hex[:8]}"
    governance = Governance()
    explicit = next(registered for registered in Grid("gated", gated).workflows if registered.spec.name == "gated")
    async with (
        Worker(plain_client, task_queue=queue, workflows=[explicit.cls], plugins=[governance.plugin()]),
        Worker(plain_client, task_queue=queue, activities=[echo], plugins=[Governance().plugin()]),
    ):
        handles = [
            await plain_client.start_workflow("gated", "explicit", id=f"{number}-{queue}", task_queue=queue)
            for number in range(RUNS)
        ]
        for handle in handles:
            await governance.approve(handle)
        counted = await lost_nothing(plain_client, [handle.id for handle in handles])
    assert counted["TIMER_CANCELED"] == RUNS


@pytest.mark.parametrize("plugged", [False, True], ids=["calls without the plugin", "calls with it"])
async def test_a_rule_applies_wherever_the_activity_runs(plain_client: Client, plugged: bool) -> None:
    """The activity's worker decides. A caller that can wait does so and passes; one that can't gets an error that says so."""
    queue = f"shared-{uuid.uuid4().hex[:8]}"
    governance = Governance(rules=[Rule(rule_id="ask", tool="echo", effect=Effect.REQUIRE_APPROVAL)])
    caller = [governance.plugin()] if plugged else []
    async with (
        Worker(plain_client, task_queue=queue, workflows=[Shapes, Child], plugins=caller),
        Worker(plain_client, task_queue=queue, activities=[echo], plugins=[governance.plugin()]),
    ):
        handle = await plain_client.start_workflow(Shapes.run, "wait_for", id=queue, task_queue=queue)
        if plugged:
            await governance.approve(handle)
            assert await handle.result() == "wait_for"
        else:
            with pytest.raises(Exception) as caught:
                await handle.result()
            assert caught.value.cause.cause.type == "ApprovalUnsupported"


async def test_two_workers_for_everything_share_runs_whichever_takes_a_task(
    plain_client: Client, temporal_server: Temporal
) -> None:
    """One worker with the plugin and one without, on one queue. Nothing is cached, so runs move between the two."""
    # The SDK allows only one worker of a kind per connection and queue.
    other = await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)
    queue = f"shared-{uuid.uuid4().hex[:8]}"
    every: Any = {"task_queue": queue, "workflows": [Shapes, Child], "activities": [echo], "max_cached_workflows": 0}
    async with Worker(plain_client, **every), Worker(other, **every, plugins=[Governance().plugin()]):
        handles = [
            await plain_client.start_workflow(Shapes.run, "sequence", id=f"{number}-{queue}", task_queue=queue)
            for number in range(RUNS)
        ]
        counted = await lost_nothing(plain_client, [handle.id for handle in handles])
        began = [begun_governed(await handle.fetch_history()) for handle in handles]
    assert counted["ACTIVITY_TASK_COMPLETED"] == 3 * RUNS
    assert 0 < sum(began) < RUNS, "some began under each"
