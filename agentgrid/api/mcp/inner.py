"""In-process requests to the API's own routes on behalf of an outer request."""

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

COPIED_HEADERS = frozenset({b"authorization", b"host", b"user-agent"})
"""Headers copied from the outer request. Cookies are excluded: MCP clients send keys."""


@dataclass(frozen=True, kw_only=True)
class RouteRequest:
    route: str
    """Method and path pattern, as in `ACCESS`."""
    path: Mapping[str, str] = field(default_factory=dict)
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None
    """Sent as JSON by methods with a body."""
    idempotency_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class RouteResponse:
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
    """Make the request with the outer request's credential and address. It ends if the outer client disconnects.

    The route is looked up by its pattern, not its path, so no path value can lead to another route. The request is checked like any other.
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
    headers = [(name, value) for name, value in request.scope["headers"] if name in COPIED_HEADERS]
    if call.body is not None:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if call.idempotency_key is not None:
        # Characters that a header can't hold are replaced by ones that the route refuses.
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
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await request.receive()

    return receive
