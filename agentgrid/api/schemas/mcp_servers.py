"""MCP servers whose tools workers have."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from agentgrid.api.schemas.common import Out


class McpChange(Out):
    """A tool that the server lists in another form than was reviewed. All of it but `what` is the server's own text."""

    tool: str = Field(description="Its name on the server; cut after 100 characters, with `…`.")
    what: Literal["added", "removed", "changed"]
    before: str | None = Field(
        description="Its entry in the reviewed listing, as JSON; cut after 20,000 characters, with `…`."
    )
    after: str | None = Field(
        description="Its entry in what the server lists now, as JSON; cut after 20,000 characters, with `…`."
    )


class McpServerOut(Out):
    """An MCP server, as a worker last found it."""

    name: str
    grid: str
    task_queue: str
    reached_by: str = Field(description="The program that is started, or the origin of the URL.")
    tools: list[str] = Field(description="The names of its tools in the catalog of tools; the first 500.")
    state: Literal["ready", "held", "unreachable"] = Field(
        description="`held`: it lists other tools than were reviewed, so every call of its tools fails until somebody has reviewed and pinned "
        "the new listing in the project: `agentgrid mcp diff NAME`, `agentgrid mcp accept NAME`."
    )
    reason: str = Field(description="Why it can't be used; empty if it can.")
    changes: list[McpChange] = Field(
        description="What differs from the reviewed listing; the first 50 tools, fewer if they are long."
    )
    since: datetime = Field(description="When a worker first found it so.")
    reported_at: datetime = Field(description="Workers report at least every 5 minutes.")


class McpServerList(Out):
    """MCP servers, those that can't be used first."""

    items: list[McpServerOut] = Field(description="The first 50 of each grid, and 200 in all.")
