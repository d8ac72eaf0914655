"""Inputs against schemas: pointers for faults, and the arguments that a workflow is started with."""

from __future__ import annotations

from typing import Any

import pytest

from agentgrid.control.inputs import MAX_FAULTS, arguments_of, check
from agentgrid.errors import InvalidInput

TICKET = {
    "$defs": {"Line": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "a/b~c": {"type": "integer"},
        "lines": {"items": {"$ref": "#/$defs/Line"}},
    },
    "required": ["id"],
}
TWO = {
    "$defs": TICKET["$defs"],
    "type": "array",
    "prefixItems": [{key: value for key, value in TICKET.items() if key != "$defs"}, {"type": "integer"}],
    "items": False,
    "minItems": 2,
}
TUPLE = {"type": "array", "prefixItems": [{"type": "integer"}], "minItems": 1, "maxItems": 1}


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    with pytest.raises(InvalidInput) as raised:
        check(schema, value)
    return [fault.pointer for fault in raised.value.faults]


@pytest.mark.parametrize(
    ("schema", "value", "arguments"),
    [
        ({"type": "null"}, None, []),
        ({}, None, [None]),
        ({}, {"anything": 1}, [{"anything": 1}]),
        (TICKET, {"id": "x", "lines": [{"n": 1}]}, [{"id": "x", "lines": [{"n": 1}]}]),
        (TWO, [{"id": "x"}, 7], [{"id": "x"}, 7]),
        (TUPLE, [7], [[7]]),
    ],
)
def test_what_fits_becomes_the_workflows_arguments(schema, value, arguments):
    check(schema, value)
    assert arguments_of(schema, value) == arguments


@pytest.mark.parametrize(
    ("schema", "value", "pointers"),
    [
        ({"type": "null"}, {}, ["/input"]),
        (TICKET, None, ["/input"]),
        (TICKET, {}, ["/input"]),
        (TICKET, {"id": 1, "lines": [{"n": 1}, {"n": "x"}, {}]}, ["/input/id", "/input/lines/1/n", "/input/lines/2"]),
        (TICKET, {"id": "x", "a/b~c": "no"}, ["/input/a~1b~0c"]),
        (TWO, {}, ["/input"]),
        (TWO, [{"id": "x"}], ["/input"]),
        (TWO, [{"id": "x"}, 1, 2], ["/input"]),
        (TWO, [{"id": 1, "lines": [{}]}, "x"], ["/input/0/id", "/input/0/lines/0", "/input/1"]),
        ({"$ref": "#/$defs/Nowhere"}, 1, ["/input"]),
        ({"$ref": "http://127.0.0.1:1/schema"}, 1, ["/input"]),
    ],
)
def test_what_does_not_fit_is_named_by_its_pointers(schema, value, pointers):
    assert sorted(faults(schema, value)) == sorted(pointers)


def test_of_very_many_faults_the_first_are_enough_and_a_huge_value_is_not_quoted():
    assert len(faults({"items": {"type": "integer"}}, ["x"] * 1000)) == MAX_FAULTS
    with pytest.raises(InvalidInput) as raised:
        check({"type": "integer"}, "x" * 1_000_000)
    assert len(raised.value.faults[0].message) < 1000
