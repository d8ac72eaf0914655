"""A request to a model, independent of its provider: what a turn offers, and what came back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from temporalio.exceptions import ApplicationError

from agentgrid.domain.agents import ModelCall, Usage
from agentgrid.domain.policies import Risk
from agentgrid.protocol import ErrorType


@dataclass(frozen=True, kw_only=True)
class ModelTool:
    """A tool as a model sees it."""

    name: str
    description: str
    input_schema: dict[str, Any]
    risk: str = Risk.READ
    """What the tool can do. An agent counts as reading: its own tools have risks of their own."""


@dataclass(frozen=True, kw_only=True)
class RawCall:
    """A call that a model asks for, as it wrote it."""

    id: str
    name: str
    arguments: str | dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModelAnswer:
    """A model's answer. message: the parts that the provider must be sent again in the next turn."""

    message: dict[str, Any]
    calls: list[RawCall] = field(default_factory=list)
    text: str | None = None
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    provider: str = ""
    price: str = "unpriced"
    finish: str | None = None


def plain_message(calls: Sequence[RawCall], text: str | None) -> dict[str, Any]:
    """The parts of an answer that no provider gave, in the form in which those of providers are kept."""
    parts: list[dict[str, Any]] = [
        {"part_kind": "tool-call", "tool_name": call.name, "args": call.arguments, "tool_call_id": call.id}
        for call in calls
    ]
    if text is not None:
        parts.append({"part_kind": "text", "content": text})
    return {"parts": parts, "kind": "response"}


class Model(Protocol):
    """Something that answers a conversation."""

    async def answer(self, call: ModelCall, offers: list[ModelTool], final: ModelTool | None) -> ModelAnswer:
        """The answer to the conversation. final: the tool by which the answer is given, if it has a schema. Raises ApplicationError."""


class AnswerListener(Protocol):
    """Hears an answer while it is given."""

    def text(self, text: str) -> None:
        """More of its text."""

    def tool(self, name: str) -> None:
        """It asks for a call of this tool."""


@runtime_checkable
class Streaming(Protocol):
    """A model that can be heard."""

    async def stream(
        self, call: ModelCall, offers: list[ModelTool], final: ModelTool | None, listener: AnswerListener
    ) -> ModelAnswer:
        """The same answer as that of `answer`; the listener receives it as it arrives."""


async def heard(
    model: Model, call: ModelCall, offers: list[ModelTool], final: ModelTool | None, listener: AnswerListener | None
) -> ModelAnswer:
    """The model's answer, streamed only if there is a listener. Other models' answers come whole."""
    if listener is None:
        return await model.answer(call, offers, final)
    if isinstance(model, Streaming):
        return await model.stream(call, offers, final, listener)
    answer = await model.answer(call, offers, final)
    listener.text(answer.text or "")
    for asked in answer.calls:
        listener.tool(asked.name)
    return answer


def model_fault(message: str, *, retryable: bool) -> ApplicationError:
    """The error of a request that a model did not answer."""
    return ApplicationError(message, type=ErrorType.MODEL_ERROR, non_retryable=not retryable)
