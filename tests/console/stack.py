"""A whole installation with the built console in front: what a browser meets, and what a test does behind its back."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import hatch_build
from agentgrid.control import api_keys
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


@dataclass(eq=False)
class Exchange:
    """A request that reached the API's port, and what was answered so far."""

    method: str
    path: str
    query: str
    headers: Headers
    status: int = 0
    answered: Headers = field(default_factory=Headers)
    open: bool = True
    _sent: bytearray = field(default_factory=bytearray)

    @property
    def text(self) -> str:
        packed = self.answered.get("content-encoding") == "gzip"
        return (gzip.decompress(self._sent) if packed else self._sent).decode("utf-8", "replace")

    def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.answered = Headers(raw=message["headers"])
        else:
            self._sent += message.get("body", b"")


class Ear:
    """Listens at the API's port: to pages, and to their workers, whose requests no page reports."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.heard: list[list[Exchange]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        exchange = Exchange(scope["method"], scope["path"], scope["query_string"].decode(), Headers(scope=scope))
        for each in self.heard:
            each.append(exchange)

        async def sent(message: Message) -> None:
            exchange.take(message)
            await send(message)

        try:
            await self._app(scope, receive, sent if self.heard else send)
        finally:
            exchange.open = False


class Stack:
    """The loop, and its API on a port that stays the same when the API is killed and started again."""

    def __init__(self, loop: Loop, port: int) -> None:
        self.loop = loop
        self.port = port
        self._ear = Ear(self._serve)
        self._served = loop.api.app
        self._running, self._listening = contextlib.AsyncExitStack(), contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listening.aclose()
        await self._running.aclose()

    async def _listen(self) -> None:
        await self._listening.enter_async_context(listening(self._ear, port=self.port))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._served(scope, receive, send)

    def url(self, host: str = HOST) -> str:
        return f"http://{host}:{self.port}"

    async def kill(self) -> None:
        """Cut all connections of the API, and answer no browser any more. `loop` still reaches it."""
        await self._listening.aclose()

    async def restart(self, **changed: Any) -> None:
        """A new API in place of the killed one: it knows what is in the database, and no more. changed: its settings."""
        before, self._running = self._running, contextlib.AsyncExitStack()
        settings = self.loop.settings.model_copy(update=changed)
        self.loop.api = await self._running.enter_async_context(running(settings, self.loop.api.tokens))
        self._served = self.loop.api.app
        await before.aclose()
        await self._listen()

    @contextlib.contextmanager
    def overheard(self) -> Iterator[list[Exchange]]:
        """All requests of browsers that begin meanwhile."""
        heard: list[Exchange] = []
        self._ear.heard.append(heard)
        try:
            yield heard
        finally:
            self._ear.heard.remove(heard)

    # --- as a user would ----------------------------------------------------------------------------------------------

    async def new_key(self, principal: str) -> api_keys.NewKey:
        """A key of its own for a test that ends it."""
        return await api_keys.create(self.loop.api.plane.engine, SETUP, principal=principal)

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
