"""OpenAI's chat completions: `POST /v1/chat/completions`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from agentgrid.testing.turns import Call, Conversation, Fault, Message, OfferedTool, Role, TokenCounts
from agentgrid.testing.wire.base import (
    Event,
    Refused,
    ToolName,
    TurnRequest,
    Wire,
    WireAnswer,
    WireRequest,
    check_results,
    fragments,
    halves,
    text_of,
)

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
ERROR_TYPES = {401: "authentication_error", 429: "requests", 404: "invalid_request_error", 400: "invalid_request_error"}


class _Called(TurnRequest):
    name: ToolName
    arguments: str


class _Call(TurnRequest):
    id: str = Field(min_length=1, max_length=64)
    type: Literal["function"] = "function"
    function: _Called


class _Message(TurnRequest):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Any] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


class _Function(TurnRequest):
    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(TurnRequest):
    type: Literal["function"]
    function: _Function


class _StreamOptions(TurnRequest):
    include_usage: bool = False


class _Body(TurnRequest):
    model: str = Field(min_length=1)
    messages: list[_Message] = Field(min_length=1)
    tools: list[_Tool] = Field(default_factory=list, max_length=128)
    tool_choice: Any = None
    response_format: dict[str, Any] | None = None
    n: Literal[1] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


def read(body: dict[str, Any]) -> WireRequest:
    request = _Body.model_validate(body)
    messages = tuple(_message(message) for message in request.messages)
    check_results(messages, at_once=True)
    conversation = Conversation(
        protocol="chat",
        model=request.model,
        messages=messages,
        tools=tuple(
            offer(tool.function.name, tool.function.description, tool.function.parameters) for tool in request.tools
        ),
        must_call=must_call(request.tool_choice),
        output_schema=((request.response_format or {}).get("json_schema") or {}).get("schema"),
    )
    options = request.stream_options or _StreamOptions()
    return WireRequest(conversation=conversation, stream=bool(request.stream), stream_usage=options.include_usage)


def _message(message: _Message) -> Message:
    if message.role == "tool" and not message.tool_call_id:
        raise Refused("a message of the role 'tool' needs a tool_call_id")
    calls = tuple(Call(call.function.name, call.function.arguments, call.id) for call in message.tool_calls or ())
    return Message(role=ROLES[message.role], text=text_of(message.content), calls=calls, call_id=message.tool_call_id)


def offer(name: str, description: str | None, schema: dict[str, Any] | None) -> OfferedTool:
    return OfferedTool(name=name, description=description or "", schema=schema or {})


def must_call(choice: Any) -> str | None:
    """`*` for any tool, a name for one, None if the model may choose. The same in both of OpenAI's protocols."""
    if choice == "required":
        return "*"
    if not isinstance(choice, dict):
        return None
    if choice.get("type") == "allowed_tools":
        return "*" if (choice.get("allowed_tools") or choice).get("mode") == "required" else None
    name = (choice.get("function") or choice).get("name")
    return name if isinstance(name, str) else None


def whole(answer: WireAnswer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.text}}
            for call in answer.calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
    return {**_head(answer, "chat.completion"), "choices": [choice], "usage": _usage(answer.usage)}


def events(answer: WireAnswer, request: WireRequest) -> Iterator[Event]:
    head = _head(answer, "chat.completion.chunk") | ({"usage": None} if request.stream_usage else {})

    def chunk(delta: dict[str, Any], finish: str | None = None) -> Event:
        return None, {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": None if answer.text is None else "", "refusal": None})
    for fragment in fragments(answer.text or ""):
        yield chunk({"content": fragment})
    for index, call in enumerate(answer.calls):
        function = {"name": call.name, "arguments": ""}
        yield chunk({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]})
        for piece in halves(call.text):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, _finish(answer))
    if request.stream_usage:
        yield None, {**head, "choices": [], "usage": _usage(answer.usage)}
    yield None, "[DONE]"


def refusal(fault: Fault) -> dict[str, Any]:
    kind = ERROR_TYPES.get(
        fault.status or 0, "server_error" if (fault.status or 500) >= 500 else "invalid_request_error"
    )
    return {"error": {"message": fault.message, "type": kind, "param": None, "code": fault.code}}


def _head(answer: WireAnswer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.response_id}",
        "object": kind,
        "created": answer.created,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": None,
    }


def _finish(answer: WireAnswer) -> str:
    if answer.truncated:
        return "length"
    return "tool_calls" if answer.calls else "stop"


def _usage(usage: TokenCounts) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


WIRE = Wire(name="chat", path="/v1/chat/completions", read=read, whole=whole, events=events, refusal=refusal)
