"""The clients of `streams`, in a process of their own: plain sockets, which cost next to nothing and so measure the server."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import defaultdict

WAIT_SECONDS = 60


class Listener(asyncio.Protocol):
    """One client of `/api/v1/events`: when it had the last byte of each event."""

    def __init__(self, request: bytes, seen: defaultdict[int, list[float]]) -> None:
        self._request = request
        self._seen = seen
        self._held = b""
        self.opened = asyncio.get_running_loop().create_future()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._held += data
        if not self.opened.done():
            if b"\r\n\r\n" not in self._held:
                return
            head, _, self._held = self._held.partition(b"\r\n\r\n")
            self.opened.set_result(head.split(b"\r\n", 1)[0].decode())
        *blocks, self._held = self._held.split(b"\n\n")
        for block in blocks:
            if b"event: hello" in block:
                continue
            for line in block.split(b"\n"):
                if line.startswith(b"id: "):
                    self._seen[int(line[4:])].append(now)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self.opened.done():
            self.opened.set_result(f"connection lost: {exc}")


async def main() -> None:
    """Open all streams, say so, and tell what was seen once everybody has seen every change."""
    given = json.loads(sys.argv[1])
    loop = asyncio.get_running_loop()
    seen: defaultdict[int, list[float]] = defaultdict(list)
    listeners = []
    for number in range(given["clients"]):
        token = given["tokens"][number % len(given["tokens"])]
        request = (
            f"GET /api/v1/events{given['query']} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
            "Accept: text/event-stream\r\n\r\n"
        ).encode()
        _, listener = await loop.create_connection(
            lambda request=request: Listener(request, seen), "127.0.0.1", given["port"]
        )
        answer = await listener.opened
        if "200" not in answer:
            raise RuntimeError(answer)
        listeners.append(listener)
    print("open", flush=True)
    expected = given["clients"] * given["changes"]
    deadline = time.monotonic() + WAIT_SECONDS
    while sum(map(len, seen.values())) < expected and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    print(json.dumps(seen), flush=True)
    await asyncio.sleep(1)


asyncio.run(main())
