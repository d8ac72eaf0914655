"""Nesting depth of JSON values: exactly at the limit, and too deep for recursion."""

from __future__ import annotations

from typing import Any

import pytest

from agentgrid.domain.nesting import is_deeper


def nested(levels: int, *, lists: bool) -> Any:
    """A value with exactly this many levels."""
    value: Any = [] if lists else {}
    for _ in range(levels - 1):
        value = [1, value] if lists else {"a": 1, "b": value}
    return value


@pytest.mark.parametrize("lists", [True, False], ids=["arrays", "objects"])
@pytest.mark.parametrize("levels", [2, 64, 10_000])
def test_a_value_at_the_limit_passes_and_one_level_more_does_not(levels: int, lists: bool) -> None:
    assert not is_deeper(nested(levels, lists=lists), levels)
    assert is_deeper(nested(levels + 1, lists=lists), levels)


@pytest.mark.parametrize("value", [None, 1, "[[[[", [], {}])
def test_a_scalar_and_an_empty_value_have_one_level(value: Any) -> None:
    assert not is_deeper(value, 1)
    assert is_deeper([value], 1)
