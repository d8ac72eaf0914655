"""The offline model: a deterministic stand-in for a provider, so that a project runs without a key. It says so on every record.

It understands nothing. It calls each tool once whose required arguments it can find by name in the prompt or in the results so far, in the
order in which the tools are offered, and then answers with what it found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from agentgrid.domain.agents import FINAL_ANSWER, OFFLINE, ModelCall, Usage
from agentgrid.worker.model_requests import Answer, Offer, RawCall, plain_message

_PAIR = re.compile(r"\b([a-z][a-z0-9_]*)\s*[:=]\s*(\"[^\"]*\"|[^\s,;]+)", re.IGNORECASE)
_LONGEST = 200
_DEPTH = 20


class Offline:
    """Answers from the conversation alone: the same conversation, the same answer."""

    async def answer(self, call: ModelCall, offers: list[Offer], final: Offer | None) -> Answer:
        """The next call, or the answer."""
        facts = _facts(call.messages)
        done = {message["name"] for message in _of_this_call(call.messages) if message["role"] == "tool"}
        for offer in offers:
            if offer.name not in done and (arguments := _filled(offer.input_schema, facts)) is not None:
                return _answer(call, [RawCall(id=_id(call), name=offer.name, arguments=arguments)], None)
        if final is None:
            return _answer(call, [], _told(call, facts))
        value = _made(final.input_schema, final.input_schema, facts, _told(call, facts))
        return _answer(call, [RawCall(id=_id(call), name=FINAL_ANSWER, arguments=value)], None)


def _of_this_call(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages since the last answer of a session's earlier calls."""
    prompts = [
        at for at, message in enumerate(messages) if message["role"] == "user" and at and _answers(messages[at - 1])
    ]
    return messages[prompts[-1] :] if prompts else messages


def _answers(message: dict[str, Any]) -> bool:
    return message["role"] == "model" or message.get("name") == FINAL_ANSWER


def _answer(call: ModelCall, calls: list[RawCall], text: str | None) -> Answer:
    message = plain_message(calls, text)
    read = sum(len(json.dumps(message, default=str)) for message in call.messages) // 4
    return Answer(
        message=message,
        calls=calls,
        text=text,
        usage=Usage(requests=1, input_tokens=read, output_tokens=len(json.dumps(message)) // 4, usd=0.0),
        model="offline model",
        provider=OFFLINE,
        price="offline model: nothing to pay",
        finish="tool_call" if calls else "stop",
    )


def _id(call: ModelCall) -> str:
    # Another provider that takes over the session refuses ids that repeat.
    return f"call-{call.call[:8]}-{call.turn}"


def _told(call: ModelCall, facts: dict[str, Any]) -> str:
    messages = _of_this_call(call.messages)
    used = ", ".join(dict.fromkeys(message["name"] for message in messages if message["role"] == "tool"))
    return f"Offline model: no provider was asked. Tools used: {used or 'none'}."


def _facts(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """What the conversation names: the last value of each name."""
    found: dict[str, Any] = {}
    for message in messages:
        if message["role"] == "user":
            found |= {name.lower(): _scalar(value.strip('"')) for name, value in _PAIR.findall(message["text"])}
        elif "result" in message:
            found |= dict(_named(message["result"]))
    return found


def _scalar(text: str) -> Any:
    return int(text) if re.fullmatch(r"-?\d{1,15}", text) else text.rstrip(".")


def _named(value: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    if depth > _DEPTH:
        return
    if isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, (dict, list)):
                yield from _named(item, depth + 1)
            else:
                yield name.lower(), item
    elif isinstance(value, list):
        for item in value[:1]:
            yield from _named(item, depth + 1)


def _filled(schema: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any] | None:
    """The required arguments, or None if one is not known."""
    properties = schema.get("properties", {})
    arguments = {}
    for name in schema.get("required", ()):
        value = facts.get(name.lower())
        if value is None or not _fits(properties.get(name, {}), value):
            return None
        arguments[name] = value
    return arguments


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def _fits(schema: dict[str, Any], value: Any) -> bool:
    kinds = _TYPES.get(schema.get("type", ""), (object,))
    return isinstance(value, kinds) and ("enum" not in schema or value in schema["enum"])


def _made(schema: dict[str, Any], root: dict[str, Any], facts: dict[str, Any], text: str, depth: int = 0) -> Any:
    """A value of this schema, from the facts where their names and types fit."""
    if "$ref" in schema and depth < _DEPTH:
        name = str(schema["$ref"]).rsplit("/", 1)[-1]
        return _made(root.get("$defs", {}).get(name, {}), root, facts, text, depth + 1)
    if "default" in schema:
        return schema["default"]
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if schema.get(several):
            return _made(schema[several][0], root, facts, text, depth + 1)
    match schema.get("type"):
        case "object":
            properties: dict[str, Any] = schema.get("properties", {})
            return {
                name: facts[name.lower()]
                if name.lower() in facts and _fits(inner, facts[name.lower()])
                else _made(inner, root, facts, text, depth + 1)
                for name, inner in properties.items()
                if name in schema.get("required", ()) or name.lower() in facts
            }
        case "array":
            return []
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return False
        case "null":
            return None
    return text[: min(_LONGEST, schema.get("maxLength", _LONGEST))]
