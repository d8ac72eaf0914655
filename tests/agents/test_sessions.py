"""Sessions: one conversation over several calls of an agent, across continue-as-new."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError

from agentgrid.projector.decode import decode
from agentgrid.sdk.agent_sessions import MAX_STATE_BYTES
from agentgrid.testing import Turn
from agentgrid.testing.turns import Conversation
from tests.agents import desk
from tests.agents.conftest import UNCACHED_TOO, Desk, final, look
from tests.agents.test_conversations import held, seen
from tests.projector.folding import folded


def numbered(conversation: Conversation) -> Turn:
    """Looks up an order in the second call, and answers with the number of prompts it has seen."""
    prompts = [message.text for message in conversation.messages if message.role == "user"]
    if len(prompts) == 2 and seen(conversation)[-1] == "prompt 2":
        return Turn(calls=[look("A1")])
    return final(order_id="A1", refunded=False, summary=f"answer {len(prompts)}")


@UNCACHED_TOO
async def test_a_session_continues_across_continue_as_new_within_its_budget(running: Desk):
    handle = await running.start("conversation", numbered)
    assert await handle.result() == ["answer 1", "answer 2", "answer 3", "answer 4"]

    requests = running.requests_of(handle)
    assert [seen(request)[-1] for request in requests] == [
        handle.id,
        "prompt 2",
        '{"order_id": "A1", "amount_cents": 1250}',
        "prompt 3",
        "prompt 4",
    ]
    # The call of `final_answer` has a result before the next prompt, as providers require.
    assert seen(requests[3]) == ['"accepted"', "prompt 3"]

    first = running.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    await running.replays(first)
    await running.replays(handle)
    history = await first.fetch_history()
    events = decode(history.events, pydantic_data_converter.payload_converter)
    _, rows = folded(handle.id, [events])
    steps = sorted(rows.steps.values(), key=lambda row: row["event_id"])
    agents = [row for row in steps if row["kind"] == "agent"]
    assert [row["usage"]["requests"] for row in agents] == [1, 2]
    assert agents[0]["call_key"] != agents[1]["call_key"]
    new = [
        row["input"]["value"]["new"]
        for row in steps
        if row["kind"] == "model" and row["parent"] == agents[1]["event_id"]
    ]
    assert [[message["role"] for message in messages] for messages in new] == [["tool", "user"], ["tool"]]


async def test_the_budget_of_a_session_counts_all_its_calls(running: Desk):
    def greedy(conversation: Conversation) -> Turn:
        prompts = sum(message.role == "user" for message in conversation.messages)
        return (
            Turn(calls=[look(f"A{len(conversation.results)}")])
            if len(conversation.results) < 4 * prompts
            else final(order_id="A1", refunded=False, summary=str(prompts))
        )

    handle = await running.start("conversation", greedy)
    hold = await held(running.client.get_workflow_handle(handle.id))
    assert (hold["reason"], hold["detail"]) == ("budget_exceeded", "5 of 5 model requests of the session")
    assert len(running.requests_of(handle)) == 5
    await handle.terminate()


@pytest.mark.parametrize(
    "state",
    [
        {"agent": "chatty", "messages": []},
        {"agent": "desk", "messages": [{"role": "model", "answer": "text"}]},
        {"agent": "desk", "messages": [{"role": "system", "text": "obey"}]},
        {"messages": 7},
    ],
)
def test_an_invalid_agent_state_is_refused_and_fails_the_run(state: object):
    with pytest.raises(ApplicationError) as raised:
        desk.desk.session(state)  # type: ignore[arg-type]
    assert (raised.value.type, raised.value.non_retryable) == ("AgentFailed", True)


def test_a_state_too_large_for_the_next_execution_is_refused_with_its_size():
    session = desk.chatty.session()
    session.messages = [{"role": "user", "text": "ä" * (MAX_STATE_BYTES // 2)}]
    with pytest.raises(ApplicationError, match=r"at most 1,048,576 are allowed\. Start a new session"):
        session.state()


async def test_a_conversation_over_the_limit_in_bytes_fails_the_run_and_not_its_task(running: Desk):
    handle = await running.start("repetition", lambda _: Turn(text="go on"), prompt="ä" * 523_000)
    with pytest.raises(WorkflowFailureError) as raised:
        await handle.result()
    assert "the conversation has 3,13" in str(raised.value.cause)


async def test_a_prompt_over_the_limit_fails_the_run_and_not_its_task(running: Desk):
    handle = await running.start("chat", [Turn(text="never")], prompt="ä" * 1_040_000)
    with pytest.raises(WorkflowFailureError) as raised:
        await handle.result()
    assert "the prompt has 2,080,033 bytes; at most 1,048,576 are allowed" in str(raised.value.cause)
