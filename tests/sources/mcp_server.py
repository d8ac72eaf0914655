"""A small MCP server for tests, over stdio or HTTP: `python -m tests.sources.mcp_server FOLDER [sdk | PORT]`.

Over stdio it needs only Python, so that starting it is cheap. With `sdk`, and over HTTP, it is the server of the package `mcp`. It reads its
listing from FOLDER/tools.json on each request, so that a test can change it while the server runs.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

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


def listed() -> list[dict[str, Any]]:
    tools: list[dict[str, Any]] = json.loads((FOLDER / "tools.json").read_text())
    return tools


def call_tool(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A tool's result, in the protocol's form."""
    if name == "die":
        os._exit(3)
    if name == "fail":
        return {"content": [{"type": "text", "text": "no such thing"}], "isError": True}
    if name == "slow-add":
        # Each call waits for the other: they pass only in parallel.
        (FOLDER / f"adding-{arguments['a']}").touch()
        while not (FOLDER / f"adding-{arguments['b']}").exists():
            time.sleep(0.01)
        total = {"sum": arguments["a"] + arguments["b"]}
        return {"content": [{"type": "text", "text": "x"}], "structuredContent": total}
    text = json.dumps({"pid": os.getpid(), **os.environ}) if name == "environment" else str(arguments["text"])
    return {"content": [{"type": "text", "text": text}]}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a request; None for a method that this server doesn't have."""
    if method == "initialize":
        server = {"name": "test", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": server}
    if method == "tools/list":
        return {"tools": listed()}
    if method == "tools/call":
        return call_tool(params["name"], params.get("arguments") or {})
    return {} if method == "ping" else None


def plain() -> None:
    """Read one request per line until standard input ends, and answer requests in parallel."""
    writing = threading.Lock()

    def serve(request: dict[str, Any]) -> None:
        result = answer(request["method"], request.get("params") or {})
        outcome = {"result": result} if result is not None else {"error": {"code": -32601, "message": "no such method"}}
        with writing:
            print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **outcome}), flush=True)  # noqa: T201

    for line in sys.stdin:
        request = json.loads(line)
        if "id" in request:
            threading.Thread(target=serve, args=(request,), daemon=True).start()


def sdk(port: int | None) -> None:
    """The server of the package `mcp`: over HTTP, or over stdio if there is no port."""
    import anyio
    import anyio.to_thread
    import mcp_types as types
    from mcp.server.lowlevel import Server
    from mcp.server.stdio import stdio_server

    async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
        tools = [types.Tool.model_validate(tool) for tool in listed()]
        return types.ListToolsResult(tools=tools, ttl_ms=0, cache_scope="private")

    async def call(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        result = await anyio.to_thread.run_sync(call_tool, params.name, params.arguments or {})
        return types.CallToolResult.model_validate(result)

    server: Server[Any] = Server("test", on_list_tools=list_tools, on_call_tool=call)

    async def over_stdio() -> None:
        async with stdio_server() as (reader, writer):
            await server.run(reader, writer, server.create_initialization_options())

    if port is None:
        anyio.run(over_stdio)
        return
    import uvicorn

    uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=port, log_level="error")


def main() -> None:
    if len(sys.argv) < 3:
        plain()
    else:
        sdk(None if sys.argv[2] == "sdk" else int(sys.argv[2]))


if __name__ == "__main__":
    main()
