"""Requests to the API's own routes from within the process, on behalf of a request that came from outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from agentgrid.api.routing import CheckedRoute

PASSED_ON = frozenset({b"authorization", b"host", b"user-agent"})
"""The headers of the outer request that the inner one has too. A cookie is none of them: MCP clients send keys."""


@dataclass(frozen=True, kw_only=True)
class RouteRequest:
    """A request to one route."""

    route: str
    """Method and path pattern, as in `ACCESS`."""
    path: Mapping[str, str] = field(default_factory=dict)
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None
    """Sent as JSON, by methods that have a body."""
    idempotency_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class RouteResponse:
    """A route's response."""

    status: int
    raw: bytes

    @property
    def ok(self) -> bool:
        """Whether the request succeeded."""
        return self.status < 400

    @property
    def value(self) -> Any:
        """The JSON value: a resource, or a problem."""
        return json.loads(self.raw)


def route_of(app: FastAPI, name: str) -> CheckedRoute:
    """The route of this method and path pattern. Raises LookupError."""
    method, _, pattern = name.partition(" ")
    for route in app.router.routes:
        if isinstance(route, CheckedRoute) and route.path == pattern and method in (route.methods or ()):
            return route
    raise LookupError(name)


async def ask(request: Request, call: RouteRequest) -> RouteResponse:
    """Make the request with the outer one's credential and address; it ends when the outer client disconnects.

    The route is looked up by its name and not by a path, so no value in a path can lead to another one. It passes the gate like any request.
    """
    route = route_of(request.app, call.route)
    body = b"" if call.body is None else json.dumps(call.body).encode()
    status, raw = 500, bytearray()

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            raw.extend(message.get("body", b""))

    await route.handle(_scope(request, route, call, body), _receive(request, body), send)
    return RouteResponse(status=status, raw=bytes(raw))


def _scope(request: Request, route: CheckedRoute, call: RouteRequest, body: bytes) -> Scope:
    headers = [(name, value) for name, value in request.scope["headers"] if name in PASSED_ON]
    if call.body is not None:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if call.idempotency_key is not None:
        # Characters that a header can't have become such as the gate refuses.
        headers.append((b"idempotency-key", call.idempotency_key.encode("latin-1", "replace")))
    path = route.path.format(**call.path)
    return {
        **{name: value for name, value in request.scope.items() if name != "fastapi"},
        "method": call.route.partition(" ")[0],
        "path": path,
        "raw_path": quote(path, errors="replace").encode(),
        "query_string": urlencode(call.query, errors="replace").encode(),
        "headers": headers,
        "path_params": dict(call.path),
        "endpoint": route.endpoint,
        "route": route,
        "state": {},
    }


def _receive(request: Request, body: bytes) -> Receive:
    given = False

    async def receive() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await request.receive()

    return receive
