"""Searching approvals by words: by what their run is found by, the tool's and the agent's name, the whole id, and the title.

The title with the values of the call is `asked`. Names of tools and agents are few: the distinct ones are read first, each with one index lookup.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, or_, select, tuple_, union_all
from sqlalchemy.orm import aliased

from agentgrid.db import run_search
from agentgrid.db.tables import Approval

A: Any = Approval


def matches(approval: Any, run: Any, q: str, *, titles: bool) -> Any:
    """This approval, or each of a few, is found by `q`. titles: look at titles too, which quote payloads."""
    ways = [
        run_search.matches(run, q),
        approval.tool.icontains(q, autoescape=True),
        approval.agent.icontains(q, autoescape=True),
        approval.approval_id == q,
    ]
    if titles:
        ways.append(func.coalesce(approval.asked.icontains(q, autoescape=True), False))
    return or_(*ways)


def found(approval: Any, _run: Any, q: str, *, titles: bool) -> Any:
    """It is one of all the approvals that are found by `q`."""
    other: Any = aliased(Approval)
    keys = select(other.execution_id, other.approval_id).where(~other.inherited)
    ways = [
        keys.where(other.run_id.in_(run_search.found(q))),
        keys.where(other.tool.in_(_names("tool", q))),
        keys.where(other.agent.in_(_names("agent", q))),
        keys.where(other.approval_id == q),
    ]
    if titles:
        ways.append(keys.where(*run_search.asking(other, q)))
    return tuple_(approval.execution_id, approval.approval_id).in_(union_all(*ways))


def _names(column: str, q: str) -> Any:
    """The distinct names in the column that hold the words."""
    given = getattr(A, column)
    first = select(func.min(given).label("name")).where(~A.inherited, given.is_not(None))
    names = first.cte(f"{column}s", recursive=True)
    further: Any = aliased(Approval)
    other = getattr(further, column)
    following = (
        select(func.min(other)).where(other > names.c.name, ~further.inherited, other.is_not(None)).scalar_subquery()
    )
    names = names.union_all(select(following).where(names.c.name.is_not(None)))
    return select(names.c.name).where(names.c.name.icontains(q, autoescape=True))
