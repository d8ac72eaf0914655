"""A typo in a workflow's input is refused with a suggestion, unless the input's author allows unknown fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentgrid.control.inputs import Checker
from agentgrid.errors import InvalidInput
from agentgrid.sdk.grid import Grid
from tests.sdk.test_grid import project

__all__ = ["project"]

Project = Callable[..., Grid]

TYPES = """
from dataclasses import dataclass
from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

class Inner(BaseModel):
    amount_cents: int = 0

class Invoice(BaseModel):
    approve_within: int = 1
    lines: list[Inner] = []

class Loose(BaseModel):
    model_config = ConfigDict(extra="{extra}")
    approve_within: int = 1

@dataclass
class Plain:
    approve_within: int = 1

class Typed(TypedDict, total=False):
    approve_within: int

class ByName(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    approve_within: int = Field(1, alias="approveWithin")

class ByAny(BaseModel):
    approve_within: int = Field(1, validation_alias=AliasChoices("a", "b"))

@ag.workflow(title="W")
class W:
    @workflow.run
    async def run(self, x: {parameter}) -> int:
        return 1
"""


async def faults(project: Project, parameter: str, value: Any, *, extra: str = "ignore") -> list[tuple[str, str]]:
    grid = project(flow=TYPES.replace("{parameter}", parameter).replace("{extra}", extra))
    grid.check()
    (registered,) = grid.workflows
    try:
        await Checker().check("w", registered.version, registered.input_schema, value)
    except InvalidInput as error:
        return [(fault.pointer, fault.message) for fault in error.faults]
    return []


@pytest.mark.parametrize("parameter", ["Invoice", "Plain", "Typed"])
async def test_a_misspelt_field_is_reported_with_a_suggestion(project: Project, parameter: str) -> None:
    reported = await faults(project, parameter, {"approve_withn": 3})
    assert reported == [("/input/approve_withn", "unknown field; did you mean 'approve_within'?")]
    assert await faults(project, parameter, {"approve_within": 3}) == []


async def test_unknown_fields_are_reported_at_any_depth_with_or_without_a_suggestion(project: Project) -> None:
    reported = await faults(project, "Invoice", {"lines": [{"amount_cent": 1}, {"xyz": 1}]})
    assert reported == [
        ("/input/lines/0/amount_cent", "unknown field; did you mean 'amount_cents'?"),
        ("/input/lines/1/xyz", "unknown field"),
    ]


@pytest.mark.parametrize("extra", ["ignore", "allow"])
async def test_a_type_with_its_own_extra_setting_keeps_it(project: Project, extra: str) -> None:
    assert await faults(project, "Loose", {"approve_withn": 3}, extra=extra) == []


@pytest.mark.parametrize(
    ("parameter", "field"), [("ByName", "approve_within"), ("ByAny", "b"), ("dict[str, int]", "x")]
)
async def test_other_names_that_pydantic_accepts_are_accepted(project: Project, parameter: str, field: str) -> None:
    assert await faults(project, parameter, {field: 3}) == []


async def test_a_name_of_a_megabyte_is_not_quoted(project: Project) -> None:
    ((pointer, message),) = await faults(project, "Invoice", {"x" * 1_000_000: 3})
    assert pointer == "/input"
    assert len(message) < 400
