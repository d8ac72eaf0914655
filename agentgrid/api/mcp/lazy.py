"""Loads the MCP server on the first request: importing its package takes a second, and most processes never need it."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING

from fastapi import FastAPI

from agentgrid.api.errors import WireError

if TYPE_CHECKING:
    from agentgrid.api.mcp.server import Endpoint

SERVER = "agentgrid.api.mcp.server"
PACKAGES = ("mcp", "mcp_types")


class Lazy:
    """The endpoint of one application, created on first use."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._endpoint: Endpoint | None = None

    async def get(self, app: FastAPI) -> Endpoint:
        """The endpoint. Raises WireError (501) if the extra is not installed."""
        async with self._lock:
            if self._endpoint is None or self._endpoint.ended:
                try:
                    # In a thread, so that other requests aren't blocked.
                    server = await asyncio.to_thread(importlib.import_module, SERVER)
                except ModuleNotFoundError as error:
                    if (error.name or "").partition(".")[0] not in PACKAGES:
                        raise
                    raise WireError(
                        501,
                        "mcp_not_installed",
                        "this API was installed without MCP: install `agentgrid[mcp]` and restart it",
                    ) from None
                self._endpoint = server.Endpoint(app)
            return self._endpoint

    async def close(self) -> None:
        """Stop serving requests."""
        if self._endpoint is not None:
            await self._endpoint.close()
