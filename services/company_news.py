"""An external system for the example: an MCP server over stdio with published news about companies.

It needs only Python, and no network. Run: `python3 services/company_news.py`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

NEWS: list[dict[str, str]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
TOOLS = [
    {
        "name": "company_news",
        "description": "Find what was published about a company, newest first.",
        "inputSchema": {
            "type": "object",
            "properties": {"domain": {"type": "string", "description": "The company's domain."}},
            "required": ["domain"],
            "additionalProperties": False,
        },
    },
    {
        "name": "watch_company",
        "description": "Subscribe to news about a company, by mail.",
        "inputSchema": {
            "type": "object",
            "properties": {"domain": {"type": "string"}, "email": {"type": "string"}},
            "required": ["domain", "email"],
            "additionalProperties": False,
        },
    },
]


def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The result of a tool."""
    domain = str(arguments.get("domain", "")).lower()
    if name == "company_news":
        items = [item for item in NEWS if item["domain"] == domain]
        return {"content": [{"type": "text", "text": json.dumps(items)}], "structuredContent": {"news": items}}
    if name == "watch_company":
        return {"content": [{"type": "text", "text": f"{arguments.get('email')} will receive news about {domain}"}]}
    return {"content": [{"type": "text", "text": f"there is no tool {name!r}"}], "isError": True}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a request; None for a method that this server doesn't have."""
    if method == "initialize":
        version = params.get("protocolVersion", "2025-06-18")
        server = {"name": "company_news", "version": "1"}
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server}
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "tools/call":
        return call(str(params.get("name")), params.get("arguments") or {})
    return {} if method == "ping" else None


def main() -> None:
    """Answer one request a line, until standard input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request:
            continue
        result = answer(request.get("method", ""), request.get("params") or {})
        outcome = {"result": result} if result is not None else {"error": {"code": -32601, "message": "no such method"}}
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], **outcome}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
