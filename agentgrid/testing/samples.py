"""Generates sample values for a JSON Schema, always the same for the same schema."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Iterator, Mapping
from contextlib import suppress
from re import _parser  # type: ignore[attr-defined]
from typing import Any

MAX_DEPTH = 12
NULL_DEPTH = 3
"""Below this depth, anything nullable is null: a type may contain itself."""
FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
TEXT = "example"
CANDIDATES = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" + string.punctuation + " "
CATEGORIES = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}


def sample(schema: Any) -> Any:
    """The simplest value that fits: only required properties, the first choice, the smallest number. May not match a pattern with lookahead."""
    return _sample(schema, schema, 0)


def _sample(schema: Any, root: Any, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return None
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    for choices in ("enum", "examples"):
        if schema.get(choices):
            return schema[choices][0]
    if schema.get("default") is not None:
        return schema["default"]
    for options in ("anyOf", "oneOf"):
        if schema.get(options):
            if depth > NULL_DEPTH and any(choice.get("type") == "null" for choice in schema[options]):
                return None
            rest = {name: value for name, value in schema.items() if name != options}
            option = next((choice for choice in schema[options] if choice.get("type") != "null"), schema[options][0])
            return _sample(_merged(rest, option), root, depth + 1)
    return _of_type(schema, root, depth)


def _resolved(schema: Mapping[str, Any], root: Any) -> Mapping[str, Any]:
    """The schema with its reference and `allOf` merged in."""
    for _ in range(MAX_DEPTH):
        parts: list[Any] = list(schema.get("allOf", ()))
        if isinstance(ref := schema.get("$ref"), str):
            target = root
            for step in ref.removeprefix("#").strip("/").split("/"):
                target = target.get(step, {}) if step else target
            parts.append(target)
        if not parts:
            break
        schema = {name: value for name, value in schema.items() if name not in ("allOf", "$ref")}
        for part in parts:
            schema = _merged(schema, part)
    return schema


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**other, **one}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**other["properties"], **one["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = [*one["required"], *other["required"]]
    return merged


def _of_type(schema: Mapping[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    match kind:
        case "object":
            properties = schema.get("properties", {})
            required = dict.fromkeys(schema.get("required", ()))
            return {name: _sample(properties.get(name, {"type": "string"}), root, depth + 1) for name in required}
        case "array":
            first = [_sample(item, root, depth + 1) for item in schema.get("prefixItems", ())]
            more = max(0, schema.get("minItems", 0) - len(first))
            return first + [_sample(schema.get("items", {}), root, depth + 1) for _ in range(more)]
        case "integer" | "number":
            return _number(schema, whole=kind == "integer")
        case "boolean":
            return False
        case "null":
            return None
    return _text(schema)


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    step = schema.get("multipleOf", 1)
    least = schema.get("minimum", schema.get("exclusiveMinimum", -math.inf))
    most = schema.get("maximum", schema.get("exclusiveMaximum", math.inf))
    above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)

    def candidates() -> Iterator[int | float]:
        yield step
        yield 0
        if math.isfinite(least):
            yield from (-(-least // step) * step, (least // step + 1) * step)
        if math.isfinite(most):
            yield from (most // step * step, (-(-most // step) - 1) * step)
        if math.isfinite(least) and math.isfinite(most):
            yield (least + most) / 2

    fitting = (number for number in candidates() if least <= number <= most and above < number < below)
    value = next(fitting, step)
    return int(value) if whole else value


def _text(schema: Mapping[str, Any]) -> str:
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    least: int = schema.get("minLength", 0)
    most: int = schema.get("maxLength", 10_000)
    if (pattern := schema.get("pattern")) is not None:
        for repeats in (1, least):
            with suppress(re.error, ValueError):
                text = _matching(_parser.parse(pattern), repeats)
                if least <= len(text) <= most and re.search(pattern, text):
                    return text
    return (TEXT + "." * max(0, least - len(TEXT)))[:most]


def _matching(parsed: Any, repeats: int) -> str:
    """A text that matches the parsed pattern. repeats: how often to repeat, where the pattern allows it."""
    return "".join(_piece(str(kind), value, repeats) for kind, value in parsed)


def _piece(kind: str, value: Any, repeats: int) -> str:
    match kind:
        case "LITERAL":
            return chr(value)
        case "ANY":
            return "a"
        case "AT":
            return ""
        case "SUBPATTERN":
            return _matching(value[3], repeats)
        case "BRANCH":
            return _matching(value[1][0], repeats)
        case "MAX_REPEAT" | "MIN_REPEAT":
            least, most, repeated = value
            times: int = max(least, min(repeats, int(most)))
            return _matching(repeated, 1) * times
        case "IN":
            return next((char for char in CANDIDATES if re.match(_class(value), char)), "")
    raise ValueError(f"patterns with {kind} are not supported")


def _class(parts: Any) -> str:
    """Turn the parsed character class back into a pattern."""
    written = ""
    for kind, value in parts:
        match str(kind):
            case "NEGATE":
                written = "^"
            case "LITERAL":
                written += re.escape(chr(value))
            case "RANGE":
                written += f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
            case "CATEGORY":
                written += CATEGORIES[str(value)]
    return f"[{written}]"
