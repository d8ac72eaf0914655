"""Anthropic's messages: `POST /v1/messages`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from agentgrid.testing.turns import Call, Conversation, Fault, Message, OfferedTool, TokenCounts
from agentgrid.testing.wire.base import (
    Event,
    Refused,
    TurnRequest,
    Wire,
    WireAnswer,
    WireRequest,
    check_results,
    fragments,
    halves,
    text_of,
)

ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class _Message(TurnRequest):
    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]


class _Tool(TurnRequest):
    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    description: str | None = None
    input_schema: dict[str, Any]


class _Choice(TurnRequest):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None


class _Body(TurnRequest):
    model: str = Field(min_length=1)
    max_tokens: int = Field(ge=1)
    messages: list[_Message] = Field(min_length=1)
    system: str | list[Any] | None = None
    tools: list[_Tool] = Field(default_factory=list)
    tool_choice: _Choice | None = None
    output_config: dict[str, Any] | None = None
    stream: bool | None = None


def read(body: dict[str, Any]) -> WireRequest:
    request = _Body.model_validate(body)
    messages: list[Message] = [Message(role="system", text=text_of(request.system))] if request.system else []
    for message in request.messages:
        messages += [_assistant(message)] if message.role == "assistant" else _user(message)
    check_results(messages, at_once=True)
    choice = request.tool_choice
    conversation = Conversation(
        protocol="messages",
        model=request.model,
        messages=tuple(messages),
        tools=tuple(
            OfferedTool(name=tool.name, description=tool.description or "", schema=tool.input_schema)
            for tool in request.tools
        ),
        must_call={"any": "*", "tool": choice.name}.get(choice.type) if choice else None,
        output_schema=((request.output_config or {}).get("format") or {}).get("schema"),
    )
    return WireRequest(conversation=conversation, stream=bool(request.stream))


def _blocks(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _assistant(message: _Message) -> Message:
    texts: list[str] = []
    calls: list[Call] = []
    for block in _blocks(message.content):
        match block:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "tool_use", "id": str(id), "name": str(name), "input": dict(arguments)}:
                calls.append(Call(name, arguments, id))
            case {"type": "thinking" | "redacted_thinking"}:
                pass
            case _:
                raise Refused(f"an assistant block can't have the type {block.get('type')!r} with these fields")
    return Message(role="assistant", text="\n".join(texts), calls=tuple(calls))


def _user(message: _Message) -> list[Message]:
    """Tool results first, then the rest."""
    blocks = _blocks(message.content)
    results = [block for block in blocks if block.get("type") == "tool_result"]
    rest = [block for block in blocks if block.get("type") != "tool_result"]
    answers = [
        Message(
            role="tool",
            text=text_of(block.get("content")),
            call_id=str(block.get("tool_use_id")),
            failed=bool(block.get("is_error")),
        )
        for block in results
    ]
    role: Literal["system", "user"] = "system" if message.role == "system" else "user"
    return [*answers, Message(role=role, text=text_of(rest))] if rest or not answers else answers


def whole(answer: WireAnswer) -> dict[str, Any]:
    content = [block | filled for block, filled, _ in _content(answer)]
    return _message(answer, content, _stop(answer), _usage(answer.usage))


def events(answer: WireAnswer, request: WireRequest) -> Iterator[Event]:
    def event(name: str, **fields: Any) -> Event:
        return name, {"type": name, **fields}

    usage = _usage(answer.usage)
    yield event("message_start", message=_message(answer, [], None, usage | {"output_tokens": 1}))
    yield event("ping")
    for index, (block, _, deltas) in enumerate(_content(answer)):
        yield event("content_block_start", index=index, content_block=block)
        for delta in deltas:
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    ended = {"stop_reason": _stop(answer), "stop_sequence": None, "stop_details": None}
    yield event("message_delta", delta=ended, usage=usage)
    yield event("message_stop")


def refusal(fault: Fault) -> dict[str, Any]:
    status = fault.status or 500
    kind = ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": fault.message}, "request_id": None}


def _content(answer: WireAnswer) -> Iterator[tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]]:
    """Each block: how a stream begins it, its full content, and its deltas in a stream."""
    if answer.text is not None:
        deltas = [{"type": "text_delta", "text": fragment} for fragment in fragments(answer.text)]
        yield {"type": "text", "text": "", "citations": None}, {"text": answer.text}, deltas
    for call in answer.calls:
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in halves(call.text)]
        block: dict[str, Any] = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        yield block, {"input": _input(call)}, deltas


def _input(call: Call) -> Any:
    """The arguments as an object. Text that isn't JSON stays a string."""
    try:
        return json.loads(call.text)
    except ValueError:
        return call.text


def _message(answer: WireAnswer, content: list[Any], stop: str | None, usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"msg_{answer.response_id}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage,
    }


def _stop(answer: WireAnswer) -> str:
    if answer.truncated:
        return "max_tokens"
    return "tool_use" if answer.calls else "end_turn"


def _usage(usage: TokenCounts) -> dict[str, Any]:
    """Unlike OpenAI's, `input_tokens` excludes input read from or written to the cache."""
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "service_tier": "standard",
    }


WIRE = Wire(name="messages", path="/v1/messages", read=read, whole=whole, events=events, refusal=refusal)
