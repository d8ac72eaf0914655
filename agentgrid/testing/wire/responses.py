"""OpenAI's Responses: `POST /v1/responses`. It is stateless, so each request must contain the whole conversation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, Literal

from pydantic import Field

from agentgrid.testing.turns import Call, Conversation, Message, TokenCounts
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
from agentgrid.testing.wire.chat import ROLES, must_call, offer, refusal

STATEFUL = ("previous_response_id", "conversation", "background", "prompt")
IGNORED = frozenset({"reasoning", "compaction"})


class _Item(TurnRequest):
    type: str = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[Any] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[Any] | None = None


class _Tool(TurnRequest):
    type: Literal["function"]
    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Body(TurnRequest):
    model: str = Field(min_length=1)
    input: str | list[_Item] = Field(min_length=1)
    instructions: str | None = None
    tools: list[_Tool] = Field(default_factory=list, max_length=128)
    tool_choice: Any = None
    text: dict[str, Any] | None = None
    stream: bool | None = None


def read(body: dict[str, Any]) -> WireRequest:
    if stateful := [name for name in STATEFUL if body.get(name)]:
        raise Refused(f"this provider stores no responses: send the whole conversation, without {', '.join(stateful)}")
    request = _Body.model_validate(body)
    messages = tuple(_messages(request))
    check_results(messages, at_once=False)
    conversation = Conversation(
        protocol="responses",
        model=request.model,
        messages=messages,
        tools=tuple(offer(tool.name, tool.description, tool.parameters) for tool in request.tools),
        must_call=must_call(request.tool_choice),
        output_schema=((request.text or {}).get("format") or {}).get("schema"),
    )
    return WireRequest(conversation=conversation, stream=bool(request.stream))


def _messages(request: _Body) -> Iterator[Message]:
    """The items as messages. The assistant's several items of one turn become one message."""
    if request.instructions:
        yield Message(role="system", text=request.instructions)
    if isinstance(request.input, str):
        yield Message(role="user", text=request.input)
        return
    texts: list[str] = []
    calls: list[Call] = []
    for item in request.input:
        if item.type in IGNORED:
            continue
        if item.type == "function_call":
            calls.append(_call(item))
        elif item.type == "message" and item.role == "assistant":
            texts.append(text_of(item.content))
        else:
            if texts or calls:
                yield Message(role="assistant", text="\n".join(texts), calls=tuple(calls))
                texts, calls = [], []
            yield _other(item)
    if texts or calls:
        yield Message(role="assistant", text="\n".join(texts), calls=tuple(calls))


def _call(item: _Item) -> Call:
    if not (item.call_id and item.name) or item.arguments is None:
        raise Refused("an item of the type 'function_call' needs call_id, name and arguments")
    return Call(item.name, item.arguments, item.call_id)


def _other(item: _Item) -> Message:
    if item.type == "function_call_output" and item.call_id:
        return Message(role="tool", text=text_of(item.output), call_id=item.call_id)
    if item.type == "message" and item.role:
        return Message(role=ROLES[item.role], text=text_of(item.content))
    raise Refused(f"this provider doesn't support items of the type {item.type!r} with these fields")


def whole(answer: WireAnswer) -> dict[str, Any]:
    status = "incomplete" if answer.truncated else "completed"
    return _response(answer, status, [_item(answer, index, status) for index in range(_items(answer))])


def events(answer: WireAnswer, request: WireRequest) -> Iterator[Event]:
    number = count()

    def event(name: str, **fields: Any) -> Event:
        return name, {"type": name, "sequence_number": next(number), **fields}

    yield event("response.created", response=_response(answer, "in_progress", []))
    yield event("response.in_progress", response=_response(answer, "in_progress", []))
    for index in range(_items(answer)):
        done = _item(answer, index, "completed")
        place = {"item_id": done["id"], "output_index": index}
        yield event("response.output_item.added", output_index=index, item=_begun(done))
        if done["type"] == "message":
            part = done["content"][0]
            place |= {"content_index": 0}
            yield event("response.content_part.added", **place, part=part | {"text": ""})
            for fragment in fragments(part["text"]):
                yield event("response.output_text.delta", **place, delta=fragment, logprobs=[])
            yield event("response.output_text.done", **place, text=part["text"], logprobs=[])
            yield event("response.content_part.done", **place, part=part)
        else:
            for piece in halves(done["arguments"]):
                yield event("response.function_call_arguments.delta", **place, delta=piece)
            yield event("response.function_call_arguments.done", **place, arguments=done["arguments"])
        yield event("response.output_item.done", output_index=index, item=done)
    ended = whole(answer)
    yield event(f"response.{ended['status']}", response=ended)


def _begun(item: dict[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {"content": []} if item["type"] == "message" else {"arguments": ""}
    return item | empty | {"status": "in_progress"}


def _items(answer: WireAnswer) -> int:
    return (answer.text is not None) + len(answer.calls)


def _item(answer: WireAnswer, index: int, status: str) -> dict[str, Any]:
    if answer.text is not None:
        if index == 0:
            content = [{"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}]
            return {
                "id": f"msg_{answer.response_id}",
                "type": "message",
                "role": "assistant",
                "status": status,
                "content": content,
            }
        index -= 1
    call = answer.calls[index]
    return {
        "id": f"fc_{answer.response_id}_{index}",
        "type": "function_call",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.text,
        "status": status,
    }


def _response(answer: WireAnswer, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    running = status == "in_progress"
    return {
        "id": f"resp_{answer.response_id}",
        "object": "response",
        "created_at": answer.created,
        "completed_at": None if running else answer.created,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "metadata": {},
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None if running else _usage(answer.usage),
    }


def _usage(usage: TokenCounts) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


WIRE = Wire(name="responses", path="/v1/responses", read=read, whole=whole, events=events, refusal=refusal)
