"""The provider for tests, used through the installed clients: conversations, usage, streams."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from agentgrid.testing.provider import Provider
from agentgrid.testing.turns import Call, Conversation, Fault, TokenCounts, Turn
from tests.testing.clients import MODELS, anthropic, ask, model, openai, prompt, results

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

USAGE = TokenCounts(input_tokens=1000, output_tokens=50, cached_tokens=400)
TWO_CALLS = Turn(
    text="Let me look.",
    calls=[Call("get_order", {"order_id": "A1"}), Call("search", {"query": "the café’s 5 % rule"})],
    usage=USAGE,
)
HELLO: list[Any] = [{"role": "user", "content": "hello"}]


def from_results(conversation: Conversation) -> Turn:
    """Makes two calls, then answers through a tool with their results, then says goodbye."""
    match conversation.turn:
        case 0:
            return TWO_CALLS
        case 1:
            order, search = conversation.results
            answer = (
                f"{order.value['state']}, {search.value['rule']}, {conversation.prompt}, {conversation.instructions}"
            )
            return Turn(calls=[Call("final_result", {"answer": answer})])
    return Turn(text=f"Goodbye: {conversation.results[-1].text}")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("protocol", MODELS)
async def test_a_conversation_with_parallel_calls_and_a_structured_answer(protocol: str, stream: bool) -> None:
    async with Provider(from_results) as provider:
        llm = model(provider, protocol)
        messages: list[ModelMessage] = [prompt("where?", instructions="Be brief.")]

        first = await ask(llm, messages, stream=stream)
        assert first.text == "Let me look."
        assert [(call.tool_name, call.args_as_dict()) for call in first.tool_calls] == [
            (call.name, call.arguments) for call in TWO_CALLS.calls
        ]
        messages += [first, results(first, {"get_order": {"state": "shipped"}, "search": {"rule": "a rule"}})]
        second = await ask(llm, messages, stream=stream)
        assert [(call.tool_name, call.args_as_dict()) for call in second.tool_calls] == [
            ("final_result", {"answer": "shipped, a rule, where?, Be brief."})
        ]
        messages += [second, results(second, {"final_result": "noted"})]
        third = await ask(llm, messages, stream=stream)
        assert (third.text, third.tool_calls) == ("Goodbye: noted", [])

        seen = [(r.protocol, r.stream, r.turn, r.attempt, r.answered, r.client_retry) for r in provider.requests]
        streamed = stream or protocol == "messages"  # pydantic-ai always streams from Anthropic
        assert seen == [(protocol, streamed, turn, 1, True, 0) for turn in range(3)]
        assert provider.requests[0].tools == ("get_order", "search", "final_result")
        assert [message.role for message in provider.requests[1].messages][-3:] == ["assistant", "tool", "tool"]
        assert (
            sum((response.usage.input_tokens for response in (first, second, third)), 0) == provider.billed.input_tokens
        )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("protocol", MODELS)
async def test_usage_is_exact_and_has_a_price(protocol: str, stream: bool) -> None:
    usage = TokenCounts(input_tokens=100_000, output_tokens=2_000, cached_tokens=40_000)
    async with Provider([Turn(text="Hello.", usage=usage)]) as provider:
        response = await ask(model(provider, protocol), [prompt("hello")], stream=stream)

    got = response.usage
    assert (got.input_tokens, got.cache_read_tokens, got.output_tokens) == (100_000, 40_000, 2_000)
    expected = {"anthropic": Decimal("0.222"), "openai": Decimal("0.0312")}[response.provider_name or ""]
    assert response.cost().total_price == expected
    assert provider.billed == usage


async def test_each_protocol_reports_usage_in_its_own_way() -> None:
    async with Provider([TWO_CALLS]) as provider:
        chat, claude = openai(provider), anthropic(provider)
        bare = await chat.chat.completions.create(model="m", messages=HELLO, stream=True)
        assert [chunk.usage async for chunk in bare if chunk.usage] == []
        counted = await chat.chat.completions.create(
            model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        *others, last = [chunk async for chunk in counted]
        assert not any(chunk.usage for chunk in others)
        assert (last.choices, last.usage and last.usage.total_tokens) == ([], 1050)

        async with chat.responses.stream(model="m", input="hello") as responding:
            names = [event.type async for event in responding]
            response = await responding.get_final_response()
        assert (names[0], names[-1]) == ("response.created", "response.completed")
        assert names.count("response.function_call_arguments.delta") == 4
        assert response.usage is not None
        assert (response.usage.input_tokens, response.usage.input_tokens_details.cached_tokens) == (1000, 400)

        async with claude.messages.stream(model="m", max_tokens=9, messages=HELLO) as streaming:
            events = [event async for event in streaming]
            message = await streaming.get_final_message()
        starts = next(event for event in events if event.type == "message_start")
        assert (starts.message.usage.input_tokens, starts.message.usage.output_tokens) == (600, 1)
        assert (message.usage.input_tokens, message.usage.cache_read_input_tokens, message.usage.output_tokens) == (
            600,
            400,
            50,
        )
        assert [block.type for block in message.content] == ["text", "tool_use", "tool_use"]
        assert message.stop_reason == "tool_use"
        whole = await claude.messages.create(model="m", max_tokens=9, messages=HELLO)
        assert whole.to_dict() | {"id": message.id} == message.to_dict() | {"id": message.id}
        assert [request.billed for request in provider.requests] == [USAGE] * 5


async def test_the_models_are_listed_and_others_are_refused() -> None:
    async with Provider([Turn(text="hello")], models=["small"]) as provider:
        assert [model.id async for model in await _listed(openai(provider))] == ["small"]
        assert [model.id async for model in await _listed(anthropic(provider))] == ["small"]
        with pytest.raises(Exception, match="doesn't exist") as refused:
            await openai(provider).responses.create(model="large", input="hello")
        assert (refused.value.status_code, refused.value.code) == (404, "model_not_found")  # type: ignore[attr-defined]


async def _listed(client: Any) -> Any:
    return await client.models.list()


async def test_an_answer_at_the_token_limit_is_marked_as_truncated() -> None:
    async with Provider([Turn(text="Hel", truncated=True)]) as provider:
        chat = await openai(provider).chat.completions.create(model="m", messages=HELLO)
        response = await openai(provider).responses.create(model="m", input="hello")
        message = await anthropic(provider).messages.create(model="m", max_tokens=1, messages=HELLO)
    assert chat.choices[0].finish_reason == "length"
    assert (response.status, response.incomplete_details and response.incomplete_details.reason) == (
        "incomplete",
        "max_output_tokens",
    )
    assert message.stop_reason == "max_tokens"


async def test_a_list_answers_by_position_in_the_conversation_and_attempts_use_up_its_faults() -> None:
    script = [
        Turn(fault=Fault.rate_limited()),
        Turn(fault=Fault.server_error()),
        Turn(calls=[Call("search", {"query": "x"})]),
        Turn(text="done"),
        Turn(fault=Fault.unauthorized()),
    ]
    async with Provider(script) as provider:

        async def status(*messages: dict[str, Any]) -> Any:
            raw = openai(provider).chat.completions.with_raw_response
            try:
                answered = (await raw.create(model="m", messages=[*HELLO, *messages])).parse()
            except Exception as error:
                return error.status_code  # type: ignore[attr-defined]
            return answered.choices[0].message.model_dump(exclude_none=True)

        assert [await status(), await status()] == [429, 500]
        called, again = await status(), await status()
        assert called == again, "a retry gets the same answer, ids included"
        call_id = called["tool_calls"][0]["id"]
        found = {"role": "tool", "tool_call_id": call_id, "content": "found"}
        assert (await status(called, found))["content"] == "done"
        end = [called, found, {"role": "assistant", "content": "done"}, {"role": "user", "content": "more"}]
        assert [await status(*end), await status(*end)] == [401, 401]
        assert await status(*end, {"role": "assistant", "content": "x"}) == 400
        assert provider.requests[-1].error == "the script has 2 turns, and this conversation needs turn 4: add a turn"
        assert [request.attempt for request in provider.requests] == [1, 2, 3, 4, 1, 1, 2, 1]


async def test_a_script_may_wait_and_its_exception_fails_the_test() -> None:
    go = asyncio.Event()

    async def script(conversation: Conversation) -> Turn:
        if conversation.prompt == "raise":
            raise LookupError("no such order")
        await go.wait()
        return Turn(text="went")

    async def talk() -> None:
        async with Provider(script) as provider:
            client = openai(provider)
            waiting = asyncio.create_task(client.responses.create(model="m", input="hello"))
            await provider.wait(lambda requests: len(requests) == 1)
            assert provider.requests[0].billed is None
            go.set()
            assert (await waiting).output_text == "went"
            with pytest.raises(Exception, match="the script raised LookupError: no such order"):
                await client.responses.create(model="m", input="raise")

    with pytest.raises(LookupError, match="no such order"):
        await talk()
