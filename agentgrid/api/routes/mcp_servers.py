"""MCP servers whose tools workers have: which are held because they changed, and what changed."""

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
"""So that a dishonest worker can't fill the list with servers that it made up."""
MAX_CHANGES = 50
MAX_TOOLS = 500
MAX_NAME = 100
MAX_ENTRY = 20_000


@router.get("", summary="List the MCP servers of workers, those that can't be used first")
async def list_mcp_servers(session: Session) -> McpServerList:
    """As workers found them. A listing is reviewed and accepted in the project, where it is pinned, so no route changes one."""
    rows = await mcp_servers.worst_first(session, limit=MAX_SERVERS, of_grid=MAX_OF_GRID)
    return McpServerList(items=[_server(row, foreign) for row, foreign in rows])


def _server(row: McpServer, foreign: Sequence[str]) -> McpServerOut:
    """foreign: tools of other grids, which only a dishonest worker reports as its server's."""
    changes = row.changes if isinstance(row.changes, list) else []
    tools = [name for name in row.tools[:MAX_TOOLS] if name not in foreign]
    return McpServerOut.model_validate(
        {**vars(row), "tools": tools, "changes": [c for c in map(_change, changes[:MAX_CHANGES]) if c]}
    )


def _change(reported: Any) -> McpChange | None:
    """A change, unless a dishonest worker reported something else."""
    try:
        found = McpChange.model_validate(reported)
    except ValidationError:
        return None
    return McpChange(
        tool=_cut(found.tool, MAX_NAME),
        what=found.what,
        before=None if found.before is None else _cut(found.before, MAX_ENTRY),
        after=None if found.after is None else _cut(found.after, MAX_ENTRY),
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
