"""How an agent's loop handles what a model answers: calls, faults, refusals, budgets, loops."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError

from agentgrid.domain.approvals import MAX_COMMENT
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule
from agentgrid.testing import Call, Fault, Turn
from agentgrid.testing.turns import Conversation
from tests.agents import desk
from tests.agents.conftest import UNCACHED_TOO, Desk, final, look

REFUND = Call("refund_order", {"order_id": "A1", "amount_cents": 700})
DONE = {"order_id": "A1", "refunded": True, "summary": "done"}


def seen(conversation: Conversation) -> list[str]:
    """What the model saw last: the messages after its own last message."""
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
    """The number of scheduled activities of this type."""
    history = await handle.fetch_history()
    return sum(
        event.activity_task_scheduled_event_attributes.activity_type.name == name
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    )


async def last_message(handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
    """The last message of the last model request in history."""
    calls = [
        json.loads(event.activity_task_scheduled_event_attributes.input.payloads[0].data)
        for event in (await handle.fetch_history()).events
        if event.activity_task_scheduled_event_attributes.activity_type.name.startswith("model.")
    ]
    message: dict[str, Any] = calls[-1]["messages"][-1]
    return message


async def markers(handle: WorkflowHandle[Any, Any], name: str) -> list[dict[str, Any]]:
    """The recorded results of this local activity."""
    every = [event.marker_recorded_event_attributes.details for event in (await handle.fetch_history()).events]
    recorded = [details for details in every if "data" in details and name.encode() in details["data"].payloads[0].data]
    return [json.loads(details["result"].payloads[0].data) for details in recorded]


async def held(handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
    """The recorded reason, once the run has paused itself."""
    async with asyncio.timeout(60):
        while not (holds := await markers(handle, "agentgrid.hold")):
            await asyncio.sleep(0.05)
    return holds[0]


async def test_calls_of_one_turn_run_at_once_and_each_answer_reaches_the_model(running: Desk):
    handle = await running.start(
        "chat", [Turn(calls=[look("A1"), look("B2"), look("missing")]), Turn(text="three looked up")]
    )
    assert await handle.result() == "three looked up"
    first, second, third = seen(running.requests_of(handle)[-1])
    assert [json.loads(first)["order_id"], json.loads(second)["order_id"]] == ["A1", "B2"]
    assert third == "ToolError: there is no such order"
    await running.replays(handle)


async def test_a_model_learns_what_it_got_wrong(running: Desk):
    script = [
        Turn(text="I think it is fine."),
        Turn(calls=[Call("get_order", {"order": "A1"}), Call("fly_to_the_moon", {}), Call("get_order", "{broken")]),
        final(order_id="A1", refunded="perhaps"),
        final(**DONE),
    ]
    handle = await running.start("help_desk", script)
    assert (await handle.result())["refunded"] is True
    requests = running.requests_of(handle)
    assert seen(requests[1]) == ["Call final_answer to give the answer."]
    wrong, unknown, broken = seen(requests[2])
    assert wrong.startswith("wrong arguments: order_id: Field required")
    assert unknown == "there is no tool 'fly_to_the_moon'"
    assert broken.startswith("wrong arguments")
    assert seen(requests[3])[0].startswith("the answer does not fit")
    assert await history_names(handle, "tool.get_order") == 0
    await running.replays(handle)


async def test_unusable_answers_end_the_agent(running: Desk):
    handle = await running.start("help_desk", lambda _: Turn(text="no JSON, never"))
    error = await failure(handle)
    assert (error.type, "8 invalid answers in a row" in error.message) == ("AgentFailed", True)
    assert len(running.requests_of(handle)) == 8


async def test_a_tool_outside_the_agents_list_is_denied_by_the_worker_and_recorded(running: Desk):
    script = [Turn(calls=[Call("delete_customer", {"customer_id": "C1"})]), final(**DONE)]
    handle = await running.start("help_desk", script)
    await handle.result()
    assert seen(running.requests_of(handle)[1]) == ["PolicyDenied: the agent desk may not use delete_customer"]
    assert await history_names(handle, "tool.delete_customer") == 1
    await running.replays(handle)


async def test_a_rejection_reaches_the_model_and_the_run_continues(running: Desk):
    handle = await running.start("help_desk", [Turn(calls=[REFUND]), final(**{**DONE, "refunded": False})])
    comment = "no " * (MAX_COMMENT // 3) + "!"
    await running.governance.reject(handle, comment=comment)
    assert (await handle.result())["refunded"] is False
    assert seen(running.requests_of(handle)[1]) == [
        f"ApprovalRejected: Refund an order: rejected by reviewer: {comment}"
    ]
    await running.replays(handle)


@pytest.mark.parametrize(
    ("cents", "outcome", "name"),
    [
        (500, {"result": "refunded 500"}, "ran_with"),
        (0, {"fault": "ToolError: there is nothing to pay back"}, "changed_to"),
    ],
)
async def test_the_model_sees_the_changed_call_that_ran_even_if_it_failed(
    running: Desk, cents: int, outcome: dict[str, Any], name: str
):
    handle = await running.start("help_desk", [Turn(calls=[REFUND]), final(**DONE)])
    arguments = {"order_id": "A1", "amount_cents": cents}
    await running.governance.approve(handle, comment="less", arguments=arguments)
    await handle.result()
    message = await last_message(handle)
    assert message.items() >= {**outcome, "approval": {"comment": "less", name: arguments}}.items()
    await running.replays(handle)


@UNCACHED_TOO
async def test_an_approved_call_runs_once(running: Desk):
    before = len(desk.REFUNDS)
    handle = await running.start("help_desk", [Turn(calls=[REFUND]), final(**DONE)])
    await running.governance.approve(handle)
    await handle.result()
    assert len(desk.REFUNDS) == before + 1
    await running.replays(handle)


async def test_a_rule_on_everything_requires_no_approval_of_model_turns(running: Desk):
    running.governance.change(rules=(Rule(rule_id="all", tool="*", effect=Effect.REQUIRE_APPROVAL),))
    try:
        handle = await running.start("chat", [Turn(text="nobody was asked")])
        assert await handle.result() == "nobody was asked"
    finally:
        running.governance.change(rules=())


async def test_the_next_model_is_tried_when_the_first_refuses(running: Desk):
    def script(conversation: Conversation) -> Turn:
        return Turn(fault=Fault.bad_request()) if conversation.model == "openai:first" else Turn(text="by the second")

    handle = await running.start("careful_work", script)
    assert await handle.result() == "by the second"
    assert [request.model for request in running.requests_of(handle)] == ["openai:first", "openai:second"]
    await running.replays(handle)


async def test_temporary_model_failures_are_retried_and_permanent_ones_end_the_agent(running: Desk):
    handle = await running.start("chat", [Turn(fault=Fault.server_error()), Turn(text="better")])
    assert await handle.result() == "better"
    handle = await running.start("careful_work", lambda _: Turn(fault=Fault.unauthorized()))
    error = await failure(handle)
    assert (error.type, "401" in error.message) == ("ModelError", True)


@UNCACHED_TOO
async def test_a_run_pauses_at_its_limit_and_resuming_it_grants_the_same_budget_again(running: Desk):
    script = [*(Turn(calls=[look(f"A{number}")]) for number in range(3)), Turn(text="four requests")]
    handle = await running.start("careful_work", script)
    hold = await held(handle)
    assert (hold["reason"], hold["detail"]) == ("budget_exceeded", "3 of 3 model requests")
    assert len(running.requests_of(handle)) == 3
    await running.resume(handle)
    assert await handle.result() == "four requests"
    assert len(running.requests_of(handle)) == 4
    await running.replays(handle)


@UNCACHED_TOO
async def test_at_the_soft_limit_the_run_requests_approval_to_raise_the_budget(running: Desk):
    script = [Turn(calls=[look("A1")]), Turn(calls=[look("B2")]), Turn(calls=[look("C3")]), Turn(text="raised")]
    handle = await running.start("thrifty_work", script)
    (terms,) = await running.governance.pending(handle)
    assert terms.title == "Raise the budget of thrifty"
    assert terms.shown["used"] == "2 of 4 model requests"
    await running.governance.approve(handle)
    assert await handle.result() == "raised"


async def test_an_agent_ends_if_its_budget_is_not_raised_when_a_call_needs_it(running: Desk):
    looks = [look(f"A{number}") for number in range(27)]
    handle = await running.start("thrifty_work", [Turn(calls=looks), Turn(text="never")])
    terms = await running.governance.reject(handle)
    assert terms.shown["used"] == "25 of 50 tool calls"
    error = await failure(handle)
    assert (error.type, "Raise the budget of thrifty" in error.message) == ("ApprovalRejected", True)
    assert len(running.requests_of(handle)) == 1
    await running.replays(handle)


async def test_an_agent_ends_if_its_budget_is_not_raised_when_agents_it_calls_need_it(running: Desk):
    """People are asked once, and the model does not see a failed call."""

    def script(conversation: Any) -> Turn:
        if "Let others" not in conversation.instructions:
            return Turn(calls=[look()])
        delegate = Call("chatty", {"prompt": conversation.prompt})
        return Turn(text="never") if conversation.results else Turn(calls=[delegate, delegate])

    handle = await running.start("thrifty_delegation", script)
    terms = await running.governance.reject(handle, comment="too dear")
    assert terms.shown["agent"] == "thrifty_lead"
    error = await failure(handle)
    assert (error.type, "too dear" in error.message) == ("ApprovalRejected", True)
    assert [request.instructions for request in running.requests_of(handle)].count(desk.thrifty_lead.instructions) == 1
    assert len(await markers(handle, "agentgrid.open_approval")) == 1
    await running.replays(handle)


async def test_invalid_text_ends_the_agent(running: Desk):
    """It must be an error of the agent: any other would fail the workflow task again and again."""
    half = "\ud800"
    states = [None, {"agent": "desk", "messages": [{"role": "user", "text": half}]}]
    for prompt, state in zip((half, "A1"), states, strict=True):
        handle = await running.client.start_workflow(
            "half_a_pair",
            [json.dumps(prompt), json.dumps(state)],
            id=uuid.uuid4().hex,
            task_queue=running.queue,
            run_timeout=timedelta(seconds=20),
        )
        error = await failure(handle)
        assert error.type == "AgentFailed"
        assert ("not valid text" if state is None else "can't be represented in JSON") in error.message
        await running.replays(handle)


async def test_an_agent_in_a_loop_pauses_its_run(running: Desk):
    def script(conversation: Conversation) -> Turn:
        return Turn(calls=[look("missing")]) if len(conversation.results) < 8 else final(**DONE)

    handle = await running.start("help_desk", script)
    hold = await held(handle)
    assert (hold["reason"], hold["detail"]) == ("loop", "it made the same call 6 times, with the same results")
    assert len(running.requests_of(handle)) == 6
    await running.resume(handle)
    await handle.result()
    await running.replays(handle)


@pytest.mark.parametrize("where", ["turn", "approval"])
async def test_a_cancelled_run_is_cancelled_and_its_agent_with_it(running: Desk, where: str):
    slow = Turn(text="late", delay_seconds=30)
    handle = await running.start("help_desk", [slow if where == "turn" else Turn(calls=[REFUND])])
    if where == "turn":
        async with asyncio.timeout(60):
            while not running.requests_of(handle):
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
        assert running.requests_of(handle) == []
    finally:
        running.governance.change(disabled={})


async def test_concurrent_agents_do_not_affect_each_other(running: Desk):
    running.scripts["one"] = [Turn(calls=[look("A1")]), Turn(text="first")]
    running.scripts["two"] = [Turn(calls=[look("B2")]), Turn(text="second")]
    handle = await running.client.start_workflow(
        "two_at_once", ["one", "two"], id=f"two-{running.queue}", task_queue=running.queue
    )
    assert await handle.result() == ["first", "second"]
    await running.replays(handle)
