"""An HTTP server that answers exactly as a test dictates, byte by byte, and records the requests it receives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Reply = Callable[["Request", asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(kw_only=True)
class Server:
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    """Connections open now."""
    most_connections: int = 0
    """The most connections that were open at once."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def text(
    status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None
) -> Callable[[Request, asyncio.StreamWriter], Awaitable[None]]:
    """A plain response."""

    async def reply(_: Request, writer: asyncio.StreamWriter) -> None:
        lines = {"content-length": str(len(body))} | (headers or {})
        head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(head.encode() + b"\r\n" + body)

    return reply


@asynccontextmanager
async def serving(reply: Reply) -> AsyncIterator[Server]:
    """Run the server on a free port of the loopback address."""
    recorded = Server()
    open_: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.add(writer)
        recorded.connections = len(open_)
        recorded.most_connections = max(recorded.most_connections, recorded.connections)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, target, _ = head[0].split(" ")
                headers = {
                    name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                request = Request(method=method, target=target, headers=headers, body=body)
                recorded.requests.append(request)
                await reply(request, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            open_.discard(writer)
            recorded.connections = len(open_)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    recorded.port = server.sockets[0].getsockname()[1]
    try:
        yield recorded
    finally:
        server.close()
        for writer in list(open_):
            writer.close()
