"""Keyset paging: the next page begins after the last row of this one, so inserts never shift it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, literal, tuple_


@dataclass(frozen=True, kw_only=True)
class Key:
    """Where a page ended: the time and the identifier of its last row."""

    at: datetime
    id: str | int


def older_than(at: Any, identifier: Any, key: Key) -> ColumnElement[bool]:
    """Rows that come after the key in a list of the newest first."""
    return tuple_(at, identifier) < tuple_(literal(key.at, at.type), literal(key.id, identifier.type))


def newer_than(at: Any, identifier: Any, key: Key) -> ColumnElement[bool]:
    """Rows that come after the key in a list of the oldest first."""
    return tuple_(at, identifier) > tuple_(literal(key.at, at.type), literal(key.id, identifier.type))
