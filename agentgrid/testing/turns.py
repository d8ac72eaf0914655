"""What a scripted model does, in one form for all protocols. Loads no server.

A script answers a conversation with a turn. It is a list of turns, or a function from `Conversation` to `Turn`:

    script = [Turn(calls=[Call("get_order", {"order_id": "A1"})]), Turn(text="It was shipped.")]

A list is read by position: a conversation with n assistant messages is answered by turn n + 1. So the answer depends only on the
conversation, and a client that was killed and retries gets the same answer. A turn with a fault is used up by the attempt that it fails:
`[Turn(fault=Fault.rate_limited()), Turn(text="Hello")]` refuses the first request, and answers the retry.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

CHARACTERS_PER_TOKEN = 4
"""Used for turns without an explicit usage."""
MAX_DELAY_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class TokenCounts:
    """Tokens of one answer. `input_tokens` counts all input, whether read from the cache, written to it, or neither."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    """Input read from the cache."""
    cache_write_tokens: int = 0
    """Input written to the cache."""

    def __post_init__(self) -> None:
        if min(self.input_tokens, self.output_tokens, self.cached_tokens, self.cache_write_tokens) < 0:
            raise ValueError("token counts can't be negative")
        if self.cached_tokens + self.cache_write_tokens > self.input_tokens:
            raise ValueError(
                "input_tokens counts all input, so it can't be less than cached_tokens plus cache_write_tokens"
            )

    def __add__(self, other: TokenCounts) -> TokenCounts:
        mine, its = asdict(self), asdict(other)
        return TokenCounts(**{name: mine[name] + its[name] for name in mine})


@dataclass(frozen=True)
class Call:
    """A tool call by the model. Arguments given as a string are sent unchanged, even if they aren't JSON."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = None
    """None: the provider generates one, always the same for the same conversation."""

    @property
    def text(self) -> str:
        """The arguments as sent."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A failure instead of an answer: an error status, or a connection dropped midway."""

    status: int | None = None
    """The HTTP status; None for a dropped connection."""
    message: str = "a scripted fault"
    code: str | None = None
    retry_after: float | None = None
    """In seconds; sent as the Retry-After header."""
    cut_after: float = 0.5
    """The share of the response sent before the connection is dropped, from 0 (nothing) to 1 (all but the last byte or event)."""

    @classmethod
    def rate_limited(cls, retry_after: float | None = None) -> Fault:
        return cls(status=429, message="rate limit reached", code="rate_limit_exceeded", retry_after=retry_after)

    @classmethod
    def bad_request(cls, message: str = "the request is invalid", code: str | None = None) -> Fault:
        return cls(status=400, message=message, code=code)

    @classmethod
    def unauthorized(cls) -> Fault:
        return cls(status=401, message="the API key is not valid", code="invalid_api_key")

    @classmethod
    def server_error(cls) -> Fault:
        return cls(status=500, message="the server had an error")

    @classmethod
    def overloaded(cls) -> Fault:
        return cls(status=529, message="the server is overloaded")

    @classmethod
    def cut(cls, after: float = 0.5) -> Fault:
        """Drop the connection after this share of the turn's answer. The answer is still billed."""
        return cls(message="the connection was dropped", cut_after=after)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """The model's answer: text, tool calls, or both; or a fault.

    usage: what the provider bills; None counts characters. delay_seconds: the wait before the first byte. pause_seconds: the wait before each later
    event of a stream. truncated: the answer hit the token limit.
    """

    text: str | None = None
    calls: Sequence[Call] = ()
    usage: TokenCounts | None = None
    delay_seconds: float = 0.0
    pause_seconds: float = 0.0
    truncated: bool = False
    fault: Fault | None = None

    def __post_init__(self) -> None:
        for name in ("delay_seconds", "pause_seconds"):
            if not 0 <= getattr(self, name) <= MAX_DELAY_SECONDS:
                raise ValueError(f"{name} must be between 0 and {MAX_DELAY_SECONDS:g}")
        if self.text is None and not self.calls and self.fault is None:
            raise ValueError("a turn needs text, calls or a fault")


Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message sent by the client. A tool's result is a message with the role `tool`."""

    role: Role
    text: str = ""
    calls: tuple[Call, ...] = ()
    """For assistant messages."""
    call_id: str | None = None
    """For results: the call that this answers."""
    failed: bool = False
    """For results: whether it is marked as an error (Anthropic only)."""


