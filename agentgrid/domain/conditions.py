"""Rule conditions on a call's JSON arguments, such as `amount_cents > 10000`.

A condition holds, doesn't hold, or can't be judged: the argument is missing, has the wrong type for the comparison, or this version doesn't
know the comparison. A condition that can't be judged never relaxes a rule: see `Snapshot.rule_for`.
"""

from __future__ import annotations

import functools
import json
import math
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict

MAX_CONDITIONS = 10
MAX_PATH = 200
MAX_PARTS = 10
MAX_VALUE_BYTES = 4_000
"""Maximum size of a condition's value, as JSON."""
MAX_ITEMS = 100
MAX_PATTERN = 1_000
MAX_MATCHED = 16_384
"""A longer text is not matched against a pattern: the condition can't be judged."""
MAX_PATTERN_BYTES = 1 << 14
"""Maximum size of a compiled pattern. The engine is linear: the time is bounded by this times the length of the text."""

PATH = re.compile(r"[^\s.<>=!]+(\.[^\s.<>=!]+)*")

ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
OPERATORS = ("==", "!=", *ORDERED, "in", "not in", "contains", "exists", "matches")

_MISSING = object()


class Condition(BaseModel):
    """One comparison of an argument with a value. It may have any fields, because a worker must be able to read those of later versions."""

    model_config = ConfigDict(frozen=True, extra="allow")

    argument: str
    """The argument's name, or a dotted path into it. A number is a list index."""
    op: str
    """One of `OPERATORS`."""
    value: Any = True

    def __eq__(self, other: object) -> bool:
        # As JSON: to Python, true equals 1.
        return isinstance(other, Condition) and self._text() == other._text()

    def __hash__(self) -> int:
        return hash(self._text())

    def _text(self) -> str:
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    def holds(self, arguments: Any) -> bool | None:
        """Whether it holds for these arguments; None if that can't be judged."""
        if self.model_extra:
            return None
        actual = _at(arguments, self.argument)
        if self.op == "exists":
            exists = actual is not _MISSING and actual is not None
            return exists is self.value if isinstance(self.value, bool) else None
        return None if actual is _MISSING else _compared(self.op, actual, self.value)


def all_hold(conditions: Iterable[Condition], arguments: Any) -> bool | None:
    """Whether all of them hold. False if one doesn't, even if others can't be judged."""
    results = [condition.holds(arguments) for condition in conditions]
    if False in results:
        return False
    return None if None in results else True


def fault(condition: Condition) -> tuple[str, str] | None:
    """The invalid field of a condition and what it must be, or None if the condition is valid."""
    if len(condition.argument) > MAX_PATH or not PATH.fullmatch(condition.argument):
        return (
            "argument",
            f"must be a name or a dotted path of at most {MAX_PATH} characters, without spaces or < > = !",
        )
    if condition.argument.count(".") >= MAX_PARTS:
        return "argument", f"must have at most {MAX_PARTS} parts"
    if condition.op not in OPERATORS:
        return "op", f"must be one of {', '.join(OPERATORS)}"
    needed = _needed(condition.op, condition.value)
    return None if needed is None else ("value", f"for {condition.op!r} {needed}")


def _needed(op: str, value: Any) -> str | None:
    """What the value must be for this comparison, or None if it is valid."""
    if op == "exists":
        return None if isinstance(value, bool) else "must be true or false"
    if op == "matches":
        return _pattern_fault(value)
    if op in ("in", "not in"):
        fits = isinstance(value, list) and 0 < len(value) <= MAX_ITEMS and all(_type(item) for item in value)
        if not fits:
            return f"must be a list of 1 to {MAX_ITEMS} strings, numbers, true, false or null"
    elif op in ORDERED:
        if _type(value) not in ("number", "string"):
            return "must be a number or a string"
    elif not _type(value):
        return "must be a string, a number, true, false or null"
    return None if len(json.dumps(value)) <= MAX_VALUE_BYTES else f"must be at most {MAX_VALUE_BYTES} bytes"


def _pattern_fault(value: Any) -> str | None:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_PATTERN:
        return f"must be a regular expression of 1 to {MAX_PATTERN} characters"
    if _pattern(value) is None:
        return "must be a valid regular expression without look-around or back-references, and not too large"
    return None


def _at(arguments: Any, path: str) -> Any:
    value = arguments
    for part in path.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif (
            isinstance(value, list)
            and part.isascii()
            and part.isdecimal()
            and len(part) < 10
            and int(part) < len(value)
        ):
            value = value[int(part)]
        else:
            return _MISSING
    return value


def _type(value: Any) -> str:
    """The type of a scalar; "" for anything else. A boolean is not a number, and a number that JSON can't represent has no type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return "number"
    return "string" if isinstance(value, str) else ""


def _compared(op: str, actual: Any, value: Any) -> bool | None:
    if op in ("==", "!="):
        equal = _equal(actual, value)
        return equal if equal is None or op == "==" else not equal
    if op in ORDERED:
        comparable = _type(actual) == _type(value) and _type(actual) in ("number", "string")
        return ORDERED[op](actual, value) if comparable else None
    if op in ("in", "not in"):
        among = _among(actual, value) if isinstance(value, list) else None
        return among if among is None or op == "in" else not among
    if op == "contains":
        return _contains(actual, value)
    return _matches(actual, value) if op == "matches" else None


def _equal(actual: Any, value: Any) -> bool | None:
    types = _type(actual), _type(value)
    if "" in types:
        return None
    if types[0] != types[1]:
        return False if value is None else None
    return bool(actual == value)


def _among(actual: Any, values: list[Any]) -> bool | None:
    if not _type(actual) or _type(actual) not in map(_type, values):
        return None
    return any(_equal(actual, value) for value in values)


def _contains(actual: Any, value: Any) -> bool | None:
    if isinstance(actual, str):
        return value in actual if isinstance(value, str) else None
    if not isinstance(actual, list) or not _type(value):
        return None
    equal = [_equal(item, value) for item in actual]
    if True in equal:
        return True
    return None if None in equal else False


def _matches(actual: Any, pattern: Any) -> bool | None:
    if not isinstance(actual, str) or not isinstance(pattern, str) or len(actual) > MAX_MATCHED:
        return None
    is_valid = _pattern(pattern)
    try:
        return None if is_valid is None else is_valid(actual)
    except ValueError:
        return None  # lone surrogates


@functools.lru_cache(maxsize=256)
def _pattern(pattern: str) -> Callable[[str], bool] | None:
    """A function that searches a text for the pattern in linear time; None if the engine can't run the pattern."""
    # Imported here, because workflow code imports this module and never matches anything.
    from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

    if len(pattern) > MAX_PATTERN:
        return None
    try:
        options = RegexOptions(size_limit=MAX_PATTERN_BYTES)
        return Draft202012Validator({"pattern": pattern}, pattern_options=options).is_valid
    except (ValidationError, ValueError):
        return None
