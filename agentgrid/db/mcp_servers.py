"""MCP servers, as workers last found them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, select

from agentgrid.db.session import ReadSession
from agentgrid.db.tables import McpServer

M: Any = McpServer

_ORDER = case((M.state == "held", 0), (M.state == "unreachable", 1), else_=2)


async def worst_first(session: ReadSession, *, limit: int) -> Sequence[McpServer]:
    """The servers, those that can't be used first."""
    return (
        (await session.execute(select(McpServer).order_by(_ORDER, M.name, M.grid, M.task_queue).limit(limit)))
        .scalars()
        .all()
    )
