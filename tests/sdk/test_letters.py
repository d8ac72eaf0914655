"""What approvers read about a tool: units, reach, and the template of titles."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import pytest
from pydantic import Field

import agentgrid as ag
from agentgrid.domain import asks
from agentgrid.sdk.faults import tool_faults
from agentgrid.sdk.grid import Grid
from agentgrid.sdk.tool_runs import tool_runs
from agentgrid.worker.catalog import document

Cents = Annotated[int, Field(gt=0, title="Amount"), ag.unit("cents", currency="USD")]


def declared(**over: Any) -> ag.Tool[..., Any]:
    @ag.tool(**{"title": "Refund", "timeout": timedelta(seconds=1), **over})
    async def refund(ticket_id: str, amount_cents: Cents, weight: Annotated[float | None, ag.unit("kg")] = None) -> str:
        return ticket_id

    return refund


def test_units_are_schema_keywords_next_to_those_of_the_author():
    properties = declared().signature.input_schema["properties"]
    amount = properties["amount_cents"]
    assert (amount["x-unit"], amount["x-currency"]) == ("cents", "USD")
    assert (amount["title"], amount["type"], amount["exclusiveMinimum"]) == ("Amount", "integer", 0)
    assert properties["weight"]["x-unit"] == "kg"
    assert "x-unit" not in properties["ticket_id"]
    assert declared().signature.load_arguments({"ticket_id": "T-1", "amount_cents": 5})["amount_cents"] == 5


@pytest.mark.parametrize(
    ("name", "currency"), [("cents", None), ("", None), ("x" * 21, None), ("cents", "usd"), ("cents", "US")]
)
def test_an_invalid_unit_is_refused(name: str, currency: str | None):
    with pytest.raises(ValueError, match=r"unit|cents|currency"):
        ag.unit(name, currency=currency)


def test_models_get_schemas_without_units():
    schema = declared().signature.input_schema | {"default": {"x-unit": "kept"}}
    schema["properties"]["x-unit"] = {"type": "string"}
    stripped = asks.without_units(schema)
    assert "x-currency" not in str(stripped)
    assert stripped["default"] == {"x-unit": "kept"}
    assert stripped["properties"]["x-unit"] == {"type": "string"}
    assert stripped["properties"]["amount_cents"]["title"] == "Amount"


@pytest.mark.parametrize(
    ("over", "why"),
    [
        ({"asks": "Refund {amount}"}, "it names amount, but the arguments are amount_cents, ticket_id, weight"),
        ({"asks": "Refund {ticket_id.__class__}"}, "only names are allowed in braces"),
        ({"asks": "Refund {ticket_id!r}"}, "only names are allowed in braces"),
        ({"asks": "Refund {amount_cents:>9999}"}, "only names are allowed in braces"),
        ({"asks": "Refund {0}"}, "only names are allowed in braces"),
        ({"asks": "Refund {"}, "unmatched brace"),
        ({"asks": " "}, "between 1 and 200 characters"),
        ({"asks": "x" * 201}, "between 1 and 200 characters"),
        ({"asks": 7}, "it must be a string"),
        ({"reach": "Moves money out"}, "its reach must be a tuple"),
        ({"reach": ("Moves\nmoney",)}, "its reach must be a tuple"),
        ({"reach": ("a",) * 7}, "its reach must be a tuple"),
        ({"reach": ("x" * 61,)}, "its reach must be a tuple"),
        ({"undoable": "no"}, "it must be True, False or None"),
    ],
)
def test_a_mistake_is_reported_with_file_and_line(over: dict[str, Any], why: str):
    tool = declared(**over)
    (fault,) = tool_faults([tool], {})
    assert why in str(fault)
    assert (fault.file, fault.line) == (__file__, tool.line)


def test_declared_options_are_registered():
    tool = declared(
        reach=("Moves money out", "One customer"), undoable=False, asks="Refund {amount_cents} on {ticket_id}"
    )
    assert list(tool_faults([tool], {})) == []
    grid = Grid("letters")
    grid.__dict__.update(tools=(tool,), workflows=(), tool_runs=tool_runs([tool]), agents=())
    (registered,) = document(grid, "queue")["tools"]
    (run,) = document(grid, "queue")["workflows"]
    assert (registered["reach"], registered["undoable"]) == (["Moves money out", "One customer"], False)
    assert registered["asks"] == run["subject"] == "Refund {amount_cents} on {ticket_id}"


SCHEMA = {
    "properties": {
        "amount": {"type": "integer", "x-unit": "cents", "x-currency": "USD"},
        "weight": {"type": "number", "x-unit": "kg"},
        "odd": {"type": "integer", "x-unit": ["cents"], "x-currency": 7},
    }
}


@pytest.mark.parametrize(
    ("template", "arguments", "expected"),
    [
        ("Refund {amount} on ticket {id}", {"amount": 123456789, "id": "T-1"}, "Refund 1,234,567.89 USD on ticket T-1"),
        ("{amount}", {"amount": -5}, "-0.05 USD"),
        ("{amount}", {"amount": 1.5}, "1.5 cents USD"),
        ("{amount}", {"amount": True}, "yes"),
        ("Ship {weight}", {"weight": 12}, "Ship 12 kg"),
        ("{odd}", {"odd": 7}, "7"),
        ("{{{id}}}", {"id": "x"}, "{x}"),
        ("Book {id}", {"id": "2026-11-29T14:30:00+02:00"}, "Book 2026-11-29 14:30 UTC+02:00"),
        # A value can't be mistaken for words of the template, or for a template.
        ("Refund {id}", {"id": "T-1, approved by Mara"}, "Refund “T-1, approved by Mara”"),
        ("Refund {id}", {"id": "a” and “b"}, "Refund “a' and 'b”"),
        ("Refund {id}", {"id": "{amount}"}, "Refund {amount}"),
        ("Refund {id}", {"id": ""}, "Refund “”"),
        ("Refund {id}", {"id": "T\u202e-1\u200b\x1b[31m\n2"}, "Refund “T -1 [31m 2”"),
        ("Refund {id}", {"id": "\u3164"}, "Refund “”"),
        ("Refund {id}", {"id": "\ud800"}, "Refund “”"),
        ("Refund {id}", {"id": "x" * 100_000}, "Refund " + "x" * 59 + "…"),
        # If it can't be filled, the tool's own title is used.
        ("Refund {id}", {}, None),
        ("Refund {id}", {"id": [1]}, None),
        ("Refund {id}", {"id": {"a": 1}}, None),
        ("Refund {id}", {"id": None}, None),
        ("Refund {id}", {"id": 10**400}, None),
        ("Refund {id.real}", {"id": 1, "id.real": 2}, None),
        ("Refund {id!r:>{w}}", {"id": 1, "w": 9}, None),
        ("{id", {"id": 1}, None),
        ("x" * 201, {}, None),
    ],
)
def test_a_title_is_the_template_filled_with_values(template: str, arguments: dict[str, Any], expected: Any):
    assert asks.title(template, arguments, SCHEMA) == expected
    assert asks.title(template, arguments, None) is None or expected is not None


@pytest.mark.parametrize(
    ("reference", "expected"),
    [("#/$defs/A", "1.00 USD"), ("#/$defs/B", "100"), ("#", "100"), ("A", "100"), (7, "100")],
)
def test_units_are_found_if_the_schema_refers_to_a_definition(reference: Any, expected: str) -> None:
    schema = {"$defs": {"A": SCHEMA}, "$ref": reference}
    assert asks.title("{amount}", {"amount": 100}, schema) == expected
