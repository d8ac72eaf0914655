"""A scripted model inside the worker, for testing workflows with agents without a provider or its library.

    script = [Turn(calls=[Call("get_order", {"order_id": "A1"})]), Turn(text="It was shipped.")]
    async with Worker(client, task_queue="test", plugins=[governance.plugin(grid, models=scripted(script))]):
        ...

An agent with an output type answers by calling `final_answer`. To test real protocols, use `agentgrid.testing.provider`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from temporalio.exceptions import ApplicationError

from agentgrid.domain.agents import ModelCall, Usage
from agentgrid.protocol import ErrorType
from agentgrid.testing.turns import Call, Conversation, Message, Script, Turn, counted, next_turn
from agentgrid.testing.turns import OfferedTool as Tool
from agentgrid.worker.agents import Models
from agentgrid.worker.model_requests import ModelAnswer, ModelTool, RawCall, plain_message

_RETRYABLE_STATUS = frozenset({408, 409, 429})


def scripted(
    script: Script, *, usd_per_token: float | None = 1e-6, requests: list[Conversation] | None = None
) -> Models:
    """Replaces every model with a script. usd_per_token: the price, or None for an unknown price. requests: collects each request."""
    conversations = requests if requests is not None else []

    def find(name: str) -> _Scripted:
        return _Scripted(name, script, usd_per_token, conversations)

    return find


class _Scripted:
    def __init__(
        self, name: str, script: Script, usd_per_token: float | None, conversations: list[Conversation]
    ) -> None:
        self._name, self._script, self._price, self._conversations = name, script, usd_per_token, conversations

    async def answer(self, call: ModelCall, offers: list[ModelTool], final: ModelTool | None) -> ModelAnswer:
        conversation = self._conversation(call, [*offers, *([final] if final is not None else [])])
        self._conversations.append(conversation)
        turn = await next_turn(self._script, conversation)
        await asyncio.sleep(turn.delay_seconds)
        if turn.fault is not None:
            raise _failure(turn)
        return self._answer(turn, conversation)

    def _conversation(self, call: ModelCall, offers: list[ModelTool]) -> Conversation:
        messages = tuple([Message(role="system", text=call.instructions), *map(_message, call.messages)])
        tools = tuple(
            Tool(name=offer.name, description=offer.description, schema=offer.input_schema) for offer in offers
        )
        conversation = Conversation(protocol="scripted", model=self._name, messages=messages, tools=tools)
        before = sum(other.digest == conversation.digest for other in self._conversations)
        return Conversation(protocol="scripted", model=self._name, messages=messages, tools=tools, attempt=before + 1)

    def _answer(self, turn: Turn, conversation: Conversation) -> ModelAnswer:
        used = counted(turn, conversation)
        calls = [
            RawCall(
                id=requested.id or f"call-{conversation.turn + 1}-{number}",
                name=requested.name,
                arguments=dict(requested.arguments)
                if isinstance(requested.arguments, Mapping)
                else requested.arguments,
            )
            for number, requested in enumerate(turn.calls, start=1)
        ]
        usd = None if self._price is None else (used.input_tokens + used.output_tokens) * self._price
        return ModelAnswer(
            message=plain_message(calls, turn.text),
            calls=calls,
            text=turn.text,
            usage=Usage(
                requests=1,
                input_tokens=used.input_tokens,
                cached_tokens=used.cached_tokens,
                output_tokens=used.output_tokens,
                usd=usd,
                unpriced=int(usd is None),
            ),
            model=self._name,
            provider="scripted",
            price="unpriced" if usd is None else "script",
            finish="length" if turn.truncated else "stop",
        )


def _message(message: dict[str, Any]) -> Message:
    match message["role"]:
        case "user":
            return Message(role="user", text=message["text"])
        case "tool":
            failed = "fault" in message
            shown = message["fault"] if failed else message.get("result")
            if "approval" in message:
                # The text that a provider's model would get.
                shown = {"result": shown, "approval": message["approval"]}
            text = shown if isinstance(shown, str) and failed else json.dumps(shown)
            return Message(role="tool", text=text, call_id=message["id"], failed=failed)
    parts = message["answer"].get("parts", ())
    text = "".join(part["content"] for part in parts if part["part_kind"] == "text")
    calls = tuple(
        Call(part["tool_name"], part.get("args") or {}, id=part["tool_call_id"])
        for part in parts
        if part["part_kind"] == "tool-call"
    )
    return Message(role="assistant", text=text, calls=calls)


def _failure(turn: Turn) -> ApplicationError:
    """The error that a provider's model would raise for this fault."""
    fault = turn.fault
    assert fault is not None
    again = fault.status is None or fault.status >= 500 or fault.status in _RETRYABLE_STATUS
    return ApplicationError(
        f"status {fault.status}: {fault.message}",
        type=ErrorType.MODEL_ERROR,
        non_retryable=not again,
        next_retry_delay=timedelta(seconds=fault.retry_after) if fault.retry_after else None,
    )
