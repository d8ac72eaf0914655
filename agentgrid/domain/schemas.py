"""JSON Schemas that foreign values are checked against: what one may say, and what checking a value against it can cost.

Patterns run on an engine that reads a text once (`(a+)+` takes no longer than `a+`); a reference never leaves the document.
What a check costs is bounded before it is made: `price` times the size of the value. Verdicts on schemas that refer to
themselves are remembered by the library, so that bound holds for them too; it does not hold for the list of their faults.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import unquote

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

MAX_VALUES = 20_000
"""JSON values that a schema may consist of."""
MAX_DEPTH = 200
MAX_PATTERNS = 200
MAX_PATTERN_BYTES = 1 << 18
"""A compiled pattern; one for e-mail addresses, with every part bounded, takes half of it."""

MAX_FAULTS = 20
MESSAGE_CHARACTERS = 300

PATTERN_SIZES = (1 << 10, 1 << 12, 1 << 14, 1 << 16, MAX_PATTERN_BYTES)
STRING_STEP = 64
"""Characters of a text that are counted like one more value."""

IN_PLACE = ("$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
"""Keywords whose schemas are asked about the same value."""

UNFOLLOWED = frozenset({"$id", "$dynamicRef", "$recursiveRef"})
"""With these in it, where references lead is the library's knowledge alone."""

MAX_WRITTEN_PATTERN = 1_000


def _anything(_: str) -> bool:
    return True


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text[:MAX_WRITTEN_PATTERN])
    except (re.error, RecursionError, OverflowError):
        return len(text) > MAX_WRITTEN_PATTERN
    return True


FORMATS = {
    # Pydantic takes more than the RFCs allow, and writes it: times without a zone, addresses with umlauts.
    **dict.fromkeys(("date-time", "time", "duration"), _anything),
    **dict.fromkeys(("uri", "uri-reference", "uri-template", "iri", "iri-reference", "hostname"), _anything),
    **dict.fromkeys(("idn-hostname", "json-pointer", "relative-json-pointer"), _anything),
    # In Python's words.
    "regex": _is_pattern,
}


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A schema, ready to check values."""

    validator: Draft202012Validator
    price: float
    """How many rules one value meets at most; infinite where that can't be told."""
    recursive: bool


def compiled(schema: dict[str, Any]) -> Compiled:
    """The schema, made ready. Raises ValueError, with what is wrong where, for one that no value can be checked against."""
    if not isinstance(schema, dict):
        raise ValueError("it is no JSON object")
    _check_size(schema)
    walk = _Walk(schema)
    try:
        # Before the library sees it: it follows references as far as its stack reaches, and ends the process there.
        walk.refuse_endless(schema, ())
        price = walk.price(schema)
    except RecursionError:
        raise ValueError("its references follow each other too far") from None
    try:
        validator = Draft202012Validator(
            schema,
            validate_formats=True,
            formats=FORMATS,
            pattern_options=RegexOptions(size_limit=MAX_PATTERN_BYTES),
            retriever=_elsewhere,
        )
    except ValidationError as error:
        raise ValueError(_said(error)) from None
    return Compiled(validator=validator, price=price, recursive=walk.recursive)


def faults(ready: Compiled, value: Any) -> list[tuple[list[str | int], str]]:
    """The first faults of a value, each with its path and a message of bounded length."""
    found = islice(ready.validator.iter_errors(value), MAX_FAULTS)
    return [(list(error.instance_path), _shortened(error)) for error in found]


def _shortened(error: ValidationError) -> str:
    if len(error.message) <= MESSAGE_CHARACTERS:
        return error.message
    # The message quotes the value, which may be megabytes.
    keyword = next((part for part in reversed(error.schema_path) if isinstance(part, str)), "schema")
    return f"{error.message[:MESSAGE_CHARACTERS]}… ({keyword})"


def size_of(value: Any, *, limit: float) -> float:
    """How much there is to check in a value: its parts, long texts for more than one. Stops counting beyond the limit."""
    size, pending = 0.0, [value]
    while pending and size <= limit:
        each = pending.pop()
        size += 1
        if isinstance(each, str):
            size += len(each) / STRING_STEP
        elif isinstance(each, list):
            pending.extend(each)
        elif isinstance(each, dict):
            pending.extend(each)
            pending.extend(each.values())
    return size


