"""JSON Schemas for input validation: what a schema may contain, and what validation may cost.

Patterns run on a linear-time engine (`(a+)+` takes no longer than `a+`); references never leave the document. The cost of a check is
bounded before it runs: `price` times the size of the value. The library caches verdicts on recursive schemas, so the bound also holds for
them, but not for listing their faults.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError, ValidationErrorKind

from agentgrid.domain import pointers

MAX_VALUES = 20_000
"""Maximum number of JSON values in a schema."""
MAX_DEPTH = 200
MAX_PATTERNS = 200
MAX_PATTERN_BYTES = 1 << 18
"""Maximum size of a compiled pattern. One for e-mail addresses, with every part bounded, takes half of it."""

MAX_FAULTS = 20
MAX_REPORTED = 5
"""Maximum number of faults in one message."""
MESSAGE_CHARACTERS = 300
MAX_UNKNOWN = 5
"""How many unknown fields of one object a message names."""
MAX_NAME = 100
"""Longer field names are neither quoted nor compared."""
MAX_COMPARED = 100

PATTERN_SIZES = (1 << 10, 1 << 12, 1 << 14, 1 << 16, MAX_PATTERN_BYTES)
STRING_STEP = 64
"""This many characters of text count as one more value."""

CHEAP = 2_000_000.0
"""Up to this product of a schema's price and a value's size, a check may run in the calling process: it takes less than 0.1 s."""
CHEAP_TO_EXPLAIN = 50_000.0
"""The same bound for listing all faults, which costs more and is unbounded for a recursive schema."""

IN_PLACE = ("$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
"""Keywords whose subschemas apply to the same value."""

UNFOLLOWED = frozenset({"$id", "$dynamicRef", "$recursiveRef"})
"""Keywords whose references only the library can resolve."""

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
    # Pydantic accepts and emits more than the RFCs allow, such as times without a zone and URLs with umlauts.
    **dict.fromkeys(("date-time", "time", "duration"), _anything),
    **dict.fromkeys(("uri", "uri-reference", "uri-template", "iri", "iri-reference", "hostname"), _anything),
    **dict.fromkeys(("idn-hostname", "json-pointer", "relative-json-pointer"), _anything),
    # In Python's regex syntax.
    "regex": _is_pattern,
}


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A compiled schema."""

    schema: dict[str, Any]
    validator: Draft202012Validator
    price: float
    """Maximum number of rules applied to one value; infinite if unknown."""
    recursive: bool


def compiled(schema: dict[str, Any], *, mask: str | None = None) -> Compiled:
    """Compile the schema. Raises ValueError, with the fault and its place, if it can't be used for validation.

    mask: what messages show in place of the checked value and its parts.
    """
    if not isinstance(schema, dict):
        raise ValueError("it is not a JSON object")
    _check_size(schema)
    walk = _Walk(schema)
    try:
        # Check first: the library follows references recursively, and a stack overflow there kills the process.
        walk.refuse_endless(schema, ())
        price = walk.price(schema)
    except RecursionError:
        raise ValueError("its chain of references is too long") from None
    try:
        validator = Draft202012Validator(
            schema,
            validate_formats=True,
            formats=FORMATS,
            pattern_options=RegexOptions(size_limit=MAX_PATTERN_BYTES),
            retriever=_elsewhere,
            mask=mask,
        )
    except ValidationError as error:
        raise ValueError(_message(error)) from None
    return Compiled(schema=schema, validator=validator, price=price, recursive=walk.recursive)


def faults(ready: Compiled, value: Any) -> list[tuple[list[str | int], str]]:
    """The first faults of a value, each with its path and a message of bounded length."""
    all_faults = (fault for error in ready.validator.iter_errors(value) for fault in _explained(ready.schema, error))
    return list(islice(all_faults, MAX_FAULTS))


def misfit(ready: Compiled, value: Any) -> str | None:
    """Why a value does not fit, with the place of each fault, or None if it fits. Refuses a check that could take too long."""
    cost = ready.price * size_of(value, limit=CHEAP / ready.price)
    if cost > CHEAP:
        return "it is too large to be checked against its schema"
    if ready.validator.is_valid(value):
        return None
    if ready.recursive or cost > CHEAP_TO_EXPLAIN:
        return "it does not fit its schema"
    reported = faults(ready, value)[:MAX_REPORTED]
    return "; ".join(f"{'.'.join(map(str, path)) or 'the value'}: {message}" for path, message in reported)


def _explained(schema: dict[str, Any], error: ValidationError) -> Iterator[tuple[list[str | int], str]]:
    """An error's faults. Each unknown field is a separate fault, which suggests the known field that it may stand for."""
    path = list(error.instance_path)
    unknown = error.kind.unexpected if isinstance(error.kind, ValidationErrorKind.AdditionalProperties) else []
    if not unknown or any(len(name) > MAX_NAME for name in unknown):
        yield path, _shortened(error)
        return
    known = _known_fields(schema, error)
    for name in unknown[:MAX_UNKNOWN]:
        near = difflib.get_close_matches(name, known, n=1)
        yield [*path, name], f"unknown field; did you mean {near[0]!r}?" if near else "unknown field"


