"""A call under a stale policy waits durably, whatever its tool's retries."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ActivityError
from temporalio.worker import Replayer, Worker

from agentgrid.projector.decode import decode
from agentgrid.projector.fold import fold
from agentgrid.projector.fold.state import FoldState
from agentgrid.protocol import TIMER_POLICY, ErrorType, PolicyWait
from agentgrid.sdk.grid import Grid
from agentgrid.settings import Settings
from agentgrid.testing import Governance
from agentgrid.worker import approvals
from tests.worker import gated
from tests.worker.conftest import reset
from tests.worker.gated import EXECUTED, plain

GRID = Grid("gated", gated)


@workflow.defn(sandboxed=False)
class CallsTool:
    @workflow.run
    async def run(self, queue: str) -> Any:
        call = {"tool": "refund", "version": "v", "args": {"order": "order", "cents": 900}}
        retries = RetryPolicy(maximum_attempts=20)
        return await workflow.execute_activity(
            "tool.refund", call, task_queue=queue, start_to_close_timeout=timedelta(seconds=5), retry_policy=retries
        )


NEVER = float("inf")


@pytest.fixture
def governance() -> Governance:
    return Governance()


@pytest.fixture(params=[0, 100], ids=["uncached", "cached"])
async def worker(request: pytest.FixtureRequest, client: Client, queue: str, governance: Governance) -> Any:
    EXECUTED.clear()
    plugin = governance.plugin(GRID, settings=Settings(policy_refresh_seconds=0.1))
    cached = request.param
    async with Worker(
        client, task_queue=queue, activities=[plain], plugins=[plugin], max_cached_workflows=cached
    ) as it:
        yield it


async def start(client: Client, queue: str, case: str) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow("gated", case, id=f"{case}-{queue}", task_queue=queue)


async def pauses(handle: WorkflowHandle[Any, Any], at_least: int) -> list[float]:
    """The durations of the timers that wait for policy, once there are at least this many."""
    async with asyncio.timeout(60):
        while True:
            timers = [
                event.timer_started_event_attributes.start_to_fire_timeout.ToMilliseconds() / 1000
                async for event in handle.fetch_history_events()
                if event.HasField("timer_started_event_attributes")
                and TIMER_POLICY.encode() in event.user_metadata.summary.data
            ]
            if len(timers) >= at_least:
                return timers
            await asyncio.sleep(0.05)


async def test_a_tool_with_one_retry_waits_longer_than_its_retries_and_runs_once(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    governance.policy.age_seconds = NEVER
    handle = await start(client, queue, "order")
    assert (await pauses(handle, 3))[:3] == [0.2, 0.4, 0.8]
    assert EXECUTED == []
    governance.policy.age_seconds = 0.0
    assert await handle.result() == "refunded 900"
    assert len(EXECUTED) == 1
    replayer = Replayer(workflows=[], plugins=[governance.plugin(GRID)])
    await replayer.replay_workflow(await handle.fetch_history())


async def test_a_local_tool_that_writes_waits_as_one_step(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    governance.policy.age_seconds = NEVER
    handle = await start(client, queue, "local_write")
    await pauses(handle, 2)
    assert EXECUTED == []
    governance.policy.age_seconds = 0.0
    assert await handle.result() == "order"
    assert len(EXECUTED) == 1
    assert await steps(handle) == [("tool", "note", "completed", 1)]


async def test_a_call_and_its_step_fail_after_the_maximum_wait(
    worker: Any, client: Client, queue: str, governance: Governance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approvals, "PolicyWait", partial(PolicyWait, give_up_seconds=0.3))
    governance.policy.age_seconds = NEVER
    handle = await start(client, queue, "order")
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    failed = caught.value.cause
    assert isinstance(failed, ActivityError)
    assert getattr(failed.cause, "type", None) == ErrorType.POLICY_STALE
    assert await pauses(handle, 2) == [0.2, 0.4]
    assert await steps(handle) == [("tool", "refund", "failed", 1)]
    assert EXECUTED == []


async def test_a_caller_that_cannot_wait_is_retried_by_temporal(
    client: Client, queue: str, governance: Governance
) -> None:
    """A worker without the plugin runs the workflow, so the call carries no key."""
    EXECUTED.clear()
    governance.policy.age_seconds = NEVER
    plugin = governance.plugin(GRID, settings=Settings(policy_refresh_seconds=0.1))
    other = f"{queue}-ungoverned"
    async with (
        Worker(client, task_queue=other, workflows=[CallsTool]),
        Worker(client, task_queue=queue, plugins=[plugin]),
    ):
        handle = await client.start_workflow(CallsTool.run, queue, id=f"ungoverned-{queue}", task_queue=other)
        async with asyncio.timeout(60):
            while not [
                pending
                for pending in (await handle.describe()).raw_description.pending_activities
                if pending.attempt > 2
            ]:
                await asyncio.sleep(0.05)
        assert EXECUTED == []
        governance.policy.age_seconds = 0.0
        assert await handle.result() == {"result": "refunded 900"}
    assert len(EXECUTED) == 1


async def test_an_approval_is_opened_once_a_policy_with_keys_arrives(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    keys = governance.snapshot.public_keys
    governance.change(public_keys={})
    handle = await start(client, queue, "explicit")
    await pauses(handle, 1)
    governance.change(public_keys=keys)
    await governance.approve(handle)
    assert await handle.result() == "reviewer"


async def test_a_cancelled_run_stops_waiting(worker: Any, client: Client, queue: str, governance: Governance) -> None:
    governance.policy.age_seconds = NEVER
    handle = await start(client, queue, "order")
    await pauses(handle, 1)
    await handle.cancel()
    with pytest.raises(Exception, match="Workflow execution failed"):
        await handle.result()
    assert EXECUTED == []


def test_waits_grow_to_a_maximum_and_then_end() -> None:
    wait = PolicyWait(key="k", first_seconds=1, most_seconds=4, give_up_seconds=11)
    assert [wait.pause_seconds(tries) for tries in range(5)] == [1, 2, 4, 4, 4]
    assert [wait.over(tries) for tries in range(5)] == [False, False, False, False, True]


async def test_a_reset_makes_the_same_calls_under_the_same_keys(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    started = await start(client, queue, "twice")
    await started.result()
    run_id = started.first_execution_run_id or ""
    handle = client.get_workflow_handle(started.id, run_id=run_id)
    again = await reset(client, handle, run_id, 4)
    await again.result()
    assert [order for _, order, _ in EXECUTED] == ["first", "second", "first", "second"]
    before, after = await keys_of(handle), await keys_of(again)
    assert len(set(before)) == 2
    assert after == before


async def steps(handle: WorkflowHandle[Any, Any]) -> list[tuple[Any, ...]]:
    """The projector's steps for the history: kind, name, status and attempts of each."""
    events = [event async for event in handle.fetch_history_events()]
    _, changes = fold(FoldState(execution_id="e"), decode(events, pydantic_data_converter.payload_converter))
    return [
        tuple(row[name] for name in ("kind", "name", "status", "attempts")) for row in changes.steps.opened.values()
    ]


async def keys_of(handle: WorkflowHandle[Any, Any]) -> list[bytes]:
    return [
        event.activity_task_scheduled_event_attributes.header.fields["agentgrid-key"].data
        async for event in handle.fetch_history_events()
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
