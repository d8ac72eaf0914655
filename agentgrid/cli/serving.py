"""The API's HTTP server: bounds the number of connections and the time each may take.

uvicorn waits forever for the rest of a request head or body, and for a client that doesn't read; it limits idle connections only.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""From the start of the connection, or the first byte of a later request, to the end of the request head."""
BODY_SECONDS = 35.0
"""From the end of the head to the end of the body. `body.READ_SECONDS` is shorter and answers 408 if a route is reading the body."""
UNREAD_SECONDS = 60.0
"""Maximum wait for a client that doesn't read the response."""
IDLE_SECONDS = 75
"""Between two requests. Longer than clients and proxies keep an idle connection (httpx and Node 5 s, aiohttp 15 s, nginx 60 s): if the server
closed first, it could do so just as the client sends a POST, which the client can't safely retry.
"""
RETRY_SECONDS = 5

FULL = {
    "type": "urn:agentgrid:problem:too_many_connections",
    "title": "Service Unavailable",
    "status": 503,
    "code": "too_many_connections",
    "detail": "too many open connections (AGENTGRID_MAX_CONNECTIONS); try again later",
}


class Protocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with a timeout on every wait."""

    _deadline: asyncio.TimerHandle | None = None
    _waits_for: object = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            transport.write(_full())
            transport.close()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def shutdown(self) -> None:
        # uvicorn waits for open requests before it ends the application's lifespan: ending their waits there would be too late.
        stop = self.app_state.get("stop_waiting")
        if stop is not None:
            stop()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_for(None)
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def _watch(self) -> None:
        """Set the timeout for the current wait. It counts from the start of the wait, so that sending single bytes doesn't extend it."""
        state = self.conn.their_state
        # Between two requests uvicorn's keep-alive timer runs instead.
        between = state is h11.IDLE and self.timeout_keep_alive_task is not None and not self.conn.trailing_data[0]
        waits = state in (h11.IDLE, h11.SEND_BODY) and not between and not self.transport.is_closing()
        self._wait_for(state if waits else None)

    def _wait_for(self, state: object) -> None:
        if state is self._waits_for:
            return
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._waits_for = state
        if state is not None:
            seconds = HEAD_SECONDS if state is h11.IDLE else BODY_SECONDS
            self._deadline = self.loop.call_later(seconds, self.transport.abort)


def options(*, max_connections: int) -> dict[str, Any]:
    """uvicorn's options, apart from the address."""
    return {
        "http": Protocol,
        "ws": "none",
        # Plus one: uvicorn also checks the number, and would refuse requests on the last accepted connection.
        "limit_concurrency": max_connections + 1,
        "timeout_keep_alive": IDLE_SECONDS,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "date_header": True,
        "proxy_headers": False,
    }


def _full() -> bytes:
    body = json.dumps(FULL).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        f"Retry-After: {RETRY_SECONDS}",
        "Connection: close",
    )
    return "\r\n".join([*head, "", ""]).encode() + body
