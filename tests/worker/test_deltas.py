"""Streaming a model's answer to people watching: the answer stays the same, and nothing happens if nobody watches."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from agentgrid.domain.agents import ModelCall
from agentgrid.domain.deltas import MAX_TEXT, watch_mark
from agentgrid.domain.secrets import known
from agentgrid.testing import Call, Fault, Turn
from agentgrid.testing.provider import Provider
from agentgrid.testing.turns import TokenCounts
from agentgrid.worker import models
from agentgrid.worker.deltas import DeltaPart, DeltaSender, TurnDeltas, Watched
from agentgrid.worker.model_requests import ModelTool

MODELS = ["openai:gpt-4.1-mini", "openai-chat:gpt-4.1-mini", "anthropic:claude-sonnet-4-5"]
CALL = ModelCall(
    agent="desk",
    version="v1",
    call="key",
    turn=1,
    model="m",
    instructions="Be brief.",
    tools=["get_order"],
    messages=[{"role": "user", "text": "where is A1?"}],
)
OFFER = ModelTool(name="get_order", description="Find it.", input_schema={"type": "object", "properties": {}})


class Listener:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.tools: list[str] = []

    def text(self, text: str) -> None:
        self.texts.append(text)

    def tool(self, name: str) -> None:
        self.tools.append(name)


@pytest.mark.parametrize("model", MODELS)
async def test_a_streamed_answer_is_the_same_with_the_same_usage_and_price(monkeypatch: pytest.MonkeyPatch, model: str):
    turn = Turn(
        text="Let me look that up for you, it takes a moment.",
        calls=[Call("get_order", {"order_id": "A1"}, id="call_1"), Call("get_order", {"order_id": "B2"}, id="call_2")],
        usage=TokenCounts(input_tokens=1_000, output_tokens=50, cached_tokens=400),
    )
    heard = Listener()
    async with Provider(lambda _: turn) as provider:
        for name, value in provider.environment.items():
            monkeypatch.setenv(name, value)
        whole = await models.loaded(model).answer(CALL, [OFFER], None)
        streamed = await models.loaded(model).stream(CALL, [OFFER], None, heard)
        billed = [request.billed for request in provider.requests]
    for answer in (whole, streamed):
        # The provider generates a new id for each response.
        assert answer.message.pop("provider_response_id")
        for part in answer.message["parts"]:
            part.pop("id", None)
    assert streamed == whole
    assert streamed.usage.usd is not None
    assert "".join(heard.texts) == turn.text
    assert len(heard.texts) > 1
    assert heard.tools == ["get_order", "get_order"]
    assert billed[0] == billed[1]


@pytest.mark.parametrize("model", MODELS)
async def test_a_broken_stream_is_a_failed_request_without_a_partial_answer(
    monkeypatch: pytest.MonkeyPatch, model: str
):
    turn = Turn(text="This sentence never ends because the line is cut.", fault=Fault.cut(after=0.5))
    async with Provider(lambda _: turn) as provider:
        for name, value in provider.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ApplicationError) as raised:
            await models.loaded(model).stream(CALL, [OFFER], None, Listener())
    assert (raised.value.type, raised.value.non_retryable) == ("ModelError", False)


async def test_without_a_watcher_there_is_no_listener():
    watched, sent = Watched(), []
    deltas = DeltaSender(watched, sent.append)
    environment = ActivityEnvironment()

    async def begin() -> Any:
        return deltas.begin(CALL)

    assert await environment.run(begin) is None
    watched.note(watch_mark(environment.info.workflow_id or ""))
    assert await environment.run(begin) is not None


async def test_a_secret_is_hidden_wherever_the_stream_cuts_it():
    sent: list[DeltaPart] = []
    secret = "tok-5f3a9c7e1b"
    known.learn("CANARY", secret)
    try:
        turn = TurnDeltas(CALL, "e", 1, sent.append)
        for character in f"before {secret} after" + "." * 3 * MAX_TEXT:
            turn.text(character)
        turn.tool("get_order")
        turn.tool(f"use_{secret}")
        turn.end()
    finally:
        known.forget("CANARY", secret)
    whole = "".join(delta.text for delta in sent)
    assert whole == "before <secret CANARY> after" + "." * 3 * MAX_TEXT
    assert all(len(delta.text) <= MAX_TEXT for delta in sent)
    assert [delta.sequence for delta in sent] == list(range(1, len(sent) + 1))
    assert [tool for delta in sent for tool in delta.tools] == ["get_order", "use_?secret?CANARY?"]
