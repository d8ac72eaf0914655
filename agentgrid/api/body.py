"""Reads a request body within limits and parses it as strict JSON that every later reader interprets the same way."""

from __future__ import annotations

import asyncio
import email.message
import json
import math
from typing import Any

from starlette.requests import ClientDisconnect, Request

from agentgrid.api.errors import WireError
from agentgrid.domain.nesting import is_deeper
from agentgrid.domain.pointers import escaped
from agentgrid.errors import InvalidInput, InvalidPlace, PayloadTooLarge

MAX_BYTES = 2 * 1024 * 1024
"""Temporal refuses larger payloads, so a larger body would only fail later."""
MAX_DEPTH = 64
MAX_INTEGER = 2**63 - 1
READ_SECONDS = 30.0


async def read(request: Request) -> bytes:
    """The raw body. Raises PayloadTooLarge as soon as the limit is exceeded, WireError if the body doesn't arrive."""
    content_length = request.headers.get("content-length", "")
    if content_length.isdigit() and int(content_length) > MAX_BYTES:
        raise PayloadTooLarge("the body", int(content_length), MAX_BYTES)
    raw = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.stream():
                raw += chunk
                if len(raw) > MAX_BYTES:
                    raise PayloadTooLarge("the body", len(raw), MAX_BYTES)
    except TimeoutError:
        raise WireError(408, "request_timeout", f"the body did not arrive within {READ_SECONDS:.0f} s") from None
    except ClientDisconnect:
        raise WireError(400, "disconnected", "the connection closed before the whole body arrived") from None
    return bytes(raw)


def check_type(request: Request) -> None:
    """Raise WireError (415) unless the headers declare uncompressed JSON in UTF-8."""
    message = email.message.Message()
    message["content-type"] = request.headers.get("content-type", "")
    charset = str(message.get_param("charset", "utf-8")).lower()
    encoded = request.headers.get("content-encoding", "identity").lower()
    is_json = message.get_content_type() == "application/json" and request.headers.get("content-type")
    if not is_json or charset not in ("utf-8", "utf8") or encoded != "identity":
        raise WireError(415, "unsupported_media_type", "the body must be uncompressed application/json in UTF-8")


def parse(raw: bytes) -> Any:
    """The JSON value. Raises InvalidInput, with a pointer where possible.

    Besides invalid JSON it refuses NaN and infinities, integers over 64 bits, duplicate keys, U+0000 and lone surrogates (which PostgreSQL can't
    store as text), and more than 64 levels of nesting.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_integer,
        )
    except RecursionError:
        raise _refused(f"nested deeper than {MAX_DEPTH} levels") from None
    except UnicodeDecodeError:
        raise _refused("not UTF-8") from None
    except ValueError as error:
        raise _refused(f"invalid JSON: {error}") from None
    if is_deeper(value, MAX_DEPTH):
        raise _refused(f"nested deeper than {MAX_DEPTH} levels")
    if b"\\u" in raw:
        _check_strings(value)
    return value


def unstorable(text: str) -> bool:
    """Whether PostgreSQL can't store this text."""
    return any(character == "\x00" or "\ud800" <= character <= "\udfff" for character in text)


def _refused(problem: str, pointer: str = "") -> InvalidInput:
    return InvalidInput("invalid body", [InvalidPlace(pointer=pointer, message=problem)])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        duplicate = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {duplicate[:100]!r} appears twice in one object")
    return members


def _constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large")
    return number


def _integer(text: str) -> int:
    if len(text) > 20 or abs(number := int(text)) > MAX_INTEGER:
        raise ValueError(f"{text[:40]} is over 64 bits")
    return number


def _check_strings(value: Any, pointer: str = "") -> None:
    if isinstance(value, str) and unstorable(value):
        raise _refused("contains U+0000 or a lone surrogate", pointer)
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_strings(item, f"{pointer}/{index}")
    elif isinstance(value, dict):
        for key, item in value.items():
            if unstorable(key):
                raise _refused("has a key that contains U+0000 or a lone surrogate", pointer)
            _check_strings(item, f"{pointer}/{escaped(key)}")
