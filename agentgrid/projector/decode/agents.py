"""Agents' calls and model turns in history. Any worker can write such payloads, so no size or form is assumed."""

from __future__ import annotations

import math
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agentgrid.domain.agents import AgentEnd, AgentHeader, AgentSpec, Hold, Usage
from agentgrid.projector.decode.reader import Reader
from agentgrid.projector.history_events import AgentClosed, AgentOpened, TurnResult
from agentgrid.protocol import ACTIVITY_CLOSE_AGENT, ACTIVITY_OPEN_AGENT, HEADER_AGENT
from agentgrid.temporal.payloads import ARGUMENTS_BYTES

_SPEC = TypeAdapter(AgentSpec)
_END = TypeAdapter(AgentEnd)
_HOLD = TypeAdapter(Hold)
_USAGE = TypeAdapter(Usage)

MAX_COUNT = 10**15
"""A larger count is a forgery and is ignored."""


def caller(a: Any) -> AgentHeader | None:
    """The agent that makes a call."""
    payload = a.header.fields.get(HEADER_AGENT)
    if payload is None:
        return None
    try:
        return AgentHeader.model_validate_json(payload.data)
    except ValidationError:
        return None


def model_call(reader: Reader, a: Any) -> dict[str, Any] | None:
    """A model turn's input with only the new messages, because each turn repeats all earlier ones; None if it isn't a model turn."""
    if len(a.input.payloads) != 1:
        return None
    value = reader.value(a.input.payloads[0])
    if not isinstance(value, dict) or not isinstance(value.get("messages"), list):
        return None
    messages = value["messages"]
    roles = [message.get("role") if isinstance(message, dict) else None for message in messages]
    last = max((at for at, role in enumerate(roles) if role == "model"), default=-1)
    shown: dict[str, Any] = {"model": value.get("model"), "messages": len(messages), "new": messages[last + 1 :]}
    if last < 0 or value.get("turn") == 1:
        # A later call in a session may use another version of its agent.
        shown["instructions"] = value.get("instructions")
    version = value.get("version")
    return {
        "tool_version": version if isinstance(version, str) else None,
        "input": reader.stored_value(shown, limit=ARGUMENTS_BYTES),
    }


def turn(reader: Reader, a: Any) -> TurnResult | None:
    """The model turn in an activity's result, or None. The event doesn't name the activity, so the result's form decides."""
    if len(a.result.payloads) != 1 or b'"latency_ms"' not in a.result.payloads[0].data:
        return None
    value = reader.value(a.result.payloads[0])
    if not isinstance(value, dict) or not {"message", "calls", "usage", "final"} <= value.keys():
        return None
    used = _usage(value["usage"])
    if used is None:
        return None
    shown = {name: value.get(name) for name in ("text", "calls", "output", "fault")}
    facts = {name: _short(value.get(name)) for name in ("model", "provider", "price", "finish")}
    counts = {name: _count(value.get(name)) for name in ("latency_ms", "attempt")}
    return TurnResult(
        usage=used, facts={**facts, **counts}, output=reader.stored_value({k: v for k, v in shown.items() if v})
    )


def marker(reader: Reader, name: str, a: Any) -> dict[str, Any]:
    """The values of the event for one of the agents' local activities; just its output if the result has another form."""
    results = a.details["result"].payloads
    value = reader.value(results[0]) if len(results) == 1 else None
    try:
        if name == ACTIVITY_OPEN_AGENT:
            return {"agent": _opened(reader, _SPEC.validate_python(value))}
        if name == ACTIVITY_CLOSE_AGENT:
            return {"agent": _closed(reader, _END.validate_python(value))}
        return {"hold": _HOLD.validate_python(value)}
    except (ValidationError, ValueError):
        return {"output": reader.stored(list(results))}


def _opened(reader: Reader, spec: AgentSpec) -> AgentOpened:
    limits = TypeAdapter(type(spec.limits)).dump_python(spec.limits, exclude_none=True)
    shown = {"prompt": spec.prompt, "models": spec.models, "tools": spec.tools, "limits": limits}
    return AgentOpened(
        agent=spec.agent,
        version=spec.version,
        call=spec.call,
        parent=spec.parent,
        turn=spec.turn,
        input=reader.stored_value(shown, limit=ARGUMENTS_BYTES),
    )


def _closed(reader: Reader, end: AgentEnd) -> AgentClosed:
    used = _plausible(end.usage)
    if used is None:
        raise ValueError("the usage is not plausible")
    error = None
    if end.error_type is not None:
        error = {"type": _short(end.error_type), "message": end.error or "", "retryable": False}
    return AgentClosed(
        call=end.call,
        cancelled=end.cancelled,
        output=reader.stored_value(end.output) if error is None else None,
        error=error,
        tool_calls=_count(end.tool_calls) or 0,
        usage=used,
    )


def _usage(value: Any) -> Usage | None:
    try:
        return _plausible(_USAGE.validate_python(value))
    except ValidationError:
        return None


def _plausible(usage: Usage) -> Usage | None:
    counts = (usage.requests, usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.unpriced)
    usd = usage.usd
    possible = usd is None or (math.isfinite(usd) and 0 <= usd <= MAX_COUNT)
    return usage if possible and all(0 <= count <= MAX_COUNT for count in counts) else None


def _short(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    # PostgreSQL's JSON operators reject U+0000 and lone surrogates, and usage is summed with them.
    return value.replace("\0", "").encode("utf-8", "replace").decode()[:200]


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value <= MAX_COUNT else None
