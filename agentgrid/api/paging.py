"""Cursors: opaque, and valid only for the list and filter they were issued for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from starlette.requests import Request

from agentgrid.db.paging import Key
from agentgrid.errors import InvalidInput, InvalidPlace

Row = TypeVar("Row")

_NO_FILTER = frozenset({"cursor", "limit"})


def _bound_to(request: Request) -> str:
    """Hash of the list that a cursor is valid for: the path and all parameters except `limit` and `cursor`."""
    filters = sorted((name, value) for name, value in request.query_params.multi_items() if name not in _NO_FILTER)
    return hashlib.sha256(json.dumps([request.url.path, filters]).encode()).hexdigest()[:16]


def encode(request: Request, *position: str | int) -> str:
    """A cursor for the items after this position."""
    text = json.dumps([_bound_to(request), *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(request: Request, cursor: str, *types: type[Any]) -> tuple[Any, ...]:
    """The position in a cursor, with each part type-checked. Raises InvalidInput for anything that `encode` did not produce."""
    invalid = InvalidInput(
        "invalid cursor",
        [InvalidPlace(pointer="cursor", message="use the value of `next_cursor` with the same filters")],
    )
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        bound, *position = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise invalid from None
    fits = len(position) == len(types) and all(
        type(part) is expected for part, expected in zip(position, types, strict=True)
    )
    if bound != _bound_to(request) or not fits or any(isinstance(part, str) and "\x00" in part for part in position):
        raise invalid
    return tuple(position)


def encode_key(request: Request, at: datetime, identifier: str) -> str:
    """A cursor for a list ordered by time."""
    return encode(request, at.isoformat(), identifier)


def decode_key(request: Request, cursor: str | None) -> Key | None:
    """The position in a list ordered by time."""
    if cursor is None:
        return None
    at, identifier = decode(request, cursor, str, str)
    return Key(at=moment(at), id=identifier)


def moment(text: str) -> datetime:
    """The time in a cursor. Raises InvalidInput."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InvalidInput("invalid cursor", [InvalidPlace(pointer="cursor", message="use the value of `next_cursor`")])
    return at


def cut(rows: Sequence[Row], limit: int, cursor_after: Callable[[Row], str]) -> tuple[Sequence[Row], str | None]:
    """The first `limit` rows, and the cursor for the next page if there are more."""
    page = rows[:limit]
    return page, cursor_after(page[-1]) if len(rows) > limit else None
