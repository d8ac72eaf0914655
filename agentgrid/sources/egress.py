"""The only exit for HTTP requests of tools from elsewhere: checks and bounds every address, redirect, byte and second."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any

import httpcore
import httpx

from agentgrid.domain.secrets import known
from agentgrid.errors import ToolError
from agentgrid.sources.exchange import HttpRequest, HttpResponse, RequestLimits
from agentgrid.sources.guard import EgressRefused, Guard, GuardedBackend, Resolve, system_addresses

SCHEMES = {"http": 80, "https": 443}
REDIRECTS = frozenset({301, 302, 303, 307, 308})
FOLLOWED = frozenset({"GET", "HEAD"})
"""Methods whose redirects are followed. Following others would repeat the request elsewhere."""
MAX_SHOWN = 200
MAX_CONNECTIONS = 100
"""Per toolset. Further requests wait, within their own time limit."""
MAX_IDLE_CONNECTIONS = 20


class Egress:
    """Sends requests. Keeps connections but no cookies, and uses no proxies or credentials from the environment."""

    def __init__(self, allowed: Iterable[str] = (), *, resolve: Resolve = system_addresses) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            network_backend=GuardedBackend(Guard(allowed, resolve=resolve)),
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
            keepalive_expiry=5.0,
        )

    async def aclose(self) -> None:
        """Close its connections."""
        await self._pool.aclose()

    async def send(self, request: HttpRequest, limits: RequestLimits = RequestLimits()) -> HttpResponse:
        """Send a request and follow its redirects. Raises EgressRefused for forbidden targets, and a retryable ToolError if the host can't be reached
        in time.
        """
        try:
            async with asyncio.timeout(limits.total_seconds):
                return await self._followed(request, limits)
        except TimeoutError:
            raise ToolError(
                f"{_shown(request.url)} did not answer in time: the limit is {limits.total_seconds:g} s", retryable=True
            ) from None
        except (OSError, httpcore.NetworkError, httpcore.TimeoutException) as error:
            raise ToolError(
                f"{_shown(request.url)} can't be reached: {known.beginning(str(error), MAX_SHOWN) or type(error).__name__}",
                retryable=True,
            ) from None
        except (httpcore.LocalProtocolError, UnicodeEncodeError) as error:
            raise ToolError(
                f"the request to {_shown(request.url)} is not valid: {known.beginning(str(error), MAX_SHOWN)}"
            ) from None
        except httpcore.ProtocolError as error:
            raise ToolError(
                f"{_shown(request.url)} sent an invalid HTTP response: {known.beginning(str(error), MAX_SHOWN)}",
                retryable=True,
            ) from None

    async def _followed(self, request: HttpRequest, limits: RequestLimits) -> HttpResponse:
        url = _checked(request.url)
        own: Mapping[str, str] = request.own
        for _ in range(limits.max_redirects + 1):
            answer, location = await self._once(request, url, own, limits)
            if location is None:
                return answer
            target = _checked(str(_joined(url, location)))
            if request.method not in FOLLOWED:
                raise EgressRefused(
                    f"{_shown(str(url))} redirects a {request.method} to {_shown(str(target))}; only GET and HEAD follow redirects"
                )
            if url.scheme == "https" and target.scheme == "http":
                raise EgressRefused(f"{_shown(str(url))} redirects to {_shown(str(target))}, which is not encrypted")
            own = own if _origin(url) == _origin(target) else {}
            url = target
        raise EgressRefused(f"{_shown(request.url)} redirects more than {limits.max_redirects} times")

    async def _once(
        self, request: HttpRequest, url: httpx.URL, own: Mapping[str, str], limits: RequestLimits
    ) -> tuple[HttpResponse, str | None]:
        sent = {"user-agent": "agentgrid", "accept": "*/*"} | _lowered(request.headers) | _lowered(own)
        headers = sent | {"host": url.netloc.decode("ascii"), "accept-encoding": "gzip"}
        if request.content is not None or request.method not in FOLLOWED:
            headers["content-length"] = str(len(request.content or b""))
        outgoing = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=[(name.encode("ascii"), value.encode("utf-8")) for name, value in headers.items()],
            content=request.content,
            # Reads, and the wait for a pooled connection, are bounded only by the total.
            extensions={"timeout": {"connect": limits.connect_seconds}},
        )
        response = await self._pool.handle_async_request(outgoing)
        try:
            received = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            if response.status in REDIRECTS and (location := received.get("location")):
                return HttpResponse(status=response.status, headers=received, body=b"", url=str(url)), location
            body, whole = await _read(response, received.get("content-encoding", ""), limits.max_bytes)
        finally:
            await response.aclose()
        if not whole and response.status < 400:
            raise ToolError(f"{_shown(str(url))} sent more than {limits.max_bytes:,} bytes")
        return HttpResponse(
            status=response.status, headers=received, body=body, url=str(url), truncated=not whole
        ), None


async def _read(response: httpcore.Response, encoding: str, max_bytes: int) -> tuple[bytes, bool]:
    """The decoded body, up to this length, and whether it is complete. Never decompresses more."""
    read = bytearray()
    unpack: Any = None
    if encoding.strip().lower() in ("gzip", "x-gzip", "deflate"):
        unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    elif encoding.strip().lower() not in ("", "identity"):
        raise ToolError(f"the response's encoding {encoding[:MAX_SHOWN]!r} was not requested")
    assert isinstance(response.stream, AsyncIterable)
    received = 0
    async for chunk in response.stream:
        received += len(chunk)
        try:
            read += chunk if unpack is None else unpack.decompress(chunk, max_bytes - len(read) + 1)
        except zlib.error:
            raise ToolError("the response is not compressed as its Content-Encoding claims", retryable=True) from None
        if len(read) > max_bytes:
            return bytes(read[:max_bytes]), False
    if received and unpack is not None and not unpack.eof:
        raise ToolError("the compressed response is incomplete", retryable=True)
    return bytes(read), True


def _checked(text: str) -> httpx.URL:
    """Parse the URL and check that requests to it may be made at all."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise EgressRefused(f"{_shown(text)} is not a valid URL: {known.beginning(str(error), MAX_SHOWN)}") from None
    if url.scheme not in SCHEMES:
        raise EgressRefused(f"{_shown(text)} is neither http nor https")
    if url.userinfo:
        raise EgressRefused(f"{_shown(text)} contains a user name")
    if not url.host:
        raise EgressRefused(f"{_shown(text)} has no host")
    if not 0 < (url.port or SCHEMES[url.scheme]) < 65536:
        raise EgressRefused(f"{_shown(text)} has an invalid port")
    return url


def _joined(url: httpx.URL, location: str) -> httpx.URL:
    try:
        return url.join(location)
    except (httpx.InvalidURL, ValueError) as error:
        raise EgressRefused(
            f"{_shown(str(url))} redirects to an invalid URL: {known.beginning(str(error), MAX_SHOWN)}"
        ) from None


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or SCHEMES[url.scheme]


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _shown(text: str) -> str:
    """A URL as messages show it: without user name, query and fragment, which may be secret."""
    shown = text.partition("?")[0].partition("#")[0]
    scheme, mark, rest = shown.partition("://")
    if mark:
        authority, slash, path = rest.partition("/")
        shown = f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
    return shown[:MAX_SHOWN]
