"""MCP servers, as last reported by workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, func, select, tuple_

from agentgrid.db.session import ReadSession
from agentgrid.db.tables import McpServer, ToolRow

M: Any = McpServer
T: Any = ToolRow

_ORDER = case((M.state == "held", 0), (M.state == "unreachable", 1), else_=2)


async def worst_first(session: ReadSession, *, limit: int, of_grid: int) -> Sequence[tuple[McpServer, Sequence[str]]]:
    """The servers, unusable ones first, each with those of its tool names that another grid has registered.

    of_grid: maximum number of servers per grid.
    """
    named = select(func.unnest(M.tools)).correlate(McpServer)
    foreign = select(T.name).where(T.name.in_(named), T.grid != M.grid).correlate(McpServer)
    key = (M.grid, M.task_queue, M.name)
    place = func.row_number().over(partition_by=M.grid, order_by=(_ORDER, M.name, M.task_queue))
    placed = select(*key, place.label("place")).subquery()
    first = select(placed.c.grid, placed.c.task_queue, placed.c.name).where(placed.c.place <= of_grid)
    order = (_ORDER, M.name, M.grid, M.task_queue)
    rows = await session.execute(
        select(McpServer, func.array(foreign.scalar_subquery()))
        .where(tuple_(*key).in_(first))
        .order_by(*order)
        .limit(limit)
    )
    return [(server, names) for server, names in rows]
