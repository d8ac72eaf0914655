"""Converts payloads and failures to the form stored in tables: plain JSON of bounded size. Never raises.

A *stored payload* is what a `json` column holds:

    {"size": 12, "value": {...}}                              one payload
    {"size": 30, "arity": 2, "values": [1, 2]}                none or several
    {"size": 99000, "preview": "{\\"a\\": ...", "truncated": true}   over the limit: the first 2 KiB as text
    {"size": 80, "encoding": "binary/encrypted", "opaque": true}    this converter can't decode it

The codec is async and may be remote, so it runs first, in one pass over the protos (`decode_events`); everything after that is pure.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic_core
from google.protobuf.message import Message
from temporalio.api.common.v1 import Header, Memo, Payload, Payloads, SearchAttributes
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.converter import DataConverter, PayloadCodec, PayloadConverter

from agentgrid.domain.activities import classify
from agentgrid.domain.nesting import MAX_STORED, is_deeper

INLINE_BYTES = 32 * 1024
"""Payloads up to this size are stored whole."""
ARGUMENTS_BYTES = 256 * 1024
"""The higher limit for an activity's arguments: an approver of the call must see all of them."""
PREVIEW_BYTES = 2 * 1024
STACK_BYTES = 8 * 1024
MESSAGE_BYTES = 8 * 1024
MAX_CAUSES = 10

_JSON_ENCODINGS = frozenset({"json/plain", "json/protobuf"})
_NOT_ENCODED = (Header, SearchAttributes)


@dataclass(frozen=True, kw_only=True)
class Opaque:
    """A payload that can't be decoded, with the encoding it names."""

    encoding: str


async def decode_events(events: Sequence[HistoryEvent], converter: DataConverter) -> None:
    """Run the codec over every payload of the events, in place. Payloads that it can't decode are left unchanged."""
    codec = converter.payload_codec
    if codec is None:
        return
    for event in events:
        await _decode_message(event, codec)


async def decode(message: Message, converter: DataConverter) -> None:
    """Run the codec over every payload of one message, in place. Payloads that it can't decode are left unchanged."""
    if converter.payload_codec is not None:
        await _decode_message(message, converter.payload_codec)


async def _decode_message(message: Message, codec: PayloadCodec) -> None:
    """Walk the message; headers and search attributes are never encoded, so they are skipped."""
    if isinstance(message, _NOT_ENCODED):
        return
    if isinstance(message, Payload):
        _replace(message, await _decoded([message], codec))
        return
    if isinstance(message, Payloads):
        payloads = await _decoded(list(message.payloads), codec)
        del message.payloads[:]
        message.payloads.extend(payloads)
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for child in _children(value):
            await _decode_message(child, codec)
    if isinstance(message, Failure) and message.HasField("encoded_attributes"):
        _restore_common_attributes(message)


def _children(value: Any) -> Iterable[Message]:
    if isinstance(value, Message):
        return (value,)
    values = value.values() if hasattr(value, "values") else value
    return (child for child in values if isinstance(child, Message))


def _replace(target: Payload, decoded: list[Payload]) -> None:
    if len(decoded) == 1:
        copy = Payload()
        copy.CopyFrom(decoded[0])
        target.CopyFrom(copy)


async def _decoded(payloads: list[Payload], codec: PayloadCodec) -> list[Payload]:
    try:
        return await codec.decode(payloads)
    except Exception:
        # A lost encryption key, or garbage in a signal: it will be stored as opaque, and counted.
        return payloads


def _restore_common_attributes(failure: Failure) -> None:
    """Restore message and stack if the worker encoded them too (`encode_common_attributes`)."""
    try:
        attributes = json.loads(failure.encoded_attributes.data)
        failure.message = attributes.get("message", failure.message)
        failure.stack_trace = attributes.get("stack_trace", failure.stack_trace)
    except (ValueError, AttributeError, TypeError):
        return


def value_of(payload: Payload, converter: PayloadConverter) -> Any:
    """The payload as a JSON value, or `Opaque`. Pure; never raises."""
    encoding = payload.metadata.get("encoding", b"").decode("ascii", "replace")
    if encoding == "binary/null":
        return None
    try:
        if encoding in _JSON_ENCODINGS:
            value = json.loads(payload.data, parse_constant=_not_json, parse_float=_finite)
            brackets = payload.data.count(b"[") + payload.data.count(b"{")
            if brackets > MAX_STORED and is_deeper(value, MAX_STORED):
                return Opaque(encoding=encoding)
            return value
        return pydantic_core.to_jsonable_python(converter.from_payload(payload), inf_nan_mode="strings")
    except Exception:
        # A converter may raise any error for bytes it doesn't know, and JSON can't hold NaN, deep nesting or giant integers.
        return Opaque(encoding=encoding or "none")


