"""MCP clients for tests: the SDK's own client with a principal's key.

The SDK is imported lazily: importing it takes a second, and every test process imports the modules of all tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agentgrid.control import principals
from tests.api.conftest import PRINCIPALS, SETUP, Api

if TYPE_CHECKING:
    from mcp import Client

MODES = ("auto", "legacy")
"""Without a handshake, as of the revision 2026-07-28, and with one, as before."""


@asynccontextmanager
async def mcp_client(api: Api, who: str, mode: str = "auto", **headers: str) -> AsyncIterator[Client]:
    """A client connected to the application in this process, with this principal's key."""
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    transport = httpx2.ASGITransport(app=api.app)
    all_headers = {"Authorization": f"Bearer {api.tokens[who]}", **headers}
    async with httpx2.AsyncClient(transport=transport, headers=all_headers, timeout=60) as http:
        streams = streamable_http_client("http://127.0.0.1:8700/mcp", http_client=http)
        async with Client(streams, mode=mode) as client:
            yield client


async def may_call(api: Api, *names: str) -> None:
    """Allow these principals to call every tool, in addition to what they may already call."""
    for name in names:
        widened = replace(PRINCIPALS[name], workflows=frozenset({"*", "tool.*"}))
        await principals.put(api.plane.engine, SETUP, widened)


def message(method: str, params: dict[str, Any] | None = None, number: int = 1) -> dict[str, Any]:
    """A request as sent by clients before 2026, which is self-contained."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}
