"""The offline model: a deterministic stand-in for a provider, so that a project runs without an API key. Every record names it.

It understands nothing. It reads before it writes, and calls each tool at most once: a reading tool if the prompt and the results so far contain
the required arguments; a writing tool only if the text shares words with the tool's name and description; a tool that hands over to people
only if nothing else fits. It stops after a refusal. Its answer lists what it found, and what was refused and why.
"""

from __future__ import annotations

import json
from typing import Any

from agentgrid.domain.agents import FINAL_ANSWER, OFFLINE, ModelCall, Usage
from agentgrid.domain.policies import Risk
from agentgrid.worker.model_requests import ModelAnswer, ModelTool, RawCall, plain_message
from agentgrid.worker.offline_reading import ConversationContent, read, stems
from agentgrid.worker.offline_values import HANDS_OVER, MISSING, QUERY, Maker, fields, fits

_ORDER = {Risk.READ: 0, Risk.DESTRUCTIVE: 1, Risk.WRITE: 2}
"""Calls that need approval come before other writes, so that a message can report their outcome."""


class Offline:
    """Answers from the conversation alone: the same conversation always gets the same answer."""

    async def answer(self, call: ModelCall, offers: list[ModelTool], final: ModelTool | None) -> ModelAnswer:
        """The next call, or the final answer."""
        work = _Work(read(call, offers), offers)
        if (chosen := work.next_call()) is not None:
            return _answer(call, [RawCall(id=_id(call), name=chosen[0], arguments=chosen[1])], None)
        if final is None:
            return _answer(call, [], work.make.report())
        value = work.make.value("", final.input_schema, final.input_schema, must=True)
        return _answer(call, [RawCall(id=_id(call), name=FINAL_ANSWER, arguments=value)], None)


def _answer(call: ModelCall, calls: list[RawCall], text: str | None) -> ModelAnswer:
    message = plain_message(calls, text)
    size = sum(len(json.dumps(message, default=str)) for message in call.messages) // 4
    return ModelAnswer(
        message=message,
        calls=calls,
        text=text,
        usage=Usage(requests=1, input_tokens=size, output_tokens=len(json.dumps(message)) // 4, usd=0.0),
        model="offline model",
        provider=OFFLINE,
        price="offline model: nothing to pay",
        finish="tool_call" if calls else "stop",
    )


def _id(call: ModelCall) -> str:
    # Ids must not repeat: another provider that takes over the session would reject them.
    return f"call-{call.call[:8]}-{call.turn}"


class _Work:
    """One turn."""

    def __init__(self, reading: ConversationContent, offers: list[ModelTool]) -> None:
        self.reading, self.subject_words, self.item = reading, reading.subject_words, reading.item
        self.offers = sorted(offers, key=lambda offer: (_ORDER[Risk(offer.risk)], _searches(offer)))
        self.writes = {offer.name: offer.description.split(".")[0] for offer in self.offers if Risk(offer.risk).writes}
        self.make = Maker(reading, self.writes)
        names = [stems(offer.name) for offer in offers]
        every = {word for words in names for word in words}
        self.common = {word for word in every if sum(word in words for words in names) > 1}
        """Words that occur in several tools' names don't tell the tools apart."""

    def next_call(self) -> tuple[str, dict[str, Any]] | None:
        """The next tool and its arguments."""
        if self.reading.refused:
            return None
        for offer in self.offers:
            if offer.name not in self.reading.used and self._makes_sense(offer):
                arguments = self._arguments(offer)
                if arguments is not None:
                    return offer.name, arguments
        return None

    def _makes_sense(self, offer: ModelTool) -> bool:
        own, described = stems(offer.name) - self.common, stems(offer.description) - self.common
        named = bool(own & self.subject_words)
        if offer.name not in self.writes:
            return named or bool(offer.input_schema.get("required"))
        if HANDS_OVER & (own | described):
            return self.item is None and self.writes.keys().isdisjoint(self.reading.done)
        return named or len(described & self.subject_words) >= 2

    def _arguments(self, offer: ModelTool) -> dict[str, Any] | None:
        """Valid arguments, or None if a required one is unknown."""
        schema = offer.input_schema
        if schema.get("type", "object") != "object":
            return None
        words = stems(f"{offer.name} {offer.description}") - self.common
        arguments: dict[str, Any] = {}
        for name, inner in fields(schema).items():
            if name in schema.get("required", ()):
                arguments[name] = self.make.value(name, inner, schema, writes=offer.name in self.writes, words=words)
            elif name.lower() in self.reading.given and fits(inner, schema, self.reading.given[name.lower()]):
                arguments[name] = self.reading.given[name.lower()]
        return None if MISSING in arguments.values() or not fits(schema, schema, arguments) else arguments


def _searches(offer: ModelTool) -> bool:
    """Whether it takes free text. Such tools come after those that need known values, whose results show what to search for."""
    return bool(QUERY & set(offer.input_schema.get("required", ())))
