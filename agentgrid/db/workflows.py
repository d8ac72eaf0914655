"""The catalog's workflows and their versions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import and_, func, or_, select

from agentgrid.db.arrays import among, holds_all
from agentgrid.db.pool import Connection
from agentgrid.db.session import ReadSession, WriteSession
from agentgrid.db.tables import Workflow, WorkflowVersion
from agentgrid.domain.activities import TOOL_PREFIX

# The same classes, typed so that their attributes are SQL expressions.
W: Any = Workflow
V: Any = WorkflowVersion


async def by_name(
    session: ReadSession, *, limit: int, after: str | None = None, tag: str | None = None, q: str | None = None
) -> Sequence[Workflow]:
    """Workflows, ordered by name, without the built-in ones that run a single tool: those are in the list of tools."""
    statement = select(Workflow).where(W.name.not_like(f"{TOOL_PREFIX}%")).order_by(W.name).limit(limit)
    if after is not None:
        statement = statement.where(W.name > after)
    if tag is not None:
        statement = statement.where(holds_all(W.tags, [tag]))
    if q is not None:
        statement = statement.where(W.name.icontains(q, autoescape=True) | W.title.icontains(q, autoescape=True))
    return (await session.execute(statement)).scalars().all()


async def count(session: ReadSession) -> int:
    """The number of workflows that `by_name` lists without a filter."""
    statement = select(func.count()).select_from(Workflow).where(W.name.not_like(f"{TOOL_PREFIX}%"))
    return (await session.execute(statement)).scalar_one()


async def get(session: ReadSession | WriteSession, name: str) -> Workflow | None:
    """One workflow at its newest version."""
    return await session.get(Workflow, name)


async def titles(connection: Connection, names: Collection[str]) -> dict[str, str]:
    """The titles of these workflows; unregistered ones are omitted."""
    if not names:
        return {}
    rows = await connection.fetch("SELECT name, title FROM workflows WHERE name = ANY ($1)", sorted(names))
    return {row["name"]: row["title"] for row in rows}


async def version(session: ReadSession | WriteSession, name: str, version: str) -> WorkflowVersion | None:
    """One version of a workflow."""
    return await session.get(WorkflowVersion, (name, version))


async def versions(session: ReadSession, name: str, *, limit: int) -> Sequence[WorkflowVersion]:
    """A workflow's versions, newest first."""
    statement = select(WorkflowVersion).where(V.name == name).order_by(V.first_seen_at.desc(), V.version).limit(limit)
    return (await session.execute(statement)).scalars().all()


async def version_before(session: ReadSession, row: WorkflowVersion) -> str | None:
    """The version registered before this one, in the order of `versions`."""
    earlier = or_(
        V.first_seen_at < row.first_seen_at, and_(V.first_seen_at == row.first_seen_at, V.version > row.version)
    )
    statement = select(V.version).where(V.name == row.name, earlier)
    statement = statement.order_by(V.first_seen_at.desc(), V.version).limit(1)
    return (await session.execute(statement)).scalar_one_or_none()


async def handlers(session: ReadSession, name: str, version: str) -> dict[str, Any]:
    """The handlers of this version and of the newest one, by version; None for a version registered without handlers."""
    newest = select(W.version).where(W.name == name).scalar_subquery()
    statement = select(V.version, V.handlers).where(V.name == name, V.version.in_([version, newest]))
    return {row.version: row.handlers for row in (await session.execute(statement)).all()}


async def current(session: ReadSession, rows: Sequence[Workflow]) -> frozenset[str]:
    """Those of these workflows that were in the newest registration for their grid and queue. The others were removed from the code or renamed."""
    newest = select(W.grid, W.task_queue, func.max(W.registered_at)).group_by(W.grid, W.task_queue)
    registered = await session.execute(newest.where(among(W.task_queue, {row.task_queue for row in rows})))
    latest = {(grid, queue): at for grid, queue, at in registered.all()}
    return frozenset(row.name for row in rows if row.registered_at >= latest[row.grid, row.task_queue])


async def queues(session: ReadSession) -> dict[str, list[str]]:
    """The workflows of each task queue, without those that run a single tool."""
    by_queue: dict[str, list[str]] = {}
    statement = select(W.task_queue, W.name).where(W.name.not_like(f"{TOOL_PREFIX}%")).order_by(W.task_queue, W.name)
    for queue, name in (await session.execute(statement)).all():
        by_queue.setdefault(queue, []).append(name)
    return by_queue
