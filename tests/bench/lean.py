"""A minimal HTTP client for concurrent requests: the client shares the cores with what is measured, and httpx needs a millisecond per request."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.bench.stand import Api

IDLE_SECONDS = 2.0


class Unavailable(Exception):
    """The API answered 503."""


class LeanClient:
    """A pool of connections to one API, which grows with the number of concurrent requests and reuses idle connections."""

    def __init__(self, server: Api) -> None:
        self._server = server
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def get(self, path: str, who: str) -> Any:
        """The response body of a GET. Raises Unavailable for 503, RuntimeError for any other failure."""
        return await self._request("GET", path, who, b"")

    async def post(self, path: str, who: str, body: Any) -> Any:
        """The response body of a POST. Raises Unavailable for 503, RuntimeError for any other failure."""
        return await self._request("POST", path, who, json.dumps(body).encode())

    async def _request(self, method: str, path: str, who: str, body: bytes) -> Any:
        head = [
            f"{method} /api/v1{path} HTTP/1.1",
            f"Host: 127.0.0.1:{self._server.port}",
            f"Authorization: {self._server.headers(who)['Authorization']}",
        ]
        if body:
            head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        reader, writer = await self._connection()
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if line)
        answer = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            writer.close()
        else:
            self._idle.append((time.monotonic(), reader, writer))
        status = int(first.split()[1])
        if status == 503:
            raise Unavailable(answer.decode()[:500])
        if not 200 <= status < 300:
            raise RuntimeError(f"{method} {path} failed with {first}: {answer.decode()[:500]}")
        return json.loads(answer)

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The most recently used connection. If it has been idle for too long, so have all others: close them and open a new one."""
        if self._idle and time.monotonic() - self._idle[-1][0] < IDLE_SECONDS:
            return self._idle.pop()[1:]
        self.close_idle()
        return await asyncio.open_connection("127.0.0.1", self._server.port)

    def close_idle(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop()[2].close()


@asynccontextmanager
async def lean_client(server: Api) -> AsyncIterator[LeanClient]:
    """A client for this API, closed on exit."""
    client = LeanClient(server)
    try:
        yield client
    finally:
        client.close_idle()