@dataclass(frozen=True, kw_only=True)
class OfferedTool:
    """A tool that the client offers to the model."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """The JSON Schema of its arguments."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a tool call."""

    name: str
    call_id: str
    text: str
    failed: bool = False

    @property
    def value(self) -> Any:
        """The text parsed as JSON, or the text itself."""
        try:
            return json.loads(self.text)
        except ValueError:
            return self.text


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """The content of one request."""

    protocol: str
    model: str
    messages: tuple[Message, ...]
    tools: tuple[OfferedTool, ...] = ()
    must_call: str | None = None
    """The tool that the model must call; `*` for any tool, None if it may answer with text."""
    output_schema: Mapping[str, Any] | None = None
    """The JSON Schema for an answer in text."""
    attempt: int = 1
    """How often this provider has received these messages, including this time."""

    @property
    def turn(self) -> int:
        """The number of assistant messages so far."""
        return sum(message.role == "assistant" for message in self.messages)

    @property
    def prompt(self) -> str:
        """The text of the last user message."""
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")

    @property
    def instructions(self) -> str:
        return "\n\n".join(message.text for message in self.messages if message.role == "system")

    @property
    def results(self) -> tuple[Result, ...]:
        """All tool results so far, oldest first."""
        return tuple(self._results())

    @property
    def digest(self) -> str:
        """Covers only the messages, so that retries and fallback models get the same answer."""
        text = json.dumps([asdict(message) for message in self.messages], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _results(self) -> Iterator[Result]:
        names: dict[str, str] = {}
        for message in self.messages:
            names |= {call.id: call.name for call in message.calls if call.id}
            if message.role == "tool" and message.call_id:
                name = names.get(message.call_id, "")
                yield Result(name=name, call_id=message.call_id, text=message.text, failed=message.failed)


Script: TypeAlias = Sequence[Turn] | Callable[[Conversation], Turn | Awaitable[Turn]]


class ScriptExhausted(Exception):
    """The script has no turn for this conversation."""


async def next_turn(script: Script, conversation: Conversation) -> Turn:
    """The script's answer. Raises ScriptExhausted at the end of a list, and whatever a script function raises."""
    if callable(script):
        answer = script(conversation)
        return await answer if inspect.isawaitable(answer) else answer
    faults: list[Turn] = []
    done = 0
    for turn in script:
        if turn.fault is not None:
            faults.append(turn)
        elif done == conversation.turn:
            return faults[conversation.attempt - 1] if conversation.attempt <= len(faults) else turn
        else:
            done, faults = done + 1, []
    if faults and done == conversation.turn:
        return faults[min(conversation.attempt, len(faults)) - 1]
    raise ScriptExhausted(
        f"the script has {done} turns, and this conversation needs turn {conversation.turn + 1}: add a turn"
    )


def counted(turn: Turn, conversation: Conversation) -> TokenCounts:
    """The turn's usage, or an estimate from the number of characters."""
    if turn.usage is not None:
        return turn.usage
    sent = [asdict(message) for message in conversation.messages], [asdict(tool) for tool in conversation.tools]
    answered = (turn.text or "") + "".join(call.name + call.text for call in turn.calls)
    return TokenCounts(
        input_tokens=1 + len(json.dumps(sent)) // CHARACTERS_PER_TOKEN,
        output_tokens=1 + len(answered) // CHARACTERS_PER_TOKEN,
    )