def _known_fields(schema: dict[str, Any], error: ValidationError) -> list[str]:
    """The fields of the object schema that raised this error."""
    subschema: Any = schema
    try:
        for part in list(error.schema_path)[:-1]:
            subschema = subschema[part]
        return [name for name in subschema["properties"] if len(name) <= MAX_NAME][:MAX_COMPARED]
    except (KeyError, IndexError, TypeError):
        return []


def _shortened(error: ValidationError) -> str:
    if len(error.message) <= MESSAGE_CHARACTERS:
        return error.message
    # The message quotes the value, which can be megabytes long.
    keyword = next((part for part in reversed(error.schema_path) if isinstance(part, str)), "schema")
    return f"{error.message[:MESSAGE_CHARACTERS]}… ({keyword})"


def size_of(value: Any, *, limit: float) -> float:
    """The size of a value: the number of its parts, with long texts counted more than once. Stops counting past the limit."""
    size, pending = 0.0, [value]
    while pending and size <= limit:
        part = pending.pop()
        size += 1
        if isinstance(part, str):
            size += len(part) / STRING_STEP
        elif isinstance(part, list):
            pending.extend(part)
        elif isinstance(part, dict):
            pending.extend(part)
            pending.extend(part.values())
    return size


def _check_size(schema: dict[str, Any]) -> None:
    level, count, patterns = [schema], 0, 0
    for _ in range(MAX_DEPTH):
        count += len(level)
        patterns += sum(len(_patterns(value)) for value in level)
        if count > MAX_VALUES or patterns > MAX_PATTERNS:
            raise ValueError(f"it is too large: the limit is {MAX_VALUES:,} JSON values and {MAX_PATTERNS} patterns")
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


def _message(error: ValidationError) -> str:
    if " is not present in a registry" in error.message:
        return f"it refers to an external schema ({error.message.split(' is not present')[0]}): copy it into $defs"
    if error.message.startswith("Pointer "):
        return f"it contains a broken reference: {error.message}"
    where = pointers.pointer(error.instance_path) or "/"
    if error.message.endswith('is not a "regex"'):
        return (
            f"the pattern at {where} is invalid or can't run in linear time: {error.message}; look-around, "
            f"back-references and patterns over {MAX_PATTERN_BYTES // 1024} KiB when compiled are not supported"
        )
    return f"it is not a valid JSON Schema: at {where}, {error.message[:200]}"


class _Walk:
    """A traversal of a schema and its references."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._open: set[int] = set()
        self._prices: dict[int, float] = {}
        self.recursive = False

    def refuse_endless(self, schema: Any, above: tuple[int, ...]) -> None:
        """Raise ValueError if a schema refers back to itself without descending into the value."""
        if not isinstance(schema, dict) or id(schema) in self._prices:
            return
        if id(schema) in above:
            raise ValueError(
                "it refers to itself endlessly: a recursive reference must pass through a property or an item"
            )
        for keyword, value in schema.items():
            if keyword in IN_PLACE:
                for subschema in self._in_place(keyword, value):
                    self.refuse_endless(subschema, (*above, id(schema)))
        # No cycle from here on; subschemas that apply to other values are checked separately.
        self._prices[id(schema)] = 0
        for keyword, value in schema.items():
            if keyword not in IN_PLACE:
                for subschema in _schemas_in(value):
                    self.refuse_endless(subschema, ())

    def _in_place(self, keyword: str, value: Any) -> Iterator[Any]:
        if keyword == "$ref":
            yield self._target(value)
        elif keyword == "dependentSchemas":
            yield from _children(value)
        elif isinstance(value, list):
            yield from value
        else:
            yield value

    def price(self, schema: Any) -> float:
        """The number of rules in the schema, with each reference counted as its target and each recursion once."""
        self._prices.clear()
        return self._price(schema)

    def _price(self, schema: Any) -> float:
        cached = self._prices.get(id(schema))
        if cached is not None:
            return cached
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
        """The target of a JSON pointer into the document; None for any other reference, which the library resolves."""
        try:
            return pointers.referenced(self._root, reference)
        except LookupError:
            return None


def _schemas_in(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield value
        yield from (item for item in value.values() if isinstance(item, dict))
    elif isinstance(value, list):
        yield from value


def _patterns(schema: Any) -> list[str]:
    if not isinstance(schema, dict):
        return []
    patterns = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
    properties = schema.get("patternProperties")
    return [*patterns, *properties] if isinstance(properties, dict) else patterns


def _pattern_price(pattern: str) -> float:
    """Steps per `STRING_STEP` characters of text: in the worst case, each character visits the whole compiled pattern."""
    for size in PATTERN_SIZES:
        try:
            Draft202012Validator({"pattern": pattern}, pattern_options=RegexOptions(size_limit=size))
        except ValidationError:
            continue
        return size / 16
    return MAX_PATTERN_BYTES
