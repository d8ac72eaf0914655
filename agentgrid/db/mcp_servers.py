"""MCP servers, as workers last found them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, func, select

from agentgrid.db.session import ReadSession
from agentgrid.db.tables import McpServer, Tool

M: Any = McpServer
T: Any = Tool

_ORDER = case((M.state == "held", 0), (M.state == "unreachable", 1), else_=2)


async def worst_first(session: ReadSession, *, limit: int) -> Sequence[tuple[McpServer, Sequence[str]]]:
    """The servers, those that can't be used first, with the names among their tools that another grid has registered."""
    named = select(func.unnest(M.tools)).correlate(McpServer)
    foreign = select(T.name).where(T.name.in_(named), T.grid != M.grid).correlate(McpServer)
    order = (_ORDER, M.name, M.grid, M.task_queue)
    found = await session.execute(
        select(McpServer, func.array(foreign.scalar_subquery())).order_by(*order).limit(limit)
    )
    return [(row, names) for row, names in found]
