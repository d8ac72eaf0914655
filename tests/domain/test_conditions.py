"""Conditions on arguments: those that hold, those that don't, and those that can't be judged."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentgrid.domain.condition_text import parsed, written
from agentgrid.domain.conditions import MAX_MATCHED, OPERATORS, Condition, all_hold, fault
from agentgrid.errors import InvalidInput

ARGUMENTS = {
    "amount": 10000,
    "price": 1.5,
    "big": 10**30,
    "currency": "EUR",
    "paid": True,
    "none": None,
    "tags": ["vip", "new"],
    "mixed": ["vip", {"name": "new"}],
    "customer": {"address": {"country": "DE"}, "orders": [{"id": 7}]},
    "not_json": float("nan"),
    "long": "a" * (MAX_MATCHED + 1),
    "torn": "\ud800",
}

JUDGED: list[tuple[str, bool | None]] = [
    ("amount > 9999", True),
    ("amount > 10000", False),
    ("amount >= 10000.0", True),
    ("big > 1e29", True),
    ('currency < "F"', True),
    ("amount == 10000.0", True),
    ("paid == true", True),
    ('customer.address.country in ["DE", "FR"]', True),
    ("customer.orders.0.id == 7", True),
    ('currency not in ["USD"]', True),
    ('currency != "EUR"', False),
    ("none == null", True),
    ("currency == null", False),
    ('tags contains "vip"', True),
    ('tags contains "old"', False),
    ('currency contains "U"', True),
    ('currency matches "^E.R$"', True),
    ('currency matches "^U"', False),
    ("amount exists", True),
    ("none exists", False),
    ("missing exists false", True),
    # These can't be judged.
    ("missing > 1", None),
    ('customer.name == "x"', None),
    ("customer.orders.1.id == 7", None),
    ('amount > "9"', None),
    ("currency > 5", None),
    ("paid == 1", None),
    ("paid > 0", None),
    ("amount == true", None),
    ('none != "EUR"', None),
    ("none > 1", None),
    ('tags == "vip"', None),
    ('amount in ["10000"]', None),
    ('mixed contains "new"', None),
    ('mixed contains "vip"', True),
    ("not_json > 1", None),
    ("not_json == 1", None),
    ('long matches "a"', None),
    ('torn matches "a"', None),
    ('currency matches "(?=E)"', None),
]


@pytest.mark.parametrize(("text", "holds"), JUDGED)
def test_a_condition_holds_does_not_hold_or_cannot_be_judged(text: str, holds: bool | None) -> None:
    assert Condition(**parsed(text)).holds(ARGUMENTS) is holds


def test_conditions_from_a_later_version_cannot_be_judged() -> None:
    assert Condition(argument="amount", op="divides", value=5).holds(ARGUMENTS) is None
    assert (
        Condition.model_validate({"argument": "amount", "op": ">", "value": 5, "unit": "EUR"}).holds(ARGUMENTS) is None
    )


def test_true_and_one_are_different_values() -> None:
    one, true = (Condition(argument="paid", op="==", value=value) for value in (1, True))
    assert one != true
    assert len({one, true, Condition(argument="paid", op="==", value=1)}) == 2


def test_a_condition_that_does_not_hold_outweighs_one_that_cannot_be_judged() -> None:
    no, doubt, yes = (Condition(**parsed(text)) for text in ("amount > 10000", "missing > 1", "amount > 1"))
    assert all_hold([doubt, no], ARGUMENTS) is False
    assert all_hold([doubt, yes], ARGUMENTS) is None
    assert all_hold([yes], ARGUMENTS) is True
    assert all_hold([], ARGUMENTS) is True


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab0"), inner, max_size=3),
    max_leaves=6,
)


@given(
    op=st.sampled_from([*OPERATORS, "later"]),
    path=st.sampled_from(["a", "a.b", "a.0", "0.a"]),
    value=json_values,
    arguments=json_values,
)
def test_every_condition_has_a_result_for_all_arguments(op: str, path: str, value: Any, arguments: Any) -> None:
    """An operator's rule never makes a call raise."""
    assert Condition(argument=path, op=op, value=value).holds(arguments) in (True, False, None)


@given(
    path=st.from_regex(r"\A[^\s.<>=!\x00-\x1f]{1,5}(\.[^\s.<>=!\x00-\x1f]{1,5}){0,2}\Z"),
    op=st.sampled_from(OPERATORS),
    value=st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3), min_size=1, max_size=3),
)
def test_a_written_condition_parses_back(path: str, op: str, value: Any) -> None:
    condition = {"argument": path, "op": op, "value": value}
    assert parsed(written(condition)) == condition


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", 1),
        ("amount", 7),
        ("amount ~ 3", 8),
        ("amount > ", 10),
        ("amount > NaN", 10),
        ("currency == EUR", 13),
        ("a in [1,", 9),
        ("a > 1 2", 7),
    ],
)
def test_an_invalid_condition_reports_the_position(text: str, at: int) -> None:
    with pytest.raises(InvalidInput, match=f"at character {at}: expected"):
        parsed(text)


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        ({"argument": "a b", "op": "==", "value": 1}, "argument"),
        ({"argument": "a..b", "op": "==", "value": 1}, "argument"),
        ({"argument": ".".join("abcdefghijk"), "op": "==", "value": 1}, "argument"),
        ({"argument": "a", "op": "~", "value": 1}, "op"),
        ({"argument": "a", "op": ">", "value": True}, "value"),
        ({"argument": "a", "op": ">", "value": float("inf")}, "value"),
        ({"argument": "a", "op": "==", "value": [1]}, "value"),
        ({"argument": "a", "op": "in", "value": []}, "value"),
        ({"argument": "a", "op": "in", "value": list(range(101))}, "value"),
        ({"argument": "a", "op": "==", "value": "x" * 4001}, "value"),
        ({"argument": "a", "op": "exists", "value": 1}, "value"),
        ({"argument": "a", "op": "matches", "value": "(?=a)"}, "value"),
        ({"argument": "a", "op": "matches", "value": "("}, "value"),
        ({"argument": "a", "op": "matches", "value": "(a{1000}){1000}"}, "value"),
    ],
)
def test_an_invalid_condition_is_refused(condition: dict[str, Any], field: str) -> None:
    invalid = fault(Condition(**condition))
    assert invalid is not None
    assert invalid[0] == field
    assert json.dumps(invalid[1])


def test_a_pattern_that_backtracks_exponentially_elsewhere_is_fast() -> None:
    began = time.monotonic()
    assert Condition(argument="a", op="matches", value="^(a+)+$").holds({"a": "a" * (MAX_MATCHED - 1) + "!"}) is False
    assert time.monotonic() - began < 1
