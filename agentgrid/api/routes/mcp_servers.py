"""MCP servers whose tools workers offer: which are held because they changed, and what changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from agentgrid.api.access import V1
from agentgrid.api.deps import Session
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.mcp_servers import McpChange, McpServerList, McpServerOut
from agentgrid.db import mcp_servers
from agentgrid.db.tables import McpServer

router = make_router(tags=["tools"], prefix=f"{V1}/mcp-servers")

MAX_SERVERS = 200
MAX_OF_GRID = 50
"""Prevents a compromised worker from filling the list with made-up servers."""
MAX_CHANGES = 50
MAX_TOOLS = 500
MAX_NAME = 100
MAX_ENTRY = 20_000


@router.get("", summary="List workers' MCP servers, unusable ones first")
async def list_mcp_servers(session: Session) -> McpServerList:
    """As reported by workers. No route accepts a listing: listings are reviewed and pinned in the project."""
    rows = await mcp_servers.worst_first(session, limit=MAX_SERVERS, of_grid=MAX_OF_GRID)
    return McpServerList(items=[_server(row, foreign) for row, foreign in rows])


def _server(row: McpServer, foreign: Sequence[str]) -> McpServerOut:
    """foreign: tools of other grids, which only a compromised worker would report as its server's."""
    changes = row.changes if isinstance(row.changes, list) else []
    tools = [name for name in row.tools[:MAX_TOOLS] if name not in foreign]
    return McpServerOut.model_validate(
        {**vars(row), "tools": tools, "changes": [change for change in map(_change, changes[:MAX_CHANGES]) if change]}
    )


def _change(reported: Any) -> McpChange | None:
    """The change, or None if a compromised worker reported something invalid."""
    try:
        change = McpChange.model_validate(reported)
    except ValidationError:
        return None
    return McpChange(
        tool=_cut(change.tool, MAX_NAME),
        what=change.what,
        before=None if change.before is None else _cut(change.before, MAX_ENTRY),
        after=None if change.after is None else _cut(change.after, MAX_ENTRY),
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
