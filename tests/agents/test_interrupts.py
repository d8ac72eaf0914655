"""Interrupting an agent's turn cancels what is in flight and keeps what is done; the run holds, then continues with a message."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.common import RawValue
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import CancelledError

from agentgrid.domain.commands import CommandKind
from agentgrid.projector.decode import decode
from agentgrid.protocol import SIGNAL_CONTROL, ControlSignal, to_payload
from agentgrid.testing import Call, Turn
from tests.agents import desk
from tests.agents.conftest import UNCACHED_TOO, Desk, final, look
from tests.agents.test_conversations import DONE, REFUND, held, history_names, seen
from tests.projector.folding import folded


async def interrupt(handle: WorkflowHandle[Any, Any], message: str | None = None) -> None:
    signal = ControlSignal(action="interrupt", principal="operator", message=message)
    await handle.signal(SIGNAL_CONTROL, RawValue(to_payload(signal)))


async def until_scheduled(handle: WorkflowHandle[Any, Any], name: str) -> None:
    async with asyncio.timeout(60):
        while not await history_names(handle, name):
            await asyncio.sleep(0.05)


async def controls(handle: WorkflowHandle[Any, Any], *actions: str) -> None:
    for action in actions:
        await handle.signal(SIGNAL_CONTROL, RawValue(to_payload(ControlSignal(action=action, principal="operator"))))


def settled(rows: Any) -> list[tuple[str, Any]]:
    """The outcome of each interruption, with its reason."""
    interruptions = [settlement for settlement in rows.settlements if settlement.kind == CommandKind.RUN_INTERRUPT]
    return [(settlement.status, settlement.outcome.get("reason")) for settlement in interruptions]


async def fold_of(handle: WorkflowHandle[Any, Any]) -> tuple[Any, Any]:
    history = await handle.fetch_history()
    return folded(handle.id, [decode(history.events, pydantic_data_converter.payload_converter)])


@UNCACHED_TOO
async def test_a_model_request_is_cancelled_and_the_agent_continues_with_the_message(running: Desk):
    script = [Turn(text="late", delay_seconds=30)]
    handle = await running.start("chat", script)
    async with asyncio.timeout(60):
        while not running.requests_of(handle):
            await asyncio.sleep(0.02)
    await interrupt(handle, "Only the summary, please.")
    hold = await held(handle)
    assert (hold["reason"], hold["detail"]) == ("interrupted", "a person interrupted the agent chatty in turn 1")
    state, rows = await fold_of(handle)
    assert (state.paused, state.hold) == (True, "interrupted")
    # At once, not when its worker learns of it with its next heartbeat.
    assert [row["status"] for row in rows.steps.values() if row["kind"] == "model"] == ["cancelled"]

    running.scripts[handle.id] = [Turn(text="the summary")]
    await running.resume(handle)
    assert await handle.result() == "the summary"
    assert seen(running.requests_of(handle)[1]) == [
        running.requests_of(handle)[0].instructions,
        handle.id,
        "Only the summary, please.",
    ]
    await running.replays(handle)
    _, rows = await fold_of(handle)
    first, second = (row["status"] for row in rows.steps.values() if row["kind"] == "model")
    assert (first, second) == ("cancelled", "completed")


async def test_a_cancelled_request_that_is_answered_anyway_is_paid_for(running: Desk):
    handle = await running.start("chat", [Turn(text="late", delay_seconds=1.5)])
    async with asyncio.timeout(60):
        while not running.requests_of(handle):
            await asyncio.sleep(0.02)
    await interrupt(handle)
    await held(handle)
    kind = EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
    async with asyncio.timeout(60):
        while not any(event.event_type == kind for event in (await handle.fetch_history()).events):
            await asyncio.sleep(0.05)
    events = decode((await handle.fetch_history()).events, pydantic_data_converter.payload_converter)
    state, rows = folded(handle.id, [[event] for event in events])
    agent, turn = (row for _, row in sorted(rows.steps.items()))
    assert (turn["status"], turn["attempts"], turn["usage"]["requests"]) == ("cancelled", 1, 1)
    assert (state.usage["requests"], agent["usage"]["requests"], state.given_up) == (1, 1, {})
    assert folded(handle.id, [events])[1].plain() == rows.plain()
    await handle.terminate()


@UNCACHED_TOO
async def test_a_completed_call_keeps_its_result_and_one_awaiting_approval_is_withdrawn(running: Desk):
    before = len(desk.REFUNDS)
    handle = await running.start("help_desk", [Turn(calls=[look("A1"), REFUND]), final(**DONE)])
    (terms,) = await running.governance.pending(handle)
    await interrupt(handle)
    await held(handle)
    state, rows = await fold_of(handle)
    assert state.approvals == {}
    assert rows.approvals[terms.approval_id]["status"] == "cancelled"
    await running.resume(handle)
    await handle.result()
    order, refund = seen(running.requests_of(handle)[1])
    assert order.startswith('{"order_id": "A1"')
    assert refund == "interrupted by a person: the call was not made"
    assert len(desk.REFUNDS) == before
    await running.replays(handle)


@UNCACHED_TOO
async def test_the_run_waits_for_a_call_that_cannot_be_stopped_and_keeps_its_result(running: Desk):
    """Whatever the outcome, the model must learn the real one. Otherwise it would request the same effect again."""
    desk.SLOW.clear()
    handle = await running.start("slow_work", [Turn(calls=[Call("slow_effect", {})]), Turn(text="done")])
    await until_scheduled(handle, "tool.slow_effect")
    await asyncio.wait_for(desk.STARTED.wait(), 20)
    await interrupt(handle, "And now stop.")
    async with asyncio.timeout(60):
        while not await cancel_requests(handle):
            await asyncio.sleep(0.05)
    desk.SLOW.set()
    await held(handle)
    await running.resume(handle)
    assert await handle.result() == "done"
    assert seen(running.requests_of(handle)[1]) == ['"it happened"', "And now stop."]
    assert await history_names(handle, "tool.slow_effect") == 1
    await running.replays(handle)


async def cancel_requests(handle: WorkflowHandle[Any, Any]) -> int:
    kind = EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED
    return sum(event.event_type == kind for event in (await handle.fetch_history()).events)


async def test_an_agent_called_by_another_is_stopped_and_its_caller_is_told(running: Desk):
    def script(conversation: Any) -> Turn:
        if conversation.instructions.startswith("Answer"):
            return Turn(text="late", delay_seconds=30)
        if conversation.results:
            return Turn(text="without it")
        return Turn(calls=[Call("chatty", {"prompt": handle_id[0]})])

    handle_id = [""]
    running.scripts["chatty"] = script

    def lead(conversation: Any) -> Turn:
        handle_id[0] = conversation.messages[1].text
        return script(conversation)

    handle = await running.start("delegation", lead)
    await until_scheduled(handle, "model.chatty")
    await interrupt(handle)
    assert (await held(handle))["agent"] == "lead"
    await running.resume(handle)
    assert await handle.result() == "without it"
    assert seen(running.requests_of(handle)[-1])[0].startswith("interrupted by a person")
    await running.replays(handle)
    _, rows = await fold_of(handle)
    assert [row["status"] for row in rows.steps.values() if row["kind"] == "agent"] == ["completed", "cancelled"]


async def test_an_interruption_while_no_agent_is_at_work_changes_nothing(running: Desk):
    handle = await running.client.start_workflow(
        "waits_then_chats", "hello", id=f"waits-{running.queue}", task_queue=running.queue
    )
    running.scripts["hello"] = [Turn(text="hi")]
    await interrupt(handle, "ignored")
    await handle.signal("go")
    assert await handle.result() == "hi"
    assert [len(request.messages) for request in running.requests if request.messages[1].text == "hello"][-1] == 2
    await running.replays(handle)


async def test_a_run_can_be_cancelled_while_it_holds_for_an_interruption(running: Desk):
    handle = await running.start("chat", [Turn(text="late", delay_seconds=30)])
    await until_scheduled(handle, "model.chatty")
    await interrupt(handle)
    await held(handle)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as raised:
        await handle.result()
    assert isinstance(raised.value.cause, CancelledError)
    await running.replays(handle)


async def test_when_approval_and_interruption_race_the_model_learns_whether_the_call_was_made(running: Desk):
    before = len(desk.REFUNDS)
    handle = await running.start("help_desk", [Turn(calls=[REFUND]), final(**DONE)])
    await running.governance.pending(handle)
    await asyncio.gather(running.governance.approve(handle), interrupt(handle))
    await held(handle)
    await running.resume(handle)
    await handle.result()
    made = len(desk.REFUNDS) - before
    (outcome,) = seen(running.requests_of(handle)[1])
    assert outcome == ('"refunded 700"' if made else "interrupted by a person: the call was not made")
    _, rows = await fold_of(handle)
    (refund,) = (row for row in rows.steps.values() if row["name"] == "refund_order")
    assert refund["status"] == ("completed" if made else "cancelled")
    await running.replays(handle)


async def test_two_interruptions_at_once_pause_once_and_both_messages_reach_the_agent(running: Desk):
    handle = await running.start("chat", [Turn(text="late", delay_seconds=30)])
    await until_scheduled(handle, "model.chatty")
    await interrupt(handle, "Be brief.")
    await interrupt(handle, "Be kind.")
    await held(handle)
    running.scripts[handle.id] = [Turn(text="short and kind")]
    await running.resume(handle)
    assert await handle.result() == "short and kind"
    assert seen(running.requests_of(handle)[-1])[-2:] == ["Be brief.", "Be kind."]
    _, rows = await fold_of(handle)
    assert settled(rows) == [("applied", None)] * 2
    await running.replays(handle)


async def test_a_paused_run_can_be_interrupted_and_one_resume_continues_it(running: Desk):
    """Its next call waits for the resume, and is not made."""
    handle = await running.start("chat", [Turn(calls=[look("A1")], delay_seconds=1), Turn(text="done")])
    await until_scheduled(handle, "model.chatty")
    await controls(handle, "pause")
    async with asyncio.timeout(60):
        while not any(
            step["kind"] == "model" and step["status"] == "completed"
            for step in (await fold_of(handle))[1].steps.values()
        ):
            await asyncio.sleep(0.05)
    await interrupt(handle, "Leave it.")
    await held(handle)
    state, _ = await fold_of(handle)
    assert (state.paused, state.hold) == (True, "interrupted")
    await running.resume(handle)
    assert await handle.result() == "done"
    assert seen(running.requests_of(handle)[-1]) == ["interrupted by a person: the call was not made", "Leave it."]
    state, rows = await fold_of(handle)
    assert (state.paused, settled(rows)) == (False, [("applied", None)])
    await running.replays(handle)


async def test_a_run_that_holds_for_its_budget_can_be_interrupted_and_still_needs_the_budget(running: Desk):
    handle = await running.start(
        "chat", [*(Turn(calls=[look(name)]) for name in ("A1", "B2", "C3")), Turn(text="done")]
    )
    assert (await held(handle))["reason"] == "budget_exceeded"
    await interrupt(handle, "Come to an end.")
    await until_holds(handle, ["budget_exceeded", "interrupted"])
    await running.resume(handle)
    await until_holds(handle, ["budget_exceeded", "interrupted", "budget_exceeded"])
    await running.resume(handle)
    assert await handle.result() == "done"
    assert seen(running.requests_of(handle)[-1])[-1] == "Come to an end."
    _, rows = await fold_of(handle)
    assert settled(rows) == [("applied", None)]
    await running.replays(handle)


async def until_holds(handle: WorkflowHandle[Any, Any], reasons: list[str]) -> None:
    async with asyncio.timeout(60):
        while True:
            events = decode((await handle.fetch_history()).events, pydantic_data_converter.payload_converter)
            if [event.hold.reason for event in events if getattr(event, "hold", None)] == reasons:
                return
            await asyncio.sleep(0.05)


async def test_a_resume_before_the_agent_has_stopped_continues_it_without_a_pause(running: Desk):
    desk.SLOW.clear()
    desk.STARTED.clear()
    handle = await running.start("slow_work", [Turn(calls=[Call("slow_effect", {})]), Turn(text="done")])
    await asyncio.wait_for(desk.STARTED.wait(), 20)
    await interrupt(handle)
    await running.resume(handle)
    desk.SLOW.set()
    assert await handle.result() == "done"
    state, rows = await fold_of(handle)
    assert (state.paused, settled(rows)) == (False, [("applied", None)])
    await running.replays(handle)


async def test_terminating_a_run_supersedes_its_interruption(running: Desk):
    desk.SLOW.clear()
    desk.STARTED.clear()
    handle = await running.start("slow_work", [Turn(calls=[Call("slow_effect", {})])])
    await asyncio.wait_for(desk.STARTED.wait(), 20)
    await interrupt(handle)
    await handle.terminate()
    desk.SLOW.set()
    _, rows = await fold_of(handle)
    assert settled(rows) == [("superseded", "the execution ended before its agents stopped")]


async def test_an_interruption_between_two_calls_of_a_session_stops_nothing(running: Desk):
    handle = await running.start("pauses_between_calls", [Turn(text="one"), Turn(text="two")])
    async with asyncio.timeout(60):
        while not (rows := (await fold_of(handle))[1]).steps or rows.steps[min(rows.steps)]["status"] != "completed":
            await asyncio.sleep(0.05)
    await interrupt(handle, "unheard")
    await handle.signal("go")
    assert await handle.result() == "two"
    assert "unheard" not in str(running.requests_of(handle))
    _, rows = await fold_of(handle)
    assert settled(rows) == [("superseded", "no agent was running")]
    await running.replays(handle)
