"""A request to a model, independent of the provider: what a turn offers, and what the model answers."""

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
    """A tool as offered to a model."""

    name: str
    description: str
    input_schema: dict[str, Any]
    risk: str = Risk.READ
    """What the tool can do. An agent counts as a read: the tools it calls have their own risks."""


@dataclass(frozen=True, kw_only=True)
class RawCall:
    """A tool call as the model wrote it."""

    id: str
    name: str
    arguments: str | dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModelAnswer:
    """A model's answer. message: the parts to send back to the provider in the next turn."""

    message: dict[str, Any]
    calls: list[RawCall] = field(default_factory=list)
    text: str | None = None
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    provider: str = ""
    price: str = "unpriced"
    finish: str | None = None


def plain_message(calls: Sequence[RawCall], text: str | None) -> dict[str, Any]:
    """The parts of an answer that came from no provider, in the format used for providers' answers."""
    parts: list[dict[str, Any]] = [
        {"part_kind": "tool-call", "tool_name": call.name, "args": call.arguments, "tool_call_id": call.id}
        for call in calls
    ]
    if text is not None:
        parts.append({"part_kind": "text", "content": text})
    return {"parts": parts, "kind": "response"}


class Model(Protocol):
    """Answers a conversation."""

    async def answer(self, call: ModelCall, offers: list[ModelTool], final: ModelTool | None) -> ModelAnswer:
        """Answer the conversation. final: the tool that takes the answer, if the answer has a schema. Raises ApplicationError."""


class AnswerListener(Protocol):
    """Receives an answer while it is being written."""

    def text(self, text: str) -> None:
        """More of the answer's text."""

    def tool(self, name: str) -> None:
        """The model requests a call of this tool."""


@runtime_checkable
class Streaming(Protocol):
    """A model that can stream its answer."""

    async def stream(
        self, call: ModelCall, offers: list[ModelTool], final: ModelTool | None, listener: AnswerListener
    ) -> ModelAnswer:
        """Answer like `answer`, passing the answer to the listener as it arrives."""


async def streamed(
    model: Model, call: ModelCall, offers: list[ModelTool], final: ModelTool | None, listener: AnswerListener | None
) -> ModelAnswer:
    """The model's answer, streamed only if there is a listener. Models that can't stream pass it to the listener as a whole."""
    if listener is None:
        return await model.answer(call, offers, final)
    if isinstance(model, Streaming):
        return await model.stream(call, offers, final, listener)
    answer = await model.answer(call, offers, final)
    listener.text(answer.text or "")
    for raw in answer.calls:
        listener.tool(raw.name)
    return answer


def model_fault(message: str, *, retryable: bool) -> ApplicationError:
    """The error for a request that a model did not answer."""
    return ApplicationError(message, type=ErrorType.MODEL_ERROR, non_retryable=not retryable)
