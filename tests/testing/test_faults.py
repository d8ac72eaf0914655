"""Provider failures, as clients see them and as the provider records them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentgrid.testing.ledger import RequestState, billed, read_log
from agentgrid.testing.provider import Provider
from agentgrid.testing.service import ProviderLimits
from agentgrid.testing.turns import Fault, TokenCounts, Turn
from tests.testing.clients import KEY, MODELS, anthropic, ask, errors, model, openai, prompt

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
USAGE = TokenCounts(input_tokens=70, output_tokens=7)
LONG = "one two three four five six seven eight nine ten"


async def send(provider: Provider, protocol: str, *, stream: bool = False, **options: Any) -> Any:
    """Send a request with the protocol's own client. For a stream, returns what was received."""
    if protocol == "messages":
        answer = await anthropic(provider, **options).messages.create(
            model="m", max_tokens=9, messages=HELLO, stream=stream
        )
    elif protocol == "chat":
        answer = await openai(provider, **options).chat.completions.create(model="m", messages=HELLO, stream=stream)
    else:
        answer = await openai(provider, **options).responses.create(model="m", input="hello", stream=stream)
    return answer


async def receive(provider: Provider, protocol: str, received: list[Any], *, stream: bool) -> None:
    async for event in await send(provider, protocol, stream=stream):
        received.append(event)


@pytest.mark.parametrize("protocol", MODELS)
@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        (Fault.rate_limited(retry_after=2), "RateLimitError", 429),
        (Fault.bad_request("too long", "context_length_exceeded"), "BadRequestError", 400),
        (Fault.unauthorized(), "AuthenticationError", 401),
        (Fault.server_error(), "InternalServerError", 500),
    ],
    ids=["429", "400", "401", "500"],
)
async def test_a_refusal_raises_the_clients_own_error_and_is_not_billed(
    protocol: str, fault: Fault, error: str, status: int
) -> None:
    async with Provider([Turn(fault=fault)]) as provider:
        for stream in (False, True):
            with pytest.raises(getattr(errors(protocol), error), match=fault.message) as raised:
                await send(provider, protocol, stream=stream)
            assert raised.value.response.headers.get("retry-after") == ("2" if status == 429 else None)
        assert [(r.state, r.status, r.billed) for r in provider.requests] == [(RequestState.REFUSED, status, None)] * 2


@pytest.mark.parametrize("protocol", MODELS)
async def test_a_slow_answer_times_out_and_is_recorded_as_abandoned(protocol: str) -> None:
    async with Provider([Turn(text="late", delay_seconds=60, usage=USAGE)]) as provider:
        with pytest.raises(errors(protocol).APITimeoutError):
            await send(provider, protocol, timeout=0.3)
        (request,) = await provider.wait(lambda requests: [r.state for r in requests] == [RequestState.ABANDONED])
        assert (request.answered, request.billed) == (False, USAGE)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("protocol", MODELS)
async def test_a_connection_dropped_midway_raises_an_error_after_part_of_the_answer(
    protocol: str, stream: bool
) -> None:
    from pydantic_ai.exceptions import ModelAPIError

    cut = Turn(text=LONG, fault=Fault.cut(), usage=USAGE)
    async with Provider([cut, Turn(text=LONG, usage=USAGE)]) as provider:
        received: list[Any] = []
        with pytest.raises(Exception) as raised:
            await receive(provider, protocol, received, stream=stream)
        assert "without sending complete message body" in f"{raised.value!r} {raised.value.__cause__!r}"
        assert (len(received) >= 3) is stream
        with pytest.raises(ModelAPIError):
            await ask(model(provider, protocol), [prompt("other")], stream=stream)

        whole = await ask(model(provider, protocol), [prompt("other")], stream=stream)
        assert whole.text == LONG
        assert [request.state for request in provider.requests] == [
            RequestState.CUT,
            RequestState.CUT,
            RequestState.ANSWERED,
        ]
        assert provider.billed == USAGE + USAGE + USAGE, "cut answers are billed too"


async def test_a_connection_can_be_dropped_before_the_first_byte() -> None:
    async with Provider([Turn(fault=Fault.cut(after=0))]) as provider:
        with pytest.raises(errors("chat").APIConnectionError) as raised:
            await send(provider, "chat")
        assert "without sending a response" in repr(raised.value.__cause__)


async def test_stopping_the_provider_drops_requests_in_flight() -> None:
    async with Provider([Turn(text="late", delay_seconds=60)]) as provider:
        waiting = asyncio.create_task(send(provider, "responses"))
        await provider.wait(lambda requests: len(requests) == 1)
    with pytest.raises(errors("responses").APIConnectionError):
        await waiting
    assert [request.state for request in provider.requests] == [RequestState.CUT]


