"""What the protocols share: a parsed request, an answer to write, and the checks that every provider makes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, StringConstraints

from agentgrid.testing.turns import Call, Conversation, Fault, Message, TokenCounts, Turn

MAX_FRAGMENTS = 64
"""The maximum number of pieces that a stream splits a text into."""

ToolName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Event: TypeAlias = tuple[str | None, dict[str, Any] | str]
"""Name and data of a server-sent event. The name is omitted if None."""


class TurnRequest(BaseModel):
    """The part of a request that a scripted model needs; the rest is accepted and ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Refused(Exception):
    """The provider refuses the request."""

    def __init__(self, message: str, *, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.fault = Fault(status=status, message=message, code=code)


@dataclass(frozen=True, kw_only=True)
class WireRequest:
    """A parsed request."""

    conversation: Conversation
    stream: bool
    stream_usage: bool = True
    """Whether the stream ends with the usage. Only chat completions have this option."""


@dataclass(frozen=True, kw_only=True)
class WireAnswer:
    """A turn to send, with its ids."""

    response_id: str
    model: str
    created: int
    text: str | None
    calls: tuple[Call, ...]
    usage: TokenCounts
    truncated: bool


@dataclass(frozen=True, kw_only=True)
class Wire:
    """One provider protocol."""

    name: str
    path: str
    read: Callable[[dict[str, Any]], WireRequest]
    """Raises Refused, or pydantic's ValidationError."""
    whole: Callable[[WireAnswer], dict[str, Any]]
    events: Callable[[WireAnswer, WireRequest], Iterator[Event]]
    refusal: Callable[[Fault], dict[str, Any]]


def answer(turn: Turn, conversation: Conversation, usage: TokenCounts, *, response_id: str, created: int) -> WireAnswer:
    """The turn with its ids. A call's id depends only on the conversation."""
    digest = conversation.digest[:20]
    calls = tuple(
        Call(call.name, call.arguments, call.id or f"call_{digest}_{index}") for index, call in enumerate(turn.calls)
    )
    return WireAnswer(
        response_id=response_id,
        model=conversation.model,
        created=created,
        text=turn.text,
        calls=calls,
        usage=usage,
        truncated=turn.truncated,
    )


def fragments(text: str) -> Iterator[str]:
    """Split the text into words, or longer pieces if it is long. Joined, they are the text."""
    words = re.findall(r"\s*\S+\s*$|\s*\S+|\s+", text)
    size = -(-len(words) // MAX_FRAGMENTS) or 1
    for start in range(0, len(words), size):
        yield "".join(words[start : start + size])


def halves(arguments: str) -> Iterator[str]:
    """A call's arguments in two pieces, so that clients must join them."""
    middle = (len(arguments) + 1) // 2
    yield from (piece for piece in (arguments[:middle], arguments[middle:]) if piece)


def text_of(content: Any) -> str:
    """The text of a message's content, which is a string or a list of parts."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return json.dumps(content)
    return "\n".join(_part(part) for part in content)


def _part(part: Any) -> str:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    return f"[{kind}]"


def check_results(messages: Sequence[Message], *, at_once: bool) -> None:
    """Refuse calls without exactly one result, and results without a call, as providers do. at_once: results must directly follow the call."""
    waiting: dict[str, str] = {}
    for message in messages:
        if message.role == "tool":
            if waiting.pop(message.call_id or "", None) is None:
                raise Refused(f"the result of {message.call_id!r} matches no pending tool call")
        elif waiting and at_once:
            break
        waiting |= {call.id or "": call.name for call in message.calls}
    if waiting:
        raise Refused(f"the conversation lacks results for the calls {', '.join(sorted(waiting))}")
