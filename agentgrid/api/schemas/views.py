"""Saved views of the list of runs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from agentgrid.api.schemas.common import Flag, In, Out, Whole

Filter = dict[str, list[str]]


class ViewPut(In):
    """Save a view, or replace it."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    filter: Annotated[dict[str, list[str]], Field(max_length=30)] = Field(
        description="The query parameters of `GET /runs`, each with its values."
    )
    shared: Flag = Field(
        False, description="Whether everyone can see it. Requires the permission `edit`, also to replace or delete it."
    )
    expected_version: Whole | None = Field(
        None,
        ge=0,
        description="The version that the caller expects, or 0 if the view should not exist; `409` if it differs.",
    )


class ViewOut(Out):
    """A saved view."""

    name: str
    title: str
    shared: bool
    filter: Filter
    version: int
    changed_by: str
    changed_at: datetime


class ViewList(Out):
    """The caller's own views and the shared ones, by title: at most 250."""

    items: list[ViewOut]
    next_cursor: str | None = None
