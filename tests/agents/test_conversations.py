"""What an agent's loop does with what a model says: work, faults, refusals, budgets, loops."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError

from agentgrid.domain.policies import Effect, Rule
from agentgrid.testing import Call, Fault, Turn
from agentgrid.testing.turns import Conversation
from tests.agents import desk
from tests.agents.conftest import UNCACHED_TOO, Desk, final, look

REFUND = Call("refund_order", {"order_id": "A1", "amount_cents": 700})
DONE = {"order_id": "A1", "refunded": True, "summary": "done"}


def told(conversation: Conversation) -> list[str]:
    """What the model was told last: the messages after its own last one."""
    texts: list[str] = []
    for message in reversed(conversation.messages):
        if message.role == "assistant":
            break
        texts.insert(0, message.text)
    return texts


async def failure(handle: WorkflowHandle[Any, Any]) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as raised:
        await handle.result()
    assert isinstance(raised.value.cause, ApplicationError)
    return raised.value.cause


async def history_names(handle: WorkflowHandle[Any, Any], name: str) -> int:
    """How many activities of this type were scheduled."""
    history = await handle.fetch_history()
    return sum(
        event.activity_task_scheduled_event_attributes.activity_type.name == name
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    )


async def held(handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
    """The recorded reason, once the run has paused by itself."""
    async with asyncio.timeout(20):
        while True:
            for event in (await handle.fetch_history()).events:
                details = event.marker_recorded_event_attributes.details
                if "data" in details and b"agentgrid.hold" in details["data"].payloads[0].data:
                    found: dict[str, Any] = json.loads(details["result"].payloads[0].data)
                    return found
            await asyncio.sleep(0.05)


async def test_calls_of_one_turn_run_at_once_and_each_answer_reaches_the_model(running: Desk):
    handle = await running.start(
        "chat", [Turn(calls=[look("A1"), look("B2"), look("missing")]), Turn(text="three looked up")]
    )
    assert await handle.result() == "three looked up"
    first, second, third = told(running.asked(handle)[-1])
    assert [json.loads(first)["order_id"], json.loads(second)["order_id"]] == ["A1", "B2"]
    assert third == "ToolError: there is no such order"
    await running.replays(handle)


async def test_what_a_model_gets_wrong_is_told_to_it(running: Desk):
    script = [
        Turn(text="I think it is fine."),
        Turn(calls=[Call("get_order", {"order": "A1"}), Call("fly_to_the_moon", {}), Call("get_order", "{broken")]),
        final(order_id="A1", refunded="perhaps"),
        final(**DONE),
    ]
    handle = await running.start("help_desk", script)
    assert (await handle.result())["refunded"] is True
    asked = running.asked(handle)
    assert told(asked[1]) == ["Call final_answer to give the answer."]
    wrong, unknown, broken = told(asked[2])
    assert wrong.startswith("wrong arguments: order_id: Field required")
    assert unknown == "there is no tool 'fly_to_the_moon'"
    assert broken.startswith("wrong arguments")
    assert told(asked[3])[0].startswith("the answer does not fit")
    assert await history_names(handle, "tool.get_order") == 0
    await running.replays(handle)


async def test_answers_that_cannot_be_used_end_the_agent(running: Desk):
    handle = await running.start("help_desk", lambda _: Turn(text="no JSON, never"))
    error = await failure(handle)
    assert (error.type, "8 answers in a row" in error.message) == ("AgentFailed", True)
    assert len(running.asked(handle)) == 8


async def test_a_tool_that_is_not_the_agents_is_denied_by_the_worker_and_on_record(running: Desk):
    script = [Turn(calls=[Call("delete_customer", {"customer_id": "C1"})]), final(**DONE)]
    handle = await running.start("help_desk", script)
    await handle.result()
    assert told(running.asked(handle)[1]) == ["PolicyDenied: the agent desk may not use delete_customer"]
    assert await history_names(handle, "tool.delete_customer") == 1
    await running.replays(handle)


async def test_a_rejected_call_is_told_to_the_model_and_the_run_goes_on(running: Desk):
    handle = await running.start("help_desk", [Turn(calls=[REFUND]), final(**{**DONE, "refunded": False})])
    await running.governance.reject(handle)
    assert (await handle.result())["refunded"] is False
    assert told(running.asked(handle)[1])[0].startswith("ApprovalRejected: Refund an order: rejected by reviewer")
    await running.replays(handle)


@UNCACHED_TOO
async def test_an_approved_call_runs_once(running: Desk):
    before = len(desk.REFUNDS)
    handle = await running.start("help_desk", [Turn(calls=[REFUND]), final(**DONE)])
    await running.governance.approve(handle)
    await handle.result()
    assert len(desk.REFUNDS) == before + 1
    await running.replays(handle)


async def test_a_rule_on_everything_asks_for_no_model_turn(running: Desk):
    running.governance.change(rules=(Rule(rule_id="all", tool="*", effect=Effect.REQUIRE_APPROVAL),))
    try:
        handle = await running.start("chat", [Turn(text="nobody was asked")])
        assert await handle.result() == "nobody was asked"
    finally:
        running.governance.change(rules=())


async def test_the_next_model_is_asked_when_the_first_refuses(running: Desk):
    def script(conversation: Conversation) -> Turn:
        return Turn(fault=Fault.bad_request()) if conversation.model == "openai:first" else Turn(text="by the second")

    handle = await running.start("careful_work", script)
    assert await handle.result() == "by the second"
    assert [each.model for each in running.asked(handle)] == ["openai:first", "openai:second"]
    await running.replays(handle)


async def test_a_model_that_fails_for_a_while_is_asked_again_and_one_that_fails_for_good_ends_the_agent(running: Desk):
    handle = await running.start("chat", [Turn(fault=Fault.server_error()), Turn(text="better")])
    assert await handle.result() == "better"
    handle = await running.start("careful_work", lambda _: Turn(fault=Fault.unauthorized()))
    error = await failure(handle)
    assert (error.type, "401" in error.message) == ("ModelError", True)


@UNCACHED_TOO
async def test_at_its_limit_the_run_pauses_and_a_person_who_resumes_it_grants_as_much_again(running: Desk):
    script = [*(Turn(calls=[look(f"A{number}")]) for number in range(3)), Turn(text="four requests")]
    handle = await running.start("careful_work", script)
    hold = await held(handle)
    assert (hold["reason"], hold["detail"]) == ("budget_exceeded", "3 of 3 model requests")
    assert len(running.asked(handle)) == 3
    await running.resume(handle)
    assert await handle.result() == "four requests"
    assert len(running.asked(handle)) == 4
    await running.replays(handle)


@UNCACHED_TOO
async def test_at_the_soft_limit_people_are_asked_to_raise_the_budget(running: Desk):
    script = [Turn(calls=[look("A1")]), Turn(calls=[look("B2")]), Turn(calls=[look("C3")]), Turn(text="raised")]
    handle = await running.start("thrifty_work", script)
    (terms,) = await running.governance.pending(handle)
    assert terms.title == "Raise the budget of thrifty"
    assert terms.shown["used"] == "2 of 4 model requests"
    await running.governance.approve(handle)
    assert await handle.result() == "raised"
    await running.replays(handle)


async def test_an_agent_in_a_loop_pauses_its_run(running: Desk):
    def script(conversation: Conversation) -> Turn:
        return Turn(calls=[look("missing")]) if len(conversation.results) < 8 else final(**DONE)

    handle = await running.start("help_desk", script)
    hold = await held(handle)
    assert (hold["reason"], hold["detail"]) == ("loop", "it made the same call 6 times, with the same results")
    assert len(running.asked(handle)) == 6
    await running.resume(handle)
    await handle.result()
    await running.replays(handle)


@pytest.mark.parametrize("where", ["turn", "approval"])
async def test_a_cancelled_run_is_cancelled_and_its_agent_with_it(running: Desk, where: str):
    slow = Turn(text="late", delay_seconds=30)
    handle = await running.start("help_desk", [slow if where == "turn" else Turn(calls=[REFUND])])
    if where == "turn":
        async with asyncio.timeout(20):
            while not running.asked(handle):
                await asyncio.sleep(0.05)
    else:
        await running.governance.pending(handle)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as raised:
        await handle.result()
    assert isinstance(raised.value.cause, CancelledError)
    await running.replays(handle)


@UNCACHED_TOO
async def test_the_kill_switch_stops_an_agent_at_its_next_step(running: Desk):
    handle = await running.start("help_desk", [Turn(calls=[REFUND]), final(**DONE)])
    await running.governance.pending(handle)
    running.governance.change(disabled={"agent": frozenset({"desk"})})
    try:
        await running.governance.approve(handle)
        error = await failure(handle)
        assert (error.type, error.message) == (
            "PolicyDenied",
            "desk: PolicyDenied: the agent desk is disabled by its kill switch",
        )
        handle = await running.start("help_desk", [final(**DONE)])
        assert (await failure(handle)).type == "AgentDisabled"
        assert running.asked(handle) == []
    finally:
        running.governance.change(disabled={})


async def test_agents_that_run_at_once_keep_apart(running: Desk):
    running.scripts["one"] = [Turn(calls=[look("A1")]), Turn(text="first")]
    running.scripts["two"] = [Turn(calls=[look("B2")]), Turn(text="second")]
    handle = await running.client.start_workflow(
        "two_at_once", ["one", "two"], id=f"two-{running.queue}", task_queue=running.queue
    )
    assert await handle.result() == ["first", "second"]
    await running.replays(handle)
