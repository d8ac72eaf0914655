"""A complete installation that serves the built console, for browser tests."""

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
    """The folder of the console, built if it isn't up to date. Raises RuntimeError if the build fails."""
    lock = os.open(ROOT / "console", os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        hatch_build.build(ROOT)
    finally:
        os.close(lock)
    return ROOT / "agentgrid" / "api" / "console" / "_dist"


@dataclass(eq=False)
class Exchange:
    """A request that reached the API's port, and its response so far."""

    method: str
    path: str
    query: str
    headers: Headers
    status: int = 0
    response_headers: Headers = field(default_factory=Headers)
    open: bool = True
    _sent: bytearray = field(default_factory=bytearray)

    @property
    def text(self) -> str:
        compressed = self.response_headers.get("content-encoding") == "gzip"
        return (gzip.decompress(self._sent) if compressed else self._sent).decode("utf-8", "replace")

    def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.response_headers = Headers(raw=message["headers"])
        else:
            self._sent += message.get("body", b"")


class Recorder:
    """Records requests at the API's port, including those of web workers, which no page reports."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.recordings: list[list[Exchange]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        exchange = Exchange(scope["method"], scope["path"], scope["query_string"].decode(), Headers(scope=scope))
        for recording in self.recordings:
            recording.append(exchange)

        async def record(message: Message) -> None:
            exchange.take(message)
            await send(message)

        try:
            await self._app(scope, receive, record if self.recordings else send)
        finally:
            exchange.open = False


class Stack:
    """The loop, and its API on a port that stays the same when the API is killed and restarted."""

    def __init__(self, loop: Loop, port: int) -> None:
        self.loop = loop
        self.port = port
        self._recorder = Recorder(self._serve)
        self._served = loop.api.app
        self._running, self._listening = contextlib.AsyncExitStack(), contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listening.aclose()
        await self._running.aclose()

    async def _listen(self) -> None:
        await self._listening.enter_async_context(listening(self._recorder, port=self.port))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._served(scope, receive, send)

    def url(self, host: str = HOST) -> str:
        return f"http://{host}:{self.port}"

    async def kill(self) -> None:
        """Close all connections of the API and stop serving browsers. `loop` still reaches it."""
        await self._listening.aclose()

    async def restart(self, **changed: Any) -> None:
        """Start a new API in place of the killed one; it only knows what is in the database. `changed`: settings to override."""
        before, self._running = self._running, contextlib.AsyncExitStack()
        settings = self.loop.settings.model_copy(update=changed)
        self.loop.api = await self._running.enter_async_context(running(settings, self.loop.api.tokens))
        self._served = self.loop.api.app
        await before.aclose()
        await self._listen()

    @contextlib.contextmanager
    def recorded(self) -> Iterator[list[Exchange]]:
        """Record the browsers' requests that begin within this context."""
        exchanges: list[Exchange] = []
        self._recorder.recordings.append(exchanges)
        try:
            yield exchanges
        finally:
            self._recorder.recordings.remove(exchanges)

    # --- user actions -------------------------------------------------------------------------------------------------

    async def new_key(self, principal: str) -> api_keys.NewKey:
        """A separate API key, for a test that revokes it."""
        return await api_keys.create(self.loop.api.plane.engine, SETUP, principal=principal)

    async def code(self, key: str) -> str:
        """A sign-in code for this API key, created as `agentgrid console` does."""
        async with self.loop.api.client(None) as http:
            created = await http.post("/api/v1/session/codes", headers={"Authorization": f"Bearer {key}"})
        assert created.status_code == 201, created.text
        return str(created.json()["code"])

    async def refund(self, ticket: str = "T-1002", **more: Any) -> tuple[str, dict[str, Any]]:
        """Start a run, as the operator, whose agent wants to refund. Returns the run's id and its pending approval."""
        run_id = await self.loop.start("support_triage", {"ticket_id": ticket}, **more)
        return run_id, await self.loop.approval(run_id)


@contextlib.asynccontextmanager
async def serving(loop: Loop, port: int) -> AsyncIterator[Stack]:
    async with Stack(loop, port) as stack:
        yield stack
