"""Which edits of an agent the code allows."""

from __future__ import annotations

import dataclasses

import pytest

from agentgrid.domain.agent_versions import AgentVersion, changes, faults, fitted
from agentgrid.domain.agents import AgentSpec, Limits

SCHEMA = {"type": "object", "properties": {"score": {"type": "integer", "maximum": 10}}, "required": ["score"]}
CODE = AgentVersion(
    version="0123456789ab",
    made_for="0123456789ab",
    models=["openai:gpt-5"],
    instructions="Look.\nThink.\nAnswer.",
    tools=["look", "refund"],
    output_schema=SCHEMA,
    limits=Limits(requests=10, tool_calls=None, usd=1.0, soft=0.5),
)
SPEC = AgentSpec(
    agent="desk",
    version=CODE.version,
    models=CODE.models,
    instructions=CODE.instructions,
    tools=CODE.tools,
    output_schema=SCHEMA,
    limits=CODE.limits,
)


def edited(**fields: object) -> AgentVersion:
    return CODE.model_copy(update={"version": "edit-1", **fields})


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"tools": ["look", "delete_customer"]}, "/tools/1"),
        ({"models": ["openai:gpt-5", "anthropic:claude"]}, "/models/1"),
        ({"models": ["nobody:x"]}, "/models/0"),
        ({"models": ["openai:"]}, "/models/0"),
        ({"limits": Limits(requests=11, usd=1.0, soft=0.5)}, "/limits/requests"),
        ({"limits": Limits(requests=10, usd=None, soft=0.5)}, "/limits/usd"),
        ({"limits": Limits(requests=10, usd=1.0, soft=None)}, "/limits/soft"),
        ({"output_schema": None}, "/output_schema"),
        ({"output_schema": {"type": "object"}}, "/output_schema"),
        ({"output_schema": {**SCHEMA, "properties": {"score": {"type": "strange"}}}}, "/output_schema"),
        ({"output_schema": {**SCHEMA, "description": "x" * 20_000}}, "/output_schema"),
    ],
)
def test_an_edit_that_exceeds_the_code_is_refused_at_its_place(fields, pointer):
    assert [fault.pointer for fault in faults(CODE, edited(**fields), ["openai:gpt-4*"])] == [pointer]


def test_an_edit_within_the_bounds_of_the_code_is_accepted():
    fields = {
        "models": ["openai:gpt-4o", "offline"],
        "instructions": "Other.",
        "tools": [],
        "limits": Limits(requests=1, tool_calls=3, usd=0.5, tokens=100, soft=0.1),
        "output_schema": {**SCHEMA, "properties": {"score": {"type": "integer", "maximum": 3}}},
    }
    assert list(faults(CODE, edited(**fields), ["openai:gpt-4*"])) == []


def test_a_worker_with_different_code_allows_no_more_than_its_own_code():
    """The API checked the version against the newest code, but this worker may have different code."""
    older = dataclasses.replace(SPEC, tools=["look"], limits=Limits(requests=5, tool_calls=7, usd=None, soft=None))
    spec = fitted(
        older, edited(tools=["refund", "look"], limits=Limits(requests=8, tool_calls=None, usd=0.5, soft=0.5))
    )
    assert spec.tools == ["look"]
    assert spec.limits == Limits(requests=5, tool_calls=7, usd=0.5, soft=0.5)
    assert spec.version == "edit-1"
    with pytest.raises(ValueError, match=r"not narrower than the code's: the code's output is text"):
        fitted(dataclasses.replace(SPEC, output_schema=None), edited())


def test_changes_list_each_field_with_a_diff_of_the_instructions():
    changed = changes(CODE, edited(instructions="Look.\nAnswer.", tools=["look"]))
    assert changed.keys() == {"instructions", "tools"}
    assert changed["tools"] == {"before": ["look", "refund"], "after": ["look"]}
    assert "-Think." in changed["instructions"]["diff"]
