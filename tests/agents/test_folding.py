"""Agents as the projector folds them: the same rows wherever history is split, and a correct final status however the run ends."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

from agentgrid.domain.runs import RunStatus
from agentgrid.projector.decode import decode
from agentgrid.projector.fold.state import FoldState
from agentgrid.projector.fold.summary import summarise
from agentgrid.projector.history_events import DecodedEvent
from agentgrid.testing import Call, Turn
from tests.agents.conftest import UNCACHED_TOO, Desk, look
from tests.agents.test_conversations import REFUND, held, markers
from tests.projector.folding import Rows, folded

Steps = list[tuple[str, str, str]]


async def events_of(handle: WorkflowHandle[Any, Any]) -> list[DecodedEvent]:
    history = await handle.fetch_history()
    return decode(history.events, pydantic_data_converter.payload_converter)


async def ended(handle: WorkflowHandle[Any, Any]) -> tuple[FoldState, Rows]:
    """State and rows once the run has ended. They must be the same if history is split after every event."""
    with contextlib.suppress(WorkflowFailureError):
        await handle.result()
    events = await events_of(handle)
    whole = folded("execution", [events])
    cut = folded("execution", [[event] for event in events])
    assert (whole[0].dump(), whole[1].plain()) == (cut[0].dump(), cut[1].plain())
    return whole


def shown(rows: Rows) -> Steps:
    return [(step["kind"], step["name"], step["status"]) for _, step in sorted(rows.steps.items())]


async def test_only_new_messages_of_a_conversation_are_stored(running: Desk):
    handle = await running.start("chat", [Turn(calls=[look("A1")]), Turn(calls=[look("B2")]), Turn(text="both")])
    _, rows = await ended(handle)
    inputs = [step["input"]["value"] for step in rows.steps.values() if step["kind"] == "model"]
    assert [[message["role"] for message in payload["new"]] for payload in inputs] == [["user"], ["tool"], ["tool"]]
    assert [payload["messages"] for payload in inputs] == [1, 3, 5]


async def test_usage_counts_for_the_agent_its_callers_and_the_run(running: Desk):
    def script(conversation: Any) -> Turn:
        if "Let others" in conversation.instructions and conversation.turn == 0:
            return Turn(calls=[Call("chatty", {"prompt": conversation.prompt})])
        return Turn(text="done")

    state, rows = await ended(await running.start("delegation", script))
    lead, chatty = (step for step in rows.steps.values() if step["kind"] == "agent")
    turns = [step for step in rows.steps.values() if step["kind"] == "model"]
    assert [step["name"] for step in turns] == ["lead", "chatty", "lead"]
    assert state.usage["input_tokens"] == sum(step["usage"]["input_tokens"] for step in turns)
    assert lead["usage"]["input_tokens"] == state.usage["input_tokens"]
    assert (lead["usage"]["requests"], chatty["usage"]["requests"], lead["usage"]["tool_calls"]) == (3, 1, 1)
    assert lead["usage"]["usd"] == pytest.approx(state.usage["usd"])


async def test_an_agent_that_is_denied_is_a_failed_step(running: Desk):
    running.governance.change(disabled={"agent": frozenset({"desk"})})
    try:
        _, rows = await ended(await running.start("help_desk", []))
    finally:
        running.governance.change(disabled={})
    assert shown(rows) == [("agent", "desk", "failed")]


@UNCACHED_TOO
async def test_an_agent_that_waited_for_policy_is_one_step(running: Desk):
    policy = running.governance.policy
    snapshot, policy.snapshot = policy.snapshot, None
    try:
        handle = await running.start("chat", [Turn(text="at last")])
        async with asyncio.timeout(60):
            while not any("policy" in (getattr(event, "summary", None) or "") for event in await events_of(handle)):
                await asyncio.sleep(0.05)
    finally:
        policy.snapshot = snapshot
    _, rows = await ended(handle)
    assert shown(rows) == [("agent", "chatty", "completed"), ("model", "chatty", "completed")]


async def test_a_held_run_is_paused_with_its_reason_until_it_is_resumed(running: Desk):
    handle = await running.start("careful_work", [*[Turn(calls=[look(f"A{n}")]) for n in range(3)], Turn(text="more")])
    await held(handle)
    state, _ = folded("execution", [await events_of(handle)])
    standing = summarise(state)
    assert (standing.status, standing.reason) == (RunStatus.PAUSED, "3 of 3 model requests")
    await running.resume(handle)
    state, _ = await ended(handle)
    assert state.hold is None


async def test_one_resume_frees_all_agents_that_hold_a_run_and_its_reason_names_each(running: Desk):
    prompts = [f"{running.queue}-{number}" for number in range(2)]
    for prompt in prompts:
        running.scripts[prompt] = [*[Turn(calls=[look(f"A{n}")]) for n in range(3)], Turn(text=f"{prompt} is done")]
    handle = await running.client.start_workflow("two_at_once", prompts, id=running.queue, task_queue=running.queue)
    async with asyncio.timeout(60):
        while len(await markers(handle, "agentgrid.hold")) < 2:
            await asyncio.sleep(0.05)
    state, _ = folded("execution", [await events_of(handle)])
    assert (state.hold, state.hold_detail) == (
        "budget_exceeded",
        "3 of 3 model requests; chatty: 3 of 3 model requests",
    )
    await running.resume(handle)
    state, _ = await ended(handle)
    assert await handle.result() == [f"{prompt} is done" for prompt in prompts]
    assert state.hold is None


@pytest.mark.parametrize("how", ["cancel", "terminate"])
@pytest.mark.parametrize("where", ["turn", "approval"])
async def test_the_steps_of_an_agent_end_with_its_run(running: Desk, how: str, where: str):
    script = [Turn(text="late", delay_seconds=30) if where == "turn" else Turn(calls=[REFUND])]
    handle = await running.start("help_desk", script)
    if where == "turn":
        async with asyncio.timeout(60):
            while not running.requests_of(handle):
                await asyncio.sleep(0.05)
    else:
        await running.governance.pending(handle)
    await getattr(handle, how)()
    _, rows = await ended(handle)
    end = "cancelled" if how == "cancel" else "abandoned"
    expected = [("agent", "desk", end), ("model", "desk", end if where == "turn" else "completed")]
    assert shown(rows) == [*expected, *([("tool", "refund_order", end)] if where == "approval" else [])]


async def test_forged_usage_is_not_counted(running: Desk):
    """A run's sums are what its worker reports. Values that can't be token counts or prices are shown, but not counted."""
    handle = await running.start("chat", [Turn(text="hello")])
    await handle.result()
    history = (await handle.fetch_history()).events
    for event in history:
        result = event.activity_task_completed_event_attributes.result.payloads
        if result:
            result[0].data = result[0].data.replace(b'"input_tokens":', b'"input_tokens":-')
    state, rows = folded("execution", [decode(history, pydantic_data_converter.payload_converter)])
    assert (state.usage, shown(rows)[1]) == ({}, ("model", "chatty", "completed"))
