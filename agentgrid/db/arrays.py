"""Conditions with lists of texts, each passed as a single array parameter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ARRAY, Text, any_, cast


def _texts(values: Iterable[str]) -> Any:
    return cast(sorted(values), ARRAY(Text))


def holds_all(column: Any, values: Iterable[str]) -> Any:
    """The `text[]` column contains all of the values. Can use a GIN index."""
    return column.op("@>")(_texts(values))


def holds_any(column: Any, values: Iterable[str]) -> Any:
    """The `text[]` column contains at least one of the values. Can use a GIN index."""
    return column.op("&&")(_texts(values))


def among(column: Any, values: Iterable[str]) -> Any:
    """The column equals one of the values. Unlike `IN`, it isn't compiled again for each number of values, which costs more than a small query."""
    return column == any_(_texts(values))
