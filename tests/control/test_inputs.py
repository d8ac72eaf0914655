"""Checking inputs against schemas: pointers for faults, and the arguments that a workflow is started with."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from agentgrid.control import long_checks
from agentgrid.control.inputs import MAX_CACHED_SCHEMAS, Checker, arguments_of
from agentgrid.domain import schemas
from agentgrid.domain.schemas import MAX_FAULTS
from agentgrid.errors import Conflict, InvalidInput, RateLimited

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


async def check(schema: dict[str, Any], value: Any) -> None:
    await Checker().check("ticket", "1", schema, value)


async def faults(schema: dict[str, Any], value: Any) -> list[str]:
    with pytest.raises(InvalidInput) as raised:
        await check(schema, value)
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
async def test_a_valid_input_becomes_the_workflows_arguments(schema, value, arguments):
    await check(schema, value)
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
    ],
)
async def test_each_fault_has_a_pointer(schema, value, pointers):
    assert sorted(await faults(schema, value)) == sorted(pointers)


async def test_only_the_first_faults_are_listed_and_a_huge_value_is_not_quoted():
    assert len(await faults({"items": {"type": "integer"}}, ["x"] * 1000)) == MAX_FAULTS
    with pytest.raises(InvalidInput) as raised:
        await check({"type": "integer"}, "x" * 1_000_000)
    assert len(raised.value.faults[0].message) < 1000


ITEMS_IN_TWO_WAYS = {
    "anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"type": "array", "items": {"$ref": "#"}}, {"type": "string"}]
}
TREE = {
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {"n": {"type": "integer"}, "below": {"type": "array", "items": {"$ref": "#/$defs/Node"}}},
            "required": ["n"],
        }
    },
    "$ref": "#/$defs/Node",
}
UNUSABLE = [
    ({"$ref": "#/$defs/Nowhere"}, "broken reference"),
    ({"$ref": "http://127.0.0.1:1/schema"}, "external schema"),
    ({"$ref": "file:///etc/passwd"}, "external schema"),
    ({"$ref": "#"}, "endlessly"),
    ({"$ref": "#/$defs/A", "$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}]}}}, "endlessly"),
    ({"type": "wat"}, "not a valid JSON Schema"),
    ({"type": "string", "pattern": "("}, "pattern"),
    ({"type": "string", "pattern": "(?<!x)y"}, "look-around"),
    ({"type": "string", "pattern": "^(a{1,1000}){1,1000}$"}, "can't run"),
    ({"properties": {f"p{n}": {"pattern": "x"} for n in range(1_000)}}, "too large"),
    ({"$defs": {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(5_000)}, "$ref": "#/$defs/a0"}, "too long"),
    ([], "not a JSON object"),
]


def nested(levels: int, leaf: Any) -> Any:
    return leaf if levels == 0 else [nested(levels - 1, leaf)]


@pytest.mark.parametrize(("schema", "words"), UNUSABLE)
async def test_a_start_with_an_unusable_schema_is_refused_with_the_reason(schema, words):
    with pytest.raises(Conflict, match="the input schema of ticket 1 can't be used") as raised:
        await check(schema, 1)
    assert words in raised.value.message


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "(.*a){20}"])
async def test_a_pattern_runs_in_linear_time(pattern):
    started = time.process_time()
    with pytest.raises(InvalidInput):
        await check({"type": "string", "pattern": pattern}, "a" * 19 + "b" * 19)
    assert time.process_time() - started < 1


async def test_listing_exponentially_many_faults_times_out_without_blocking(monkeypatch):
    monkeypatch.setattr(long_checks, "SECONDS", 1.0)
    gaps = asyncio.create_task(longest_gap())
    with pytest.raises(InvalidInput) as raised:
        await check(ITEMS_IN_TWO_WAYS, nested(60, 1))
    gaps.cancel()
    assert "does not fit" in raised.value.faults[0].message
    assert await gaps < 0.5
    await check(ITEMS_IN_TWO_WAYS, nested(60, "fits"))


async def longest_gap() -> float:
    """The longest time that the event loop was blocked; measures until cancelled."""
    longest, last = 0.0, time.monotonic()
    try:
        while True:
            await asyncio.sleep(0.01)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
    except asyncio.CancelledError:
        return max(longest, time.monotonic() - last)


async def test_references_that_double_at_each_level_are_checked_in_bounded_time(monkeypatch):
    monkeypatch.setattr(long_checks, "SECONDS", 1.0)
    doubling = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)}
    with pytest.raises(InvalidInput) as raised:
        await check(
            {"$defs": {**doubling, "a60": {"type": "string"}}, "$ref": "#/$defs/a0"},
            "it fits, but the check takes too long",
        )
    assert "could not be checked within" in raised.value.faults[0].message


async def test_faults_in_a_recursive_value_have_pointers():
    tree = {"n": 1, "below": [{"n": 2}, {"n": 3, "below": [{"n": "x"}, {}]}]}
    assert sorted(await faults(TREE, tree)) == ["/input/below/1/below/0/n", "/input/below/1/below/1"]
    deep: dict[str, Any] = {"n": "x"}
    for _ in range(25):
        deep = {"n": 1, "below": [deep]}
    assert await faults(TREE, deep) == ["/input" + "/below/0" * 25 + "/n"]


async def test_a_fault_far_into_a_long_input_has_a_pointer():
    numbers: list[Any] = [1] * 100_000
    numbers[77_777] = "x"
    assert await faults({"type": "array", "items": {"type": "integer"}}, numbers) == ["/input/77777"]


async def test_the_number_of_concurrent_long_checks_is_limited(monkeypatch):
    monkeypatch.setattr(long_checks, "_running", long_checks.MAX_CONCURRENT)
    with pytest.raises(RateLimited):
        await check(TREE, {"n": "x"})
    await check(TREE, {"n": 1})


async def test_a_schema_is_compiled_once_and_again_when_it_changes(monkeypatch):
    calls = []
    compiled = schemas.compiled
    monkeypatch.setattr(schemas, "compiled", lambda schema: calls.append(schema) or compiled(schema))
    checker = Checker()
    for schema, version in [(TICKET, "1"), (dict(TICKET), "1"), (TICKET, "2"), ({}, "1"), ({"type": "wat"}, "3")] * 2:
        try:
            await checker.check("ticket", version, schema, {"id": "x"})
        except Conflict:
            assert version == "3"
    assert calls == [TICKET, TICKET, {}, {"type": "wat"}, TICKET, {}]
    for number in range(2 * MAX_CACHED_SCHEMAS):
        await checker.check("ticket", str(number), {}, 1)
    assert len(checker._cache) == MAX_CACHED_SCHEMAS


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("date-time", "2026-01-01T00:00:00"),
        ("time", "12:00:00"),
        ("duration", "-P1DT0.5S"),
        ("uri", "http://example.invalid/ä"),
        ("regex", "(?<!x)y"),
    ],
)
async def test_formats_accept_what_pydantic_accepts(form, value):
    await check({"type": "string", "format": form}, value)


@pytest.mark.parametrize(
    ("form", "value"),
    [("date", "x"), ("email", "x"), ("uuid", "x"), ("ipv4", "x"), ("ipv6", "x"), ("regex", "(")],
)
async def test_formats_refuse_what_no_parser_accepts(form, value):
    assert await faults({"type": "string", "format": form}, value) == ["/input"]
