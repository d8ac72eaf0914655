"""Which output schemas count as narrower than the code's."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from agentgrid.domain.narrowing import why_wider


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9)]


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str] = []


class Answer(BaseModel):
    verdict: Literal["refund", "reject", "escalate"]
    note: Annotated[str, Field(max_length=200)] | None = None
    score: Annotated[float, Field(ge=0, le=1)]
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    tags: Annotated[list[str], Field(max_length=5)] = []
    more: dict[str, int] = {}


class Node(BaseModel):
    name: Annotated[str, Field(max_length=10)]
    below: list[Node] = []


CODE: dict[str, Any] = Answer.model_json_schema()
TREE: dict[str, Any] = TypeAdapter(Node).json_schema()


def changed(schema: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with another value at this place; `None` removes it."""
    import copy

    place = result = copy.deepcopy(schema)
    *above, last = path.split("/")
    for part in above:
        place = place[int(part)] if isinstance(place, list) else place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return result


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("title", "Other"),
        ("properties/verdict/enum", ["reject"]),
        ("properties/verdict", {"const": "escalate"}),
        ("properties/note", {"type": "string", "maxLength": 100}),
        ("properties/note", {"type": "null"}),
        ("properties/score/minimum", 0.5),
        ("properties/score", {"type": "integer", "exclusiveMinimum": 0, "maximum": 1}),
        ("properties/pet", {"$ref": "#/$defs/Cat"}),
        ("properties/pet/oneOf", [{"$ref": "#/$defs/Dog"}]),
        ("$defs/Cat/properties/lives/maximum", 7),
        ("properties/tags/items", {"type": "string", "pattern": "^[a-z]+$"}),
        ("properties/tags/maxItems", 0),
        ("properties/more/additionalProperties", False),
        ("required", ["verdict", "score", "pet", "note"]),
        ("additionalProperties", False),
    ],
)
def test_a_tighter_schema_is_narrower(path: str, value: Any):
    assert why_wider(changed(CODE, path, value), CODE) is None


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("properties/verdict/enum", ["refund", "pay"], "'pay' is not admitted"),
        ("properties/verdict/enum", None, "must be one of"),
        ("properties/verdict", None, "admits any value"),
        ("properties/note/anyOf/0/maxLength", 201, "must be at most 200"),
        ("properties/note/anyOf/0/maxLength", None, "must be at most 200"),
        ("properties/score/maximum", 2, "must be at most 1"),
        ("properties/score/type", ["number", "string"], "must be integer or number"),
        ("properties/score/minimum", None, "must be at least 0"),
        ("required", ["verdict", "score"], "must require pet"),
        ("properties/pet", {"type": "object"}, "fits none of the alternatives"),
        ("$defs/Cat/properties/kind/const", "lion", "'lion' is not admitted"),
        ("properties/tags/items", None, "admits any value"),
        ("properties/more/additionalProperties", {"type": "number"}, "must be integer"),
        # Keywords that can't be compared, including some that could hide a wider schema.
        ("patternProperties", {"^verdict$": True}, "patternProperties can't be compared"),
        ("$schema", "http://json-schema.org/draft-04/schema#", "can't be compared"),
        ("properties/score/$ref", "#/$defs/Cat", "a reference next to other keywords"),
        ("properties/score", {"$ref": "https://example.com/x"}, "one of the schema's own $defs"),
        ("properties/score", {"$ref": "#/$defs/Loop"}, "one of the schema's own $defs"),
    ],
)
def test_a_schema_that_may_admit_more_is_refused_with_the_place(path: str, value: Any, why: str):
    reason = why_wider(changed(CODE, path, value), CODE)
    assert reason is not None
    assert why in reason


def test_an_optional_field_can_be_omitted_only_if_no_other_field_can_have_its_name():
    without = changed(CODE, "properties/note", None)
    assert "/properties/note: admits any value" in (why_wider(without, CODE) or "")
    assert why_wider({**without, "additionalProperties": False}, CODE) is None


def test_comparing_a_recursive_schema_terminates():
    assert why_wider(TREE, TREE) is None
    assert why_wider(changed(TREE, "$defs/Node/properties/name/maxLength", 5), TREE) is None
    assert "at most 10" in (why_wider(changed(TREE, "$defs/Node/properties/name/maxLength", 11), TREE) or "")


def test_true_is_not_one():
    assert why_wider({"const": True}, {"const": 1}) is not None
    assert why_wider({"enum": [1, True]}, {"enum": [1]}) is not None


def test_the_cost_is_bounded():
    """Definitions that each refer twice to the next would take 2^60 comparisons."""
    chain: dict[str, Any] = {
        f"D{n}": {
            "type": "object",
            "properties": {"a": {"$ref": f"#/$defs/D{n + 1}"}, "b": {"$ref": f"#/$defs/D{n + 1}"}},
        }
        for n in range(60)
    }
    wide = {"$ref": "#/$defs/D0", "$defs": {**chain, "D60": {"type": "integer"}}}
    narrow = {"$ref": "#/$defs/D0", "$defs": {**chain, "D60": {"type": "integer", "minimum": 1}}}
    why_wider(narrow, wide)
    many = {"anyOf": [{"enum": [n]} for n in range(500)]}
    assert "too large to compare" in (why_wider(many, {"type": "integer", "minimum": 0}) or "")
    assert why_wider(many, {"enum": list(range(500))}) is None