def _check_size(schema: dict[str, Any]) -> None:
    level, count, patterns = [schema], 0, 0
    for _ in range(MAX_DEPTH):
        count += len(level)
        patterns += sum(len(_patterns(each)) for each in level)
        if count > MAX_VALUES or patterns > MAX_PATTERNS:
            raise ValueError(
                f"it is too large: at most {MAX_VALUES:,} JSON values and {MAX_PATTERNS} patterns can be checked against"
            )
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _elsewhere(uri: str) -> Any:
    raise ValueError(f"{uri} is not part of the schema")


def _said(error: ValidationError) -> str:
    if " is not present in a registry" in error.message:
        return f"it refers to something outside of itself ({error.message.split(' is not present')[0]}): copy that into its $defs"
    if error.message.startswith("Pointer "):
        return f"it refers to something that is not there: {error.message}"
    where = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in error.instance_path) or "/"
    if error.message.endswith('is not a "regex"'):
        return (
            f"the pattern at {where} can't be run in bounded time, or is no pattern: {error.message}; look-around and "
            f"back references are not taken, nor what grows beyond {MAX_PATTERN_BYTES // 1024} KiB when compiled"
        )
    return f"it is no JSON Schema: at {where}, {error.message[:200]}"


class _Walk:
    """One walk through a schema and along its references."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._open: set[int] = set()
        self._prices: dict[int, float] = {}
        self.recursive = False

    def refuse_endless(self, schema: Any, above: tuple[int, ...]) -> None:
        """Raise ValueError where a schema comes back to itself without looking at another part of the value."""
        if not isinstance(schema, dict) or id(schema) in self._prices:
            return
        if id(schema) in above:
            raise ValueError(
                "it refers to itself without end: between two references there must be a property or an item"
            )
        for keyword, value in schema.items():
            if keyword in IN_PLACE:
                for each in self._meant(keyword, value):
                    self.refuse_endless(each, (*above, id(schema)))
        # Clean from here on; what is never asked about the same value is looked at by itself.
        self._prices[id(schema)] = 0
        for keyword, value in schema.items():
            if keyword not in IN_PLACE:
                for each in _schemas_in(value):
                    self.refuse_endless(each, ())

    def _meant(self, keyword: str, value: Any) -> Iterator[Any]:
        if keyword == "$ref":
            yield self._target(value)
        elif keyword == "dependentSchemas":
            yield from _children(value)
        elif isinstance(value, list):
            yield from value
        else:
            yield value

    def price(self, schema: Any) -> float:
        """How many rules there are below, each reference counted as what it names, and what names itself once."""
        self._prices.clear()
        return self._price(schema)

    def _price(self, schema: Any) -> float:
        known = self._prices.get(id(schema))
        if known is not None:
            return known
        if not isinstance(schema, dict | list):
            return 1
        if id(schema) in self._open:
            self.recursive = True
            return 1
        self._open.add(id(schema))
        if isinstance(schema, dict):
            within = (value for keyword, value in schema.items() if keyword not in ("$defs", "definitions"))
            price = 1 + sum(map(self._price, within)) + self._extra(schema)
        else:
            price = 1 + sum(map(self._price, schema))
        self._open.discard(id(schema))
        self._prices[id(schema)] = price
        return price

    def _extra(self, schema: dict[str, Any]) -> float:
        extra = 0.0
        if not UNFOLLOWED.isdisjoint(schema):
            self.recursive, extra = True, math.inf
        if isinstance(reference := schema.get("$ref"), str):
            target = self._target(reference)
            extra += math.inf if target is None else self._price(target)
        return extra + sum(_pattern_price(pattern) for pattern in _patterns(schema))

    def _target(self, reference: Any) -> Any:
        """What a pointer into the document names; None for another kind of reference, which the library follows."""
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            return None
        found: Any = self._root
        for part in reference.split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict):
                found = found.get(key)
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                return None
        return found


def _schemas_in(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield value
        yield from (each for each in value.values() if isinstance(each, dict))
    elif isinstance(value, list):
        yield from value


def _patterns(schema: Any) -> list[str]:
    if not isinstance(schema, dict):
        return []
    found = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
    named = schema.get("patternProperties")
    return [*found, *named] if isinstance(named, dict) else found


def _pattern_price(pattern: str) -> float:
    """Steps for each `STRING_STEP` characters of a text: at worst all of a compiled pattern is gone through for each character."""
    for size in PATTERN_SIZES:
        try:
            Draft202012Validator({"pattern": pattern}, pattern_options=RegexOptions(size_limit=size))
        except ValidationError:
            continue
        return size / 16
    return MAX_PATTERN_BYTES
