"""Pause and reset while an agent is in a turn, in a tool call, or waiting for approval: nothing that has completed is repeated."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.common import RawValue

from agentgrid.domain.runs import RunStatus
from agentgrid.projector.fold.summary import summarise
from agentgrid.protocol import SIGNAL_CONTROL, ControlSignal, to_payload
from agentgrid.testing import Call, Turn
from agentgrid.testing.turns import Conversation
from tests.agents import desk
from tests.agents.conftest import UNCACHED_TOO, Desk, final, look
from tests.agents.test_conversations import DONE, REFUND
from tests.agents.test_folding import events_of, shown
from tests.projector.folding import folded
from tests.worker.conftest import reset

Handle = WorkflowHandle[Any, Any]


def script(conversation: Conversation) -> Turn:
    """A lookup, then a refund that requires approval, then the answer. The second turn takes a while."""
    match conversation.turn:
        case 0:
            return Turn(calls=[look("A1")])
        case 1:
            return Turn(calls=[REFUND], delay_seconds=0.5)
    return final(**DONE)


def slow_script(conversation: Conversation) -> Turn:
    return Turn(text="done") if conversation.turn else Turn(calls=[Call("slow_effect", {})])


async def begun(running: Desk, where: str) -> Handle:
    """Start a run and wait until it is in the second turn, in a tool call, or waiting for approval."""
    if where == "tool":
        desk.STARTED.clear()
        desk.SLOW.clear()
        handle = await running.start("waits_then_works", slow_script)
        await handle.signal("go")
        async with asyncio.timeout(60):
            await desk.STARTED.wait()
        return handle
    handle = await running.start("help_desk", script)
    if where == "approval":
        await running.governance.pending(handle)
        return handle
    async with asyncio.timeout(60):
        while len(running.requests_of(handle)) < 2:
            await asyncio.sleep(0.02)
    return handle


async def ended(running: Desk, handle: Handle, where: str) -> None:
    desk.SLOW.set()
    if where != "tool":
        await running.governance.approve(handle)
    await handle.result()


def requests_by_turn(running: Desk, handle: Handle) -> Counter[int]:
    return Counter(request.turn for request in running.requests_of(handle))


@UNCACHED_TOO
@pytest.mark.parametrize("where", ["turn", "tool", "approval"])
async def test_a_paused_run_begins_nothing_and_repeats_nothing(running: Desk, where: str):
    before = len(desk.REFUNDS)
    handle = await begun(running, where)
    await handle.signal(SIGNAL_CONTROL, RawValue(to_payload(ControlSignal(action="pause", principal="operator"))))
    desk.SLOW.set()
    if where == "approval":
        await running.governance.approve(handle)
    waits = {"turn": ("model", "desk", "completed"), "tool": ("tool", "slow_effect", "completed"), "approval": None}[
        where
    ]
    async with asyncio.timeout(60):
        while True:
            state, rows = folded("execution", [await events_of(handle)])
            if (
                state.paused
                and state.task is None
                and (waits is None or Counter(shown(rows))[waits] >= (2 if where == "turn" else 1))
            ):
                break
            await asyncio.sleep(0.05)
    assert summarise(state).status is RunStatus.PAUSED
    assert len(desk.REFUNDS) == before
    turns = requests_by_turn(running, handle)
    await running.resume(handle)
    if where == "turn":
        await running.governance.approve(handle)
    await handle.result()
    assert turns <= requests_by_turn(running, handle)
    assert set(requests_by_turn(running, handle).values()) == {1}
    assert len(desk.REFUNDS) == before + (where != "tool")
    await running.replays(handle)


@pytest.mark.parametrize("where", ["turn", "tool", "approval"])
async def test_a_reset_does_not_repeat_completed_work(running: Desk, where: str):
    before = len(desk.REFUNDS)
    handle = await begun(running, where)
    history = await handle.fetch_history()
    tasks = [event.event_id for event in history.events if event.HasField("workflow_task_completed_event_attributes")]
    desk.SLOW.set()
    fork = await reset(running.client, handle, history.run_id, tasks[-1])
    await ended(running, fork, where)
    turns = requests_by_turn(running, handle)
    assert turns[0] == 1, "the first turn had ended"
    assert all(count <= 2 for count in turns.values())
    assert len(desk.REFUNDS) - before == (where != "tool")
    state, rows = folded("execution", [await events_of(fork)])
    assert {status for _, _, status in shown(rows)} <= {"completed", "cancelled"}
    assert state.agents == {}
