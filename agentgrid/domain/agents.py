"""Agent payloads exchanged between workflow code, workers and the projector. They may only ever gain optional fields.

In history, an agent call consists of an opening marker with the `AgentSpec` that the call is pinned to, one activity `model.<agent>` per model
turn (`ModelCall` in, `ModelTurn` out), the activities of its tools with an `AgentHeader`, and a closing marker with its `AgentEnd`.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.dataclasses import dataclass

FINAL_ANSWER = "final_answer"
"""The tool that a model calls to return an answer with a schema."""

OFFLINE = "offline"
"""A deterministic stand-in that needs no provider. Every record names it as such."""

PROVIDERS = ("openai", "openai-chat", "anthropic")
"""The model providers that a worker supports."""


INTERRUPTED = "interrupted"
"""The hold reason of a run that paused because a person interrupted its agents."""


class AgentHeader(BaseModel):
    """Call header that names the agent on whose behalf the call is made."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    agent: str
    version: str
    call: str
    """The call key of the agent's call, as in its opening marker."""
    turn: int = 0
    """The model turn, or the turn that requested the tool; the first is 1."""
    barred: bool = False
    """This version of the agent doesn't have the tool: the call is made only to put its refusal on record."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one agent call may use; None means no limit."""

    requests: int | None = 20
    tool_calls: int | None = 50
    tokens: int | None = None
    """Input and output tokens."""
    usd: float | None = None
    seconds: float | None = None
    soft: float | None = None
    """The share of each limit, between 0 and 1, at which an approval to raise it is requested."""


@dataclass(frozen=True, kw_only=True)
class AgentSpec:
    """An agent's version, from the code or an operator's edit. With a call key, it is the version that this call is pinned to."""

    agent: str
    version: str
    models: list[str]
    """In order of preference, as `provider:model`."""
    instructions: str
    tools: list[str]
    output_schema: dict[str, Any] | None = None
    """None if the answer is text."""
    limits: Limits = field(default_factory=Limits)
    call: str = ""
    prompt: str = ""
    parent: str | None = None
    """The call key of the agent that called this one."""
    turn: int | None = None
    """The turn of the calling agent."""


@dataclass(frozen=True, kw_only=True)
class OpenAgent:
    """Input of the local activity that opens an agent call."""

    agent: str
    call: str
    prompt: str
    parent: str | None = None
    turn: int | None = None


@dataclass(frozen=True, kw_only=True)
class ModelCall:
    """Input of a model turn: the whole conversation, because models are stateless."""

    agent: str
    version: str
    call: str
    turn: int
    model: str
    instructions: str
    tools: list[str]
    messages: list[dict[str, Any]]
    """`{"role": "user", "text"}`, `{"role": "tool", "id", "name", "result" or "fault"}`, `{"role": "model", "answer"}`.

    If people approved a call with a comment or changed arguments, `approval` is next to its result or fault: `comment`, and `ran_with` for a
    result or `changed_to` for a fault.
    An answer holds the provider's parts as the worker wrote them, and is opaque to workflow code.
    """
    output_schema: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one or more model turns used."""

    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    """Input tokens that the provider read from its cache."""
    output_tokens: int = 0
    usd: float | None = None
    """None, not 0, if the price is unknown."""
    unpriced: int = 0
    """Requests without a known price."""


@dataclass(frozen=True, kw_only=True)
class AskedCall:
    """A tool call requested by a model."""

    id: str
    name: str
    args: dict[str, Any] = field(default_factory=dict)
    fault: str | None = None
    """Why it can't be made. Shown to the model."""
    barred: bool = False
    """The tool exists, but not for this agent: the call is made anyway to put the worker's refusal on record."""


@dataclass(frozen=True, kw_only=True)
class ModelTurn:
    """Result of a model turn: everything that the loop, the fold and an auditor need. The worker that called the model prices it."""

    message: dict[str, Any]
    """The provider's parts, for the next turn."""
    calls: list[AskedCall] = field(default_factory=list)
    text: str | None = None
    output: Any = None
    final: bool = False
    answer_id: str | None = None
    """The id of the call that gave the final answer. Providers refuse to continue a conversation in which that call has no result."""
    fault: str | None = None
    """Why the answer doesn't fit its schema. Shown to the model."""
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    provider: str = ""
    price: str = "unpriced"
    """The source of the price."""
    finish: str | None = None
    latency_ms: int = 0
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class AgentEnd:
    """How an agent call ended, with its totals. Input and result of the local activity that closes it."""

    agent: str
    call: str
    output: Any = None
    error_type: str | None = None
    error: str | None = None
    cancelled: bool = False
    turns: int = 0
    tool_calls: int = 0
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, kw_only=True)
class Hold:
    """Why a run paused itself. Input and result of the local activity that records it."""

    reason: str
    """`loop`, `budget_exceeded` or `interrupted`."""
    detail: str
    agent: str
    call: str


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What the calls of a session have used so far."""

    usage: Usage = field(default_factory=Usage)
    tool_calls: int = 0
    seconds: float = 0.0
    granted: int = 1
    """How many times the session's budget was granted: once by the code, then by people."""
    may_be_unpriced: bool = False
    """Whether a person allowed it to continue although the price of a request is unknown."""


@dataclass(frozen=True, kw_only=True)
class SessionState:
    """A conversation between two calls of its agent, in the form carried across continue-as-new."""

    agent: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    """As in `ModelCall`."""
    spent: Spent = field(default_factory=Spent)


def is_conversation(messages: list[dict[str, Any]]) -> bool:
    """Whether each message has one of the forms listed in `ModelCall`."""
    return all(_is_message(message) for message in messages)


def _is_message(message: dict[str, Any]) -> bool:
    match message:
        case {"role": "user", "text": str()} | {"role": "model", "answer": dict()}:
            return True
        case {"role": "tool", "id": str(), "name": str(), "fault": str()}:
            return True
        case {"role": "tool", "id": str(), "name": str()}:
            return "result" in message
    return False


def conversation_size(messages: list[dict[str, Any]]) -> int:
    """A lower bound on the JSON size of these messages in bytes, at a fraction of the cost of serialising them."""
    return sum(_size(message) for message in messages)


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value) + 2
    if isinstance(value, dict):
        return 2 + sum(len(name) + 4 + _size(item) for name, item in value.items())
    if isinstance(value, list):
        return 2 + sum(1 + _size(item) for item in value)
    return 4


def add(total: Usage, turn: Usage) -> Usage:
    """The sum of two usages. Known prices are kept if others are unknown; `unpriced` counts the unknown ones."""
    usd = total.usd if turn.usd is None else (total.usd or 0.0) + turn.usd
    return Usage(
        requests=total.requests + turn.requests,
        input_tokens=total.input_tokens + turn.input_tokens,
        cached_tokens=total.cached_tokens + turn.cached_tokens,
        output_tokens=total.output_tokens + turn.output_tokens,
        usd=None if usd is None else round(usd, 9),
        unpriced=total.unpriced + turn.unpriced,
    )
