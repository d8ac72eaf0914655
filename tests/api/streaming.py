"""A stream that is read in the background of a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from httpx_sse import ServerSentEvent, aconnect_sse

from tests.api.conftest import Api


class ReceivedEvents:
    """The events received from a stream so far, `hello` first."""

    def __init__(self) -> None:
        self.events: list[ServerSentEvent] = []
        self._more = asyncio.Event()

    def add(self, event: ServerSentEvent) -> None:
        self.events.append(event)
        self._more.set()

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        """The data of the events of these kinds."""
        return [event.json() for event in self.events if event.event in kinds]

    async def until(self, condition: Callable[[ReceivedEvents], object], *, seconds: float = 10) -> None:
        """Wait until the condition holds."""
        async with asyncio.timeout(seconds):
            while not condition(self):
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def stream(
    api: Api, url: str, who: str, path: str = "/api/v1/events", *, last: int | None = None, **params: Any
) -> AsyncIterator[ReceivedEvents]:
    """A stream of this principal, open when the block begins."""
    headers = {"Authorization": f"Bearer {api.tokens.get(who, who)}"}
    if last is not None:
        headers["Last-Event-ID"] = str(last)
    received = ReceivedEvents()

    async def read() -> None:
        async with (
            httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as http,
            aconnect_sse(http, "GET", path, params=params) as source,
        ):
            assert source.response.status_code == 200, await source.response.aread()
            async for event in source.aiter_sse():
                received.add(event)

    reader = asyncio.create_task(read())
    try:
        waiting = asyncio.create_task(received.until(lambda received: received.events))
        await asyncio.wait({reader, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not received.events:
            waiting.cancel()
            await reader
        yield received
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
