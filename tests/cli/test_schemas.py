"""Schemas on the terminal are short, and no schema that a worker registers can break or block the display."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console, Group

from agentgrid.cli.schemas import description_and_schemas

TICKET = {
    "$defs": {
        "Area": {"enum": ["sales", "support"]},
        "Line": {"type": "object", "properties": {"id": {"type": "string"}}},
    },
    "type": "object",
    "properties": {
        "ticket": {"type": "string", "description": "Its id.\nAnd more."},
        "cents": {"type": "integer", "default": 50},
        "areas": {"type": "array", "items": {"$ref": "#/$defs/Area"}},
        "until": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
    },
    "required": ["ticket", "until"],
}
PAIR = {
    "type": "array",
    "prefixItems": [{"title": "why", "type": "string"}, {"title": "days", "type": "integer"}],
    "minItems": 1,
}


def shown(schema: Any, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(Group(*description_and_schemas({"description": "", "input_schema": schema, "output_schema": None})))
    return [line.strip() for line in console.file.getvalue().splitlines()[2:]]  # type: ignore[attr-defined]


def test_an_object_takes_one_line_per_field() -> None:
    assert [" ".join(line.split()) for line in shown(TICKET)] == [
        "ticket string Its id.",
        "cents? integer = 50",
        "areas? list of (sales | support)",
        "until date | null",
    ]


@pytest.mark.parametrize("width", [40, 60])
def test_a_field_name_is_never_truncated(width: int) -> None:
    name = "approval_above_cents"
    schema = {"properties": {name: {"type": "integer", "default": 5000, "description": "a long text " * 9}}}
    assert shown(schema, width)[0].startswith(f"{name}?")


def test_other_schemas_are_shown_as_their_type() -> None:
    assert shown({"type": "string"}) == ["string"]
    assert shown({}) == ["any"]
    assert shown({"type": "null"}) == ["null"]
    lists = {"type": "array", "items": {"$ref": "#/$defs/Line"}, "$defs": TICKET["$defs"]}
    assert shown(lists) == ["list of object, each with", "id?  string"]
    assert shown(PAIR) == ["a list of these, in this order", "why    string", "days?  integer"]


@pytest.mark.parametrize(
    "schema",
    [
        "no schema",
        [1],
        {"properties": 3, "items": 4, "anyOf": 5},
        {"properties": {"a\x1b[31m": {"type": 7, "default": "\x1b[2J", "description": 8}}, "required": "a"},
        {"properties": {"a": {"enum": [[{}], "\x1b[2J"]}, "b": None, "c": {"type": ["x", 1]}}},
        {"prefixItems": [None, {"title": "a"}, {"title": "a"}, {"title": 3}], "minItems": "x"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"$ref": "#/$defs/a", "$defs": 3},
        {"$ref": "https://attacker.example/schema"},
    ],
    ids=str,
)
def test_a_malformed_schema_is_shown_without_control_characters(schema: Any) -> None:
    lines = shown(schema)
    assert lines
    assert "\x1b" not in "".join(lines)


def test_a_schema_with_many_references_to_itself_is_shown_quickly() -> None:
    """Following every reference would exceed the test's time limit."""
    union = {"anyOf": [{"$ref": "#/$defs/a"}] * 500}
    (line,) = shown({"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": union}})
    assert line.startswith("a?  any | …")
