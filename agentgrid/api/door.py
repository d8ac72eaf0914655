"""Checks on every request before routing (host, origin, headers), and security headers on every response (`mounts.py`).

A page of another site must not be able to reach the API through a visitor's browser, by name (DNS rebinding) or by address.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentgrid.api.errors import WireError, response
from agentgrid.api.mounts import policy_of
from agentgrid.control.api_keys import LOOKS_LIKE_A_KEY

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
PROBES = frozenset({"/healthz", "/readyz"})
"""Orchestrators request these paths by the machine's address."""
MAX_HEADER_BYTES = 32 * 1024
"""Limit for all headers together; an API key, a cursor and an idempotency key need far less."""
MAX_DECODINGS = 5
SECRET_PARAMETERS = frozenset({"api_key", "apikey", "key", "token", "access_token", "authorization"})


class Door:
    """ASGI middleware that refuses foreign hosts and origins."""

    def __init__(self, app: ASGIApp, *, public_url: str) -> None:
        self._app = app
        self._public = urlsplit(public_url)
        self._hosts = LOOPBACK | {self._public.hostname or ""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy_of(scope["path"]).apply(MutableHeaders(scope=message), message["status"])
            await send(message)

        fault = self._fault(scope)
        if fault is not None:
            await response(fault)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _fault(self, scope: Scope) -> WireError | None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            return WireError(431, "headers_too_large", f"the request headers exceed {MAX_HEADER_BYTES:,} bytes")
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if scope["path"] not in PROBES and (len(hosts) != 1 or _without_port(hosts[0]) not in self._hosts):
            return WireError(400, "unknown_host", "unknown host name: use the host name in AGENTGRID_API_URL")
        if not all(self._is_own(origin, hosts) for origin in headers.getlist("origin")):
            return WireError(403, "foreign_origin", "requests from pages of other origins are refused")
        decodings = _decodings(scope["path"], scope["query_string"].decode("latin-1"))
        if decodings is None:
            return WireError(400, "bad_request", f"the URL is percent-encoded more than {MAX_DECODINGS} times")
        if any(_contains_api_key(path, query) for path, query in decodings):
            return WireError(
                400,
                "key_in_url",
                "the URL contains an API key, and URLs end up in logs: revoke the key, and send keys as `Authorization: Bearer`",
            )
        return None

    def _is_own(self, origin: str, hosts: list[str]) -> bool:
        try:
            parts = urlsplit(origin)
        except ValueError:  # brackets without an address
            return False
        if (parts.scheme, parts.netloc) == (self._public.scheme, self._public.netloc):
            return True
        return parts.scheme in ("http", "https") and bool(hosts) and parts.netloc == hosts[0]


def _decodings(path: str, query: str) -> list[tuple[str, str]] | None:
    """The URL as received and after each round of percent-decoding, since readers of logs may decode it; None if it takes more than MAX_DECODINGS rounds."""
    decodings = [(path, query)]
    for _ in range(MAX_DECODINGS):
        path, query = unquote(path), unquote(query)
        if (path, query) == decodings[-1]:
            return decodings
        decodings.append((path, query))
    return None


def _contains_api_key(path: str, query: str) -> bool:
    names = {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}
    return bool(names & SECRET_PARAMETERS or LOOKS_LIKE_A_KEY.search(query) or LOOKS_LIKE_A_KEY.search(path))


def _without_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()
