"""The endpoint for MCP clients: stateless streamable HTTP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api.mcp.lazy import Lazy
from agentgrid.api.routing import make_router

router = make_router(tags=["mcp"])


@router.post("/mcp", summary="MCP", include_in_schema=False)
async def mcp(request: Request) -> Response:
    """One message of the Model Context Protocol. Not in the OpenAPI document, because MCP describes itself. `501` if the extra `mcp` is not installed."""
    lazy_endpoint: Lazy = request.app.state.mcp
    endpoint = await lazy_endpoint.get(request.app)
    return await endpoint.answer(request)
