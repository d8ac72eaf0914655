"""MCP servers whose tools workers offer."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from agentgrid.api.schemas.common import Out


class McpChange(Out):
    """A tool whose listing differs from the reviewed one. Every field except `what` is the server's own text."""

    tool: str = Field(description="Its name on the server, truncated to 100 characters with `…`.")
    what: Literal["added", "removed", "changed"]
    before: str | None = Field(
        description="Its entry in the reviewed listing, as JSON, truncated to 20,000 characters with `…`."
    )
    after: str | None = Field(
        description="Its entry in the server's current listing, as JSON, truncated to 20,000 characters with `…`."
    )


class McpServerOut(Out):
    """An MCP server in the state a worker last reported."""

    name: str
    grid: str
    task_queue: str
    reached_by: str = Field(description="The program that is started or the origin of the URL.")
    tools: list[str] = Field(description="The names of its tools in the tool catalog; the first 500.")
    state: Literal["ready", "held", "unreachable"] = Field(
        description="`held`: its listing differs from the reviewed one, so calls of its tools fail until somebody reviews and pins the new listing "
        "in the project: `agentgrid mcp diff NAME`, `agentgrid mcp accept NAME`."
    )
    reason: str = Field(description="Why it can't be used; empty if it is ready.")
    changes: list[McpChange] = Field(
        description="Differences from the reviewed listing; the first 50 tools, or fewer if they are long."
    )
    since: datetime = Field(description="When a worker first reported this state.")
    reported_at: datetime = Field(description="Workers report at least every 5 minutes.")


class McpServerList(Out):
    """MCP servers, those that can't be used first."""

    items: list[McpServerOut] = Field(description="The first 50 of each grid, at most 200 in total.")
