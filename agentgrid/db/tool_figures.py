"""Tool statistics: the number of calls, failures, and durations. Steps copied by a reset count once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, func, select, text

from agentgrid.db import scopes
from agentgrid.db.arrays import among
from agentgrid.db.run_filter import R, S, Scope
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import Approval

A: Any = Approval

# A literal, not a parameter: a generic plan could not use the partial index.
_IS_TOOL = text("steps.kind = 'tool'")
_FAILED = ("failed", "timed_out")
_REFUSED = select(A.approval_id).where(A.approval_id == S.approval_id, A.status.in_(("rejected", "expired"))).exists()
MAX_VERSIONS = 20


@dataclass(frozen=True, kw_only=True)
class ToolCallFigures:
    """The calls of a tool in a period."""

    calls: int = 0
    failed: int = 0
    """Calls that failed permanently: not those that a retry completed, nor those whose approval was rejected or expired."""
    p95_seconds: float | None = None
    """Duration of completed calls, from the start of the last attempt."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """The number of calls of one version of a tool."""

    version: str
    calls: int
    last_called_at: datetime


def _recent(tools: Sequence[str], since: timedelta, scope: Scope) -> list[Any]:
    inside = scopes.within(R.workflow, scope)
    seen = [select(R.run_id).where(R.run_id == S.run_id, *inside).exists()] if inside else []
    return [_IS_TOOL, among(S.name, tools), S.scheduled_at >= func.now() - since, ~S.inherited, *seen]


async def calls(
    session: ReadSession, tools: Sequence[str], *, since: timedelta, scope: Scope
) -> dict[str, ToolCallFigures]:
    """The calls of each of these tools in runs of the scope, in the last `since`."""
    if not tools:
        return {}
    took = case((S.status == "completed", func.extract("epoch", S.closed_at - S.started_at)))
    statement = (
        select(
            S.name,
            func.count().label("calls"),
            func.count().filter(S.status.in_(_FAILED), ~_REFUSED).label("failed"),
            func.percentile_cont(0.95).within_group(took).label("p95"),
        )
        .where(*_recent(tools, since, scope))
        .group_by(S.name)
    )
    rows = {row.name: row for row in (await session.execute(statement)).all()}
    return {name: _calls(rows.get(name)) for name in tools}


def _calls(row: Any) -> ToolCallFigures:
    if row is None:
        return ToolCallFigures()
    p95 = None if row.p95 is None else round(float(row.p95), 3)
    return ToolCallFigures(calls=row.calls, failed=row.failed, p95_seconds=p95)


async def versions(session: ReadSession, tool: str, *, since: timedelta, scope: Scope) -> Sequence[Version]:
    """The versions of the tool that were called, most recently called first; at most 20."""
    last = func.max(S.scheduled_at).label("last_called_at")
    statement = (
        select(S.tool_version.label("version"), func.count().label("calls"), last)
        .where(*_recent([tool], since, scope), S.tool_version.is_not(None))
        .group_by(S.tool_version)
        .order_by(last.desc())
        .limit(MAX_VERSIONS)
    )
    return [Version(**row) for row in (await session.execute(statement)).mappings()]
