"""Text search for approvals: by their run's searchable text, the tool's and the agent's name, the complete id, and the title.

`asked` is the title with the values of the call. There are few tool and agent names, so the distinct names are read first, with one index lookup
each.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, or_, select, tuple_, union_all
from sqlalchemy.orm import aliased

from agentgrid.db import run_search
from agentgrid.db.tables import Approval

A: Any = Approval


def matches(approval: Any, run: Any, q: str, *, titles: bool) -> Any:
    """A condition that evaluates `q` for each approval, for one or a few approvals. titles: also search titles, which quote payloads."""
    clauses = [
        run_search.matches(run, q),
        approval.tool.icontains(q, autoescape=True),
        approval.agent.icontains(q, autoescape=True),
        approval.approval_id == q,
    ]
    if titles:
        clauses.append(func.coalesce(approval.asked.icontains(q, autoescape=True), False))
    return or_(*clauses)


def is_among_matches(approval: Any, _run: Any, q: str, *, titles: bool) -> Any:
    """A condition that selects all approvals matching `q` by index."""
    other: Any = aliased(Approval)
    keys = select(other.execution_id, other.approval_id).where(~other.inherited)
    queries = [
        keys.where(other.run_id.in_(run_search.matching_ids(q))),
        keys.where(other.tool.in_(_names("tool", q))),
        keys.where(other.agent.in_(_names("agent", q))),
        keys.where(other.approval_id == q),
    ]
    if titles:
        queries.append(keys.where(*run_search.asking(other, q)))
    return tuple_(approval.execution_id, approval.approval_id).in_(union_all(*queries))


def _names(column: str, q: str) -> Any:
    """The distinct names in the column that contain `q`."""
    name = getattr(A, column)
    first = select(func.min(name).label("name")).where(~A.inherited, name.is_not(None))
    names = first.cte(f"{column}s", recursive=True)
    further: Any = aliased(Approval)
    other = getattr(further, column)
    following = (
        select(func.min(other)).where(other > names.c.name, ~further.inherited, other.is_not(None)).scalar_subquery()
    )
    names = names.union_all(select(following).where(names.c.name.is_not(None)))
    return select(names.c.name).where(names.c.name.icontains(q, autoescape=True))