def _not_json(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    """Parse a number; reject one such as 1e400, which parses to infinity and can't be written as JSON again."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def store_value(value: Any, *, limit: int = INLINE_BYTES) -> dict[str, Any]:
    """The stored payload of one JSON value."""
    text = dump(value)
    if len(text) > limit:
        return {"size": len(text), "preview": text[:PREVIEW_BYTES], "truncated": True}
    return {"size": len(text), "value": value}


def store(payloads: Sequence[Payload], converter: PayloadConverter, *, limit: int = INLINE_BYTES) -> dict[str, Any]:
    """The stored payload of an input, a result or a signal's arguments."""
    size = sum(len(payload.data) for payload in payloads)
    if size > limit:
        preview = b"".join(payload.data[:PREVIEW_BYTES] for payload in payloads)[:PREVIEW_BYTES]
        return {"size": size, "preview": preview.decode("utf-8", "replace"), "truncated": True}
    values = [value_of(payload, converter) for payload in payloads]
    opaque = next((value for value in values if isinstance(value, Opaque)), None)
    if opaque is not None:
        return {"size": size, "encoding": opaque.encoding, "opaque": True}
    if len(values) == 1:
        return {"size": size, "value": values[0]}
    return {"size": size, "arity": len(values), "values": values}


def is_opaque(stored: Any) -> bool:
    """Whether a stored payload could not be decoded."""
    return isinstance(stored, dict) and stored.get("opaque") is True


def store_failure(failure: Failure, converter: PayloadConverter, *, depth: int = 0) -> dict[str, Any]:
    """A failure as errors are stored: type, message, stack, retryable, details, cause, and the name of what failed."""
    stored: dict[str, Any] = {
        "type": failure_type(failure),
        "message": _clip(failure.message, MESSAGE_BYTES),
        "retryable": retryable(failure),
    }
    if name := _failed(failure):
        stored["failed"] = name
    if failure.stack_trace:
        stored["stack"] = _clip(failure.stack_trace, STACK_BYTES)
    details = _details(failure)
    if details:
        stored["details"] = store(details, converter)
    if failure.HasField("cause") and depth < MAX_CAUSES:
        stored["cause"] = store_failure(failure.cause, converter, depth=depth + 1)
    return stored


def failure_type(failure: Failure) -> str:
    """The failure's type: an application error's own, otherwise the SDK's name for this kind of failure."""
    kind = failure.WhichOneof("failure_info")
    if kind == "application_failure_info":
        return failure.application_failure_info.type or "ApplicationError"
    return {
        "timeout_failure_info": "TimeoutError",
        "canceled_failure_info": "CancelledError",
        "terminated_failure_info": "TerminatedError",
        "server_failure_info": "ServerError",
        "reset_workflow_failure_info": "ResetWorkflowError",
        "activity_failure_info": "ActivityError",
        "child_workflow_execution_failure_info": "ChildWorkflowError",
        "nexus_operation_execution_failure_info": "NexusOperationError",
        "nexus_handler_failure_info": "HandlerError",
    }.get(kind or "", "Failure")


def _failed(failure: Failure) -> str:
    """The tool, activity, child or operation whose failure this one wraps; empty if it wraps none."""
    match failure.WhichOneof("failure_info"):
        case "activity_failure_info":
            return classify(failure.activity_failure_info.activity_type.name)[1]
        case "child_workflow_execution_failure_info":
            return failure.child_workflow_execution_failure_info.workflow_type.name
        case "nexus_operation_execution_failure_info":
            return failure.nexus_operation_execution_failure_info.operation
        case _:
            return ""


def retryable(failure: Failure) -> bool:
    """Whether the failure is marked as retryable."""
    kind = failure.WhichOneof("failure_info")
    if kind == "application_failure_info":
        return not failure.application_failure_info.non_retryable
    if kind == "server_failure_info":
        return not failure.server_failure_info.non_retryable
    return kind == "timeout_failure_info"


def _details(failure: Failure) -> Sequence[Payload]:
    kind = failure.WhichOneof("failure_info")
    if kind == "application_failure_info":
        return failure.application_failure_info.details.payloads
    if kind == "canceled_failure_info":
        return failure.canceled_failure_info.details.payloads
    return ()


def memo_values(memo: Memo, converter: PayloadConverter) -> dict[str, Any]:
    """The memo's fields as JSON values, without those that can't be decoded."""
    values = {name: value_of(payload, converter) for name, payload in memo.fields.items()}
    return {name: value for name, value in values.items() if not isinstance(value, Opaque)}


def input_digest(payloads: Sequence[Payload]) -> str:
    """SHA-256 over the payloads of an input with their metadata, as the data converter produces them, before any codec."""
    hashed = hashlib.sha256()
    for payload in payloads:
        # Each part is preceded by its length, so that different inputs never hash the same bytes.
        parts = [part for name in sorted(payload.metadata) for part in (name.encode(), payload.metadata[name])]
        for part in (len(parts).to_bytes(8), *parts, payload.data):
            hashed.update(len(part).to_bytes(8))
            hashed.update(part)
    return hashed.hexdigest()


def search_attribute(attributes: SearchAttributes, name: str, converter: PayloadConverter) -> str | None:
    """The search attribute with this name, if it is a string."""
    payload = attributes.indexed_fields.get(name)
    value = value_of(payload, converter) if payload is not None else None
    return value if isinstance(value, str) else None


def dump(value: Any) -> str:
    """A JSON value as ASCII text for a `json` column: escaped, so that even a lone surrogate is accepted."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + "…"
