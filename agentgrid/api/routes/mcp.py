"""The endpoint for MCP clients: streamable HTTP, without sessions."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api.mcp.lazy import Lazy
from agentgrid.api.routing import make_router

router = make_router(tags=["mcp"])


@router.post("/mcp", summary="MCP", include_in_schema=False)
async def mcp(request: Request) -> Response:
    """One message of the Model Context Protocol, which describes itself: it is not in the OpenAPI document. `501` if the extra `mcp` is not installed."""
    lazy: Lazy = request.app.state.mcp
    endpoint = await lazy.get(request.app)
    return await endpoint.answer(request)
