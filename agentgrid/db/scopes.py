"""Scopes as SQL conditions, so that rows outside a principal's scope are neither read nor counted; the counterpart of `domain/scopes.py`."""

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
    """The glob as a LIKE pattern. Characters that are special to LIKE but not to the glob are escaped."""
    return like(glob).replace("*", "%").replace("?", "_")


def patterns(globs: Iterable[str]) -> list[str] | None:
    """The globs as LIKE patterns; None if the scope is every workflow."""
    ordered = sorted(globs)
    return None if scopes.is_everything(ordered) else [pattern(glob) for glob in ordered]


def within(workflow: Any, globs: Iterable[str]) -> list[ColumnElement[bool]]:
    """Conditions that limit this column to workflows in the scope; empty if the scope is every workflow."""
    ordered = sorted(globs)
    if scopes.is_everything(ordered):
        return []
    exact = [glob for glob in ordered if scopes.is_exact(glob)]
    # An empty scope matches nothing: `IN ()` is false.
    clauses = [workflow.in_(exact), *(workflow.like(pattern(glob)) for glob in ordered if not scopes.is_exact(glob))]
    return [or_(*clauses)]


def among(workflow: Any, globs: Iterable[str]) -> list[ColumnElement[bool]]:
    """Like `within`, for queries that aggregate all matching runs: matches exact workflow names, so that indexes are used.

    A pattern that starts with a wildcard can't use an index. There are far fewer workflows than runs, so the matching names are collected
    first, with one index lookup each.
    """
    ordered = sorted(globs)
    if scopes.is_everything(ordered):
        return []
    names = select(func.min(R.workflow).label("name")).cte("names", recursive=True)
    further: Any = aliased(Run)
    following = select(func.min(further.workflow)).where(further.workflow > names.c.name).scalar_subquery()
    names = names.union_all(select(following).where(names.c.name.is_not(None)))
    return [workflow.in_(select(names.c.name).where(names.c.name.is_not(None), *within(names.c.name, ordered)))]
