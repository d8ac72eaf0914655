"""Scopes as conditions of a query, so that what a principal may not see is neither read nor counted: `domain/scopes.py` in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import aliased

from agentgrid.db.run_search import like
from agentgrid.db.tables import Run
from agentgrid.domain import scopes

R: Any = Run


def pattern(glob: str) -> str:
    """The glob as a pattern of LIKE: all that LIKE knows but the glob doesn't is taken literally."""
    return like(glob).replace("*", "%").replace("?", "_")


def patterns(globs: Iterable[str]) -> list[str] | None:
    """The globs as patterns of LIKE; None where every workflow is in the scope."""
    given = sorted(globs)
    return None if scopes.is_everything(given) else [pattern(glob) for glob in given]


def within(workflow: Any, globs: Iterable[str]) -> list[ColumnElement[bool]]:
    """Conditions that hold where this column's workflow is in the scope: none at all where every workflow is."""
    given = sorted(globs)
    if scopes.is_everything(given):
        return []
    exact = [glob for glob in given if scopes.is_exact(glob)]
    # An empty scope admits nothing: `IN ()` is false.
    found = [workflow.in_(exact), *(workflow.like(pattern(glob)) for glob in given if not scopes.is_exact(glob))]
    return [or_(*found)]


def among(workflow: Any, globs: Iterable[str]) -> list[ColumnElement[bool]]:
    """As `within`, where all that match are collected: by the names of the workflows that fit, which the index of each finds.

    A pattern finds nothing in an index where its beginning is open. There are few workflows beside their runs, so their names are found first,
    each by one step through the index.
    """
    given = sorted(globs)
    if scopes.is_everything(given):
        return []
    names = select(func.min(R.workflow).label("name")).cte("names", recursive=True)
    further: Any = aliased(Run)
    following = select(func.min(further.workflow)).where(further.workflow > names.c.name).scalar_subquery()
    names = names.union_all(select(following).where(names.c.name.is_not(None)))
    return [workflow.in_(select(names.c.name).where(names.c.name.is_not(None), *within(names.c.name, given)))]
