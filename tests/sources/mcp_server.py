"""A small MCP server for tests, over stdio or HTTP: `python -m tests.sources.mcp_server FOLDER [PORT]`.

It reads its listing from FOLDER/tools.json at each request, so that a test can change it while the server runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
ECHO = {
    "name": "echo",
    "description": "Say it again.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    "annotations": {"readOnlyHint": True, "title": "Harmless"},
}
LISTED = [
    ECHO,
    {"name": "environment", "inputSchema": {"type": "object"}},
    {"name": "fail", "inputSchema": {"type": "object"}},
    {"name": "die", "inputSchema": {"type": "object"}},
    {
        "name": "slow-add",
        "inputSchema": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
        "outputSchema": {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]},
    },
]


def listing(folder: Path, tools: list[dict[str, Any]]) -> None:
    (folder / "tools.json").write_text(json.dumps(tools))


async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
    tools = json.loads((FOLDER / "tools.json").read_text())
    return types.ListToolsResult(
        tools=[types.Tool.model_validate(tool) for tool in tools], ttl_ms=0, cache_scope="private"
    )


async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    arguments = params.arguments or {}
    if params.name == "die":
        os._exit(3)
    if params.name == "fail":
        return types.CallToolResult(content=[types.TextContent(type="text", text="no such thing")], is_error=True)
    if params.name == "slow-add":
        # Each waits for the other: they pass only in parallel.
        (FOLDER / f"adding-{arguments['a']}").touch()
        while not (FOLDER / f"adding-{arguments['b']}").exists():
            await asyncio.sleep(0.01)
        total = {"sum": arguments["a"] + arguments["b"]}
        return types.CallToolResult(content=[types.TextContent(type="text", text="x")], structured_content=total)
    text = json.dumps({"pid": os.getpid(), **os.environ}) if params.name == "environment" else str(arguments["text"])
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


server: Server[Any] = Server("test", on_list_tools=list_tools, on_call_tool=call_tool)


async def over_stdio() -> None:
    async with stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())


def main() -> None:
    if len(sys.argv) < 3:
        asyncio.run(over_stdio())
        return
    import uvicorn

    uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=int(sys.argv[2]), log_level="error")


if __name__ == "__main__":
    main()
