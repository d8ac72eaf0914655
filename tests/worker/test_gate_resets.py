"""Resets of gated runs: every approval is requested again, and no old decision lets a call through."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle

from agentgrid.testing import Governance
from tests.worker import gated
from tests.worker.conftest import kinds, recorded, reset
from tests.worker.gated import EXECUTED
from tests.worker.test_gate import ASK, governance, next_approval, replays, start, worker

__all__ = ["governance", "worker"]


async def test_resets_reopen_the_approval_and_never_act_on_the_old_decision(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    handle = await start(client, queue, "ticking")
    first = (await governance.pending(handle))[0]
    await recorded(handle, "TIMER_FIRED", 3)
    await governance.send(handle, governance.decide(first))
    assert await handle.result() == "refunded 900"
    base = handle.first_execution_run_id or ""
    events = (await handle.fetch_history()).events
    completed = [event.event_id for event in events if event.HasField("workflow_task_completed_event_attributes")]
    opened = next(event.event_id for event in events if event.HasField("activity_task_failed_event_attributes"))
    decided = next(event.event_id for event in events if event.HasField("workflow_execution_signaled_event_attributes"))
    points = {
        "before the opening": completed[0],
        "at the task that started the wait": next(event for event in completed if event > opened),
        "between opening and decision": [event for event in completed if opened < event < decided][-1],
        "at the deciding task": next(event for event in completed if event > decided),
    }
    for label, point in points.items():
        ran = len(EXECUTED)
        fork = await reset(client, handle, base, point)
        reopened = await next_approval(governance, fork, first)
        assert reopened.execution_id != base, label
        assert len(EXECUTED) == ran, label
        await governance.send(fork, governance.decide(first))
        await governance.send(fork, governance.decide(reopened))
        assert await fork.result() == "refunded 900", label
        assert len(EXECUTED) == ran + 1, label
        await replays(fork, governance)


async def _woken(handle: WorkflowHandle[Any, Any]) -> None:
    """Make the workflow complete a task that does nothing."""
    before = kinds((await handle.fetch_history()).events).count("WORKFLOW_TASK_COMPLETED")
    await handle.signal("wake")
    async with asyncio.timeout(10):
        while kinds((await handle.fetch_history()).events).count("WORKFLOW_TASK_COMPLETED") == before:
            await asyncio.sleep(0.02)


async def test_r24_resets_reopen_an_explicit_approval_and_drop_the_old_decision(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    """The workflow must accept neither the old decision nor an old rejection, which no later check would catch."""
    handle = await start(client, queue, "explicit")
    first = (await governance.pending(handle))[0]
    await _woken(handle)
    await governance.send(handle, governance.decide(first))
    await handle.result()
    base = handle.first_execution_run_id or ""
    events = (await handle.fetch_history()).events
    completed = [event.event_id for event in events if event.HasField("workflow_task_completed_event_attributes")]
    decided = [event.event_id for event in events if event.HasField("workflow_execution_signaled_event_attributes")][-1]
    points = {
        "between opening and decision": [event for event in completed if event < decided][-1],
        "at the deciding task": next(event for event in completed if event > decided),
    }
    for label, point in points.items():
        fork = await reset(client, handle, base, point)
        async with asyncio.timeout(10):
            reopened = await next_approval(governance, fork, first)
        assert reopened.execution_id != base, label
        await governance.send(fork, governance.decide(first))
        await governance.send(fork, governance.decide(reopened))
        await fork.result()
        await replays(fork, governance)


@pytest.mark.parametrize("case", ["explicit", "plain"])
async def test_r24_a_reset_alone_requests_the_approval_again(
    worker: Any, client: Client, queue: str, governance: Governance, case: str
) -> None:
    """The SDK checks wait conditions only after something has run, so the new seed itself must wake the gate's waiter."""
    governance.change(rules=(ASK.model_copy(update={"tool": "plain"}),))
    handle = await start(client, queue, case)
    first = (await governance.pending(handle))[0]
    await _woken(handle)
    events = (await handle.fetch_history()).events
    last = [event.event_id for event in events if event.HasField("workflow_task_completed_event_attributes")][-1]
    fork = await reset(client, handle, handle.first_execution_run_id or "", last)
    async with asyncio.timeout(10):
        reopened = await next_approval(governance, fork, first)
    await governance.send(fork, governance.decide(reopened))
    await fork.result()
    await replays(fork, governance)


async def test_a_reset_after_the_approved_call_keeps_its_result(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    handle = await start(client, queue, "ticking")
    await governance.approve(handle)
    await handle.result()
    events = (await handle.fetch_history()).events
    last = [event.event_id for event in events if event.HasField("workflow_task_completed_event_attributes")][-1]
    fork = await reset(client, handle, handle.first_execution_run_id or "", last)
    assert await fork.result() == "refunded 900"
    assert len(EXECUTED) == 1
    await replays(fork, governance)


async def test_a_reset_with_the_approved_call_in_flight_requests_approval_again(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    """In the fork, Temporal schedules the open call a second time with the old decision. The call must not run under it."""
    governance.change(rules=(ASK.model_copy(update={"tool": "slow_refund"}),))
    handle = await start(client, queue, "slow")
    first = await governance.approve(handle)
    await gated.STARTED.acquire()
    before = len((await handle.fetch_history()).events)
    await handle.signal("wake")
    await recorded(handle, "WORKFLOW_TASK_COMPLETED", after=before)
    events = (await handle.fetch_history()).events
    last = [event.event_id for event in events if event.HasField("workflow_task_completed_event_attributes")][-1]
    fork = await reset(client, handle, handle.first_execution_run_id or "", last)
    reopened = await next_approval(governance, fork, first)
    assert len(EXECUTED) == 1
    await governance.send(fork, governance.decide(reopened))
    assert await fork.result() == "refunded 900"
    assert [run for _, _, run in EXECUTED] == [first.execution_id, reopened.execution_id]
    await replays(fork, governance)
