"""The clients of `streams`, in a separate process: plain sockets, so cheap that the figures are the server's."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import defaultdict

WAIT_SECONDS = 60


class Listener(asyncio.Protocol):
    """A client of `/api/v1/events` that records when the last byte of each event arrived."""

    def __init__(self, request: bytes, arrivals: defaultdict[int, list[float]]) -> None:
        self._request = request
        self._arrivals = arrivals
        self._buffer = b""
        self.opened = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._buffer += data
        if not self.opened.done():
            if b"\r\n\r\n" not in self._buffer:
                return
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            self.opened.set_result(head.split(b"\r\n", 1)[0].decode())
        *blocks, self._buffer = self._buffer.split(b"\n\n")
        for block in blocks:
            if b"event: hello" in block:
                continue
            for line in block.split(b"\n"):
                if line.startswith(b"id: "):
                    self._arrivals[int(line[4:])].append(now)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_result(f"connection lost: {exc}")


async def main() -> None:
    """Open all streams and print `open`. Once all clients have all changes, or after a timeout, print the arrival times as JSON."""
    options = json.loads(sys.argv[1])
    loop = asyncio.get_running_loop()
    arrivals: defaultdict[int, list[float]] = defaultdict(list)
    listeners = []
    for number in range(options["clients"]):
        token = options["tokens"][number % len(options["tokens"])]
        request = (
            f"GET /api/v1/events{options['query']} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
            "Accept: text/event-stream\r\n\r\n"
        ).encode()
        _, listener = await loop.create_connection(
            lambda request=request: Listener(request, arrivals), "127.0.0.1", options["port"]
        )
        answer = await listener.opened
        if "200" not in answer:
            raise RuntimeError(answer)
        listeners.append(listener)
    print("open", flush=True)
    expected = options["clients"] * options["changes"]
    deadline = time.monotonic() + WAIT_SECONDS
    while sum(map(len, arrivals.values())) < expected and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    print(json.dumps(arrivals), flush=True)
    await asyncio.sleep(1)


asyncio.run(main())
