"""Values that fit a JSON Schema, always the same for the same schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 12
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
TEXTS = ("example", "A1", "a-1", "A-1", "T-1001", "1", "1001", "a", "A", "2026-01-01", "someone@example.com", "EUR")
"""Tried in turn where a pattern is required."""


def sample(schema: Any) -> Any:
    """The simplest value that fits: required properties alone, the first choice, the smallest number. A pattern may be missed."""
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
            rest = {name: value for name, value in schema.items() if name != options}
            option = next((one for one in schema[options] if one.get("type") != "null"), schema[options][0])
            return _sample(_merged(rest, option), root, depth + 1)
    return _of_type(schema, root, depth)


def _resolved(schema: Mapping[str, Any], root: Any) -> Mapping[str, Any]:
    """The schema with its reference and its `allOf` merged in."""
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
        kind = next((one for one in kind if one != "null"), "null")
    match kind:
        case "object":
            known = schema.get("properties", {})
            required = dict.fromkeys(schema.get("required", ()))
            return {name: _sample(known.get(name, {"type": "string"}), root, depth + 1) for name in required}
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
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    value: int | float = step
    if least is not None and (value < least or (value == least and "exclusiveMinimum" in schema)):
        value = -(-least // step) * step
        if value == schema.get("exclusiveMinimum"):
            value += step
    if most is not None and value >= most:
        exclusive = "exclusiveMaximum" in schema
        value = most // step * step
        if exclusive and value == most:
            value -= step
        if least is not None and value < least and not whole:
            value = (least + most) / 2
    return int(value) if whole else value


def _text(schema: Mapping[str, Any]) -> str:
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    least, most = schema.get("minLength", 0), schema.get("maxLength", 10_000)
    pattern = schema.get("pattern")
    for text in TEXTS:
        if pattern is None:
            text = (text + "." * max(0, least - len(text)))[:most]
        if least <= len(text) <= most and (pattern is None or re.search(pattern, text)):
            return text
    return TEXTS[0]
