"""The catalog's tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, literal, select
from sqlalchemy.orm import defer

from agentgrid.db.arrays import among, holds_all
from agentgrid.db.session import ReadSession, WriteSession
from agentgrid.db.tables import ToolRow, Workflow
from agentgrid.domain.activities import TOOL_PREFIX
from agentgrid.domain.policies import Risk

T: Any = ToolRow
W: Any = Workflow

# Lists show no schemas, which make up most of a row.
_NO_SCHEMAS = [defer(schema, raiseload=True) for schema in (T.input_schema, T.output_schema)]


async def by_name(
    session: ReadSession,
    *,
    limit: int,
    after: str | None = None,
    tag: str | None = None,
    risk: str | None = None,
    q: str | None = None,
) -> Sequence[ToolRow]:
    """Tools, ordered by name, without their schemas."""
    statement = select(ToolRow).options(*_NO_SCHEMAS).order_by(T.name).limit(limit)
    if after is not None:
        statement = statement.where(T.name > after)
    if tag is not None:
        statement = statement.where(holds_all(T.tags, [tag]))
    if risk is not None:
        statement = statement.where(T.risk == risk)
    if q is not None:
        statement = statement.where(T.name.icontains(q, autoescape=True) | T.title.icontains(q, autoescape=True))
    return (await session.execute(statement)).scalars().all()


async def acting(session: ReadSession, *, limit: int) -> tuple[Sequence[ToolRow], int, int]:
    """Tools that change something, without their schemas, destructive ones first; and the number of such tools and of all tools."""
    acts = Risk.READ.value != T.risk
    first = select(ToolRow).options(*_NO_SCHEMAS).where(acts)
    rows = (
        (await session.execute(first.order_by(T.risk != Risk.DESTRUCTIVE.value, T.name).limit(limit))).scalars().all()
    )
    counts = select(func.count().filter(acts), func.count()).select_from(ToolRow)
    acting, every = (await session.execute(counts)).one()
    return rows, acting, every


async def callable_alone(
    session: ReadSession, *, limit: int, after: str | None = None, name: str | None = None
) -> Sequence[ToolRow]:
    """Tools with a workflow that runs only the tool, ordered by name.

    The workflow must belong to the same grid and queue: another grid's worker could register a workflow of that name to receive the tool's arguments.
    """
    alone = (W.name == literal(TOOL_PREFIX) + T.name) & (W.grid == T.grid) & (W.task_queue == T.task_queue)
    statement = select(ToolRow).join(Workflow, alone).order_by(T.name).limit(limit)
    if after is not None:
        statement = statement.where(T.name > after)
    if name is not None:
        statement = statement.where(T.name == name)
    return (await session.execute(statement)).scalars().all()


async def get(session: ReadSession | WriteSession, name: str) -> ToolRow | None:
    """One tool at its newest version."""
    return await session.get(ToolRow, name)


async def named(session: ReadSession, names: Sequence[str]) -> Sequence[ToolRow]:
    """The tools with these names; other names are ignored."""
    return (await session.execute(select(ToolRow).where(among(T.name, names)))).scalars().all()


async def risks(session: ReadSession | WriteSession) -> dict[str, str]:
    """The risk of every tool, by name, ordered by name."""
    return {name: risk for name, risk in (await session.execute(select(T.name, T.risk).order_by(T.name))).all()}


async def current(session: ReadSession, rows: Sequence[ToolRow]) -> frozenset[str]:
    """Those of these tools that were in the newest registration for their grid and queue. The others were removed from the code or renamed."""
    newest = select(T.grid, T.task_queue, func.max(T.registered_at)).group_by(T.grid, T.task_queue)
    registered = await session.execute(newest.where(among(T.task_queue, {row.task_queue for row in rows})))
    latest = {(grid, queue): at for grid, queue, at in registered.all()}
    return frozenset(row.name for row in rows if row.registered_at >= latest[row.grid, row.task_queue])


async def queues(session: ReadSession) -> dict[str, list[str]]:
    """The tools of each task queue."""
    by_queue: dict[str, list[str]] = {}
    for queue, name in (await session.execute(select(T.task_queue, T.name).order_by(T.task_queue, T.name))).all():
        by_queue.setdefault(queue, []).append(name)
    return by_queue
