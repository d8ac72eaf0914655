"""A whole installation with the built console in front: what a browser meets, and what a test does behind its back."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import hatch_build
from agentgrid.control import keys
from tests.api.conftest import SETUP, listening, running
from tests.e2e.conftest import Loop

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"


def built_console() -> Path:
    """The folder of the console, built if it isn't up to date. Raises RuntimeError if it doesn't build."""
    lock = os.open(ROOT / "console", os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        hatch_build.build(ROOT)
    finally:
        os.close(lock)
    return ROOT / "agentgrid" / "api" / "console" / "_dist"


class Stack:
    """The loop, and its API on a port that stays the same when the API is killed and started again."""

    def __init__(self, loop: Loop, port: int) -> None:
        self.loop = loop
        self.port = port
        self._api = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._api.enter_async_context(listening(self.loop.api.app, port=self.port))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.aclose()

    def url(self, host: str = HOST) -> str:
        return f"http://{host}:{self.port}"

    async def kill(self) -> None:
        """Cut all connections of the API, and answer no more."""
        await self._api.aclose()

    async def restart(self) -> None:
        """A new API in place of the killed one: it knows what is in the database, and no more."""
        api = await self._api.enter_async_context(running(self.loop.settings, self.loop.api.tokens))
        self.loop.api = api
        await self._api.enter_async_context(listening(api.app, port=self.port))

    # --- as a user would ----------------------------------------------------------------------------------------------

    async def new_key(self, principal: str) -> keys.NewKey:
        """A key of its own for a test that ends it."""
        return await keys.create(self.loop.api.plane.engine, SETUP, principal=principal)

    async def code(self, key: str) -> str:
        """A sign-in code, made with this key as `agentgrid console` makes it."""
        async with self.loop.api.client(None) as http:
            made = await http.post("/api/v1/session/codes", headers={"Authorization": f"Bearer {key}"})
        assert made.status_code == 201, made.text
        return str(made.json()["code"])

    async def refund(self, ticket: str = "T-1002", **more: Any) -> tuple[str, dict[str, Any]]:
        """A run of an agent that asks to refund, started by the operator, and the approval it waits for."""
        run_id = await self.loop.start("support_triage", {"ticket_id": ticket}, **more)
        return run_id, await self.loop.approval(run_id)


@contextlib.asynccontextmanager
async def serving(loop: Loop, port: int) -> AsyncIterator[Stack]:
    async with Stack(loop, port) as stack:
        yield stack
