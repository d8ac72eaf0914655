"""The catalog's workflows and their versions, and their kill switches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from agentgrid.db.arrays import holds_all
from agentgrid.db.session import FRESH, ReadSession, WriteSession
from agentgrid.db.tables import Workflow, WorkflowPolicy, WorkflowVersion

# The same classes, their attributes read as the SQL expressions that they are.
W: Any = Workflow
V: Any = WorkflowVersion
P: Any = WorkflowPolicy


async def by_name(
    session: ReadSession, *, limit: int, after: str | None = None, tag: str | None = None, q: str | None = None
) -> Sequence[Workflow]:
    """Workflows in the order of their names."""
    statement = select(Workflow).order_by(W.name).limit(limit)
    if after is not None:
        statement = statement.where(W.name > after)
    if tag is not None:
        statement = statement.where(holds_all(W.tags, [tag]))
    if q is not None:
        statement = statement.where(W.name.icontains(q, autoescape=True) | W.title.icontains(q, autoescape=True))
    return (await session.execute(statement)).scalars().all()


async def get(session: ReadSession | WriteSession, name: str) -> Workflow | None:
    """One workflow at its newest version."""
    return await session.get(Workflow, name)


async def version(session: ReadSession | WriteSession, name: str, version: str) -> WorkflowVersion | None:
    """One version of a workflow."""
    return await session.get(WorkflowVersion, (name, version))


async def versions(session: ReadSession, name: str, *, limit: int) -> Sequence[WorkflowVersion]:
    """A workflow's versions, newest first."""
    statement = select(WorkflowVersion).where(V.name == name).order_by(V.first_seen_at.desc(), V.version).limit(limit)
    return (await session.execute(statement)).scalars().all()


async def queues(session: ReadSession) -> dict[str, list[str]]:
    """The workflows of each task queue."""
    found: dict[str, list[str]] = {}
    statement = select(W.task_queue, W.name).order_by(W.task_queue, W.name)
    for queue, name in (await session.execute(statement)).all():
        found.setdefault(queue, []).append(name)
    return found


async def policies(session: ReadSession | WriteSession, names: Sequence[str]) -> dict[str, WorkflowPolicy]:
    """The newest setting of the kill switch of each of these workflows that ever had one."""
    statement = (
        select(WorkflowPolicy).where(P.workflow.in_(names)).distinct(P.workflow).order_by(P.workflow, P.version.desc())
    )
    return {row.workflow: row for row in (await session.execute(statement)).scalars()}


async def disabled(session: WriteSession) -> Sequence[str]:
    """The workflows whose kill switch is on."""
    newest = select(WorkflowPolicy).distinct(P.workflow).order_by(P.workflow, P.version.desc())
    return [row.workflow for row in (await session.execute(newest, execution_options=FRESH)).scalars() if row.disabled]