CLIENT = """
import http.client, json, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
for text in sys.argv[2:]:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "stream": True}
    head = {"content-type": "application/json", "authorization": "Bearer sk-canary-0123456789"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), head)
    connection.getresponse().read()
"""


async def test_the_log_is_complete_when_the_client_is_killed_in_the_middle_of_a_stream(tmp_path: Path) -> None:
    log = tmp_path / "provider.jsonl"
    slow = Turn(text=LONG, usage=USAGE, pause_seconds=60)

    def script(conversation: Any) -> Turn:
        return slow if conversation.prompt == "slow" else Turn(text="quick", usage=USAGE)

    async with Provider(script, log=log) as provider:
        arguments = [sys.executable, "-c", CLIENT, provider.url.rpartition(":")[2], "quick", "slow"]
        client = await asyncio.create_subprocess_exec(*arguments)
        try:
            await provider.wait(
                lambda requests: [r.state for r in requests] == [RequestState.ANSWERED, RequestState.ANSWERING]
            )
            assert read_log(log) == list(provider.requests), "on record before the response has ended"
        finally:
            client.kill()
            await client.wait()
        await provider.wait(lambda requests: requests[1].state is RequestState.ABANDONED)
        assert read_log(log) == list(provider.requests)

    # A killed provider may leave a partial line; the next one appends to the file.
    log.write_text(log.read_text() + '{"number": 2, "sta')
    async with Provider([Turn(text="next", usage=USAGE)], log=log) as provider:
        await send(provider, "messages")
    records = read_log(log)
    assert [(r.number, r.state) for r in records] == [
        (1, RequestState.ANSWERED),
        (2, RequestState.ABANDONED),
        (3, RequestState.ANSWERED),
    ]
    assert billed(records) == USAGE + USAGE + USAGE
    assert all(request.key_given for request in records)
    assert KEY not in log.read_text()


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        (
            "chat/completions",
            {"messages": [*HELLO, {"role": "tool", "tool_call_id": "x", "content": ""}]},
            "matches no pending tool call",
        ),
        (
            "responses",
            {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]},
            "lacks results for the calls c",
        ),
        (
            "messages",
            {
                "max_tokens": 9,
                "messages": [
                    *HELLO,
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
                    *HELLO,
                ],
            },
            "lacks results for the calls t",
        ),
        ("messages", {"messages": HELLO}, "max_tokens: Field required"),
        ("responses", {"input": "hello", "previous_response_id": "resp_1"}, "stores no responses"),
        (
            "chat/completions",
            {"messages": HELLO, "tools": [{"type": "function", "function": {"name": "get.order"}}]},
            "name: String should match",
        ),
        ("chat/completions", {"messages": [{"role": "user", "content": "x" * 5000}]}, "larger than 4096 bytes"),
    ],
    ids=["lone result", "lost result", "late result", "no limit", "stateful", "name", "size"],
)
async def test_requests_that_real_providers_refuse_are_refused(path: str, body: dict[str, Any], why: str) -> None:
    async with (
        Provider([Turn(text="hello")], limits=ProviderLimits(max_body_bytes=4096)) as provider,
        httpx.AsyncClient(base_url=provider.base_url, headers={"x-api-key": "k"}) as client,
    ):
        refused = await client.post(f"/{path}", json={"model": "m", **body})
        assert refused.status_code in (400, 413)
        assert why in refused.json()["error"]["message"]
        assert provider.requests == ()


async def test_requests_need_a_local_client_a_key_and_an_acceptable_size() -> None:
    async with (
        Provider([Turn(text="hello")], limits=ProviderLimits(max_requests=1)) as provider,
        httpx.AsyncClient(base_url=provider.base_url) as client,
    ):
        body = {"model": "m", "input": "hello"}
        assert (await client.post("/responses", json=body, headers={"host": "evil.example"})).status_code == 400
        assert (
            await client.post("/responses", content="{}", headers={"content-type": "text/plain"})
        ).status_code == 415
        deep = await client.post("/responses", content="[" * 100_000, headers={"content-type": "application/json"})
        assert deep.status_code == 400
        assert (await client.post("/responses", json=body)).status_code == 401
        assert [(r.state, r.key_given, r.billed) for r in provider.requests] == [(RequestState.REFUSED, False, None)]
        assert (await client.post("/responses", json=body, headers={"x-api-key": "k"})).status_code == 503
