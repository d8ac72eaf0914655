"""Questions to `text[]` columns, in the words that their GIN indexes answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ARRAY, Text, cast


def _texts(values: Iterable[str]) -> Any:
    return cast(sorted(values), ARRAY(Text))


def holds_all(column: Any, values: Iterable[str]) -> Any:
    """The column holds every one of the values."""
    return column.op("@>")(_texts(values))


def holds_any(column: Any, values: Iterable[str]) -> Any:
    """The column holds at least one of the values."""
    return column.op("&&")(_texts(values))
