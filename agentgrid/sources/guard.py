"""Connects tools from elsewhere to exactly the address that was checked, even if the host name resolves differently a moment later."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import httpcore

from agentgrid.domain.addresses import is_allowed, refusal
from agentgrid.errors import ToolError

MAX_ADDRESSES = 4
"""How many addresses of a host are tried."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Resolves a host to its addresses, as text. Raises OSError."""


class EgressRefused(ToolError):
    """The request is not allowed."""

    code = "egress_refused"


async def system_addresses(host: str, port: int) -> list[str]:
    """The system resolver's addresses for a name, or for an address in any notation."""
    name = host.rstrip(".")
    entries = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


class Guard:
    """Decides which addresses may be reached.

    allowed: hosts that may be private, with or without a port. An allowed name still can't reach link-local, multicast or metadata addresses:
    those must be allowed as addresses.
    """

    def __init__(self, allowed: Iterable[str] = (), *, resolve: Resolve = system_addresses) -> None:
        self._allowed = frozenset(host.lower() for host in allowed)
        self._resolve = resolve

    async def addresses(self, host: str, port: int) -> list[str]:
        """Resolve the host and check all its addresses. Raises EgressRefused if any is forbidden, OSError if there are none."""
        addresses = [address.partition("%")[0] for address in await self._resolve(host, port)]
        for address in addresses:
            self._check(host, port, address)
        if not addresses:
            raise OSError(f"{host} has no address")
        return addresses[:MAX_ADDRESSES]

    def _check(self, host: str, port: int, address: str) -> None:
        refused = refusal(address)
        if refused is None or is_allowed(self._allowed, address, port):
            return
        if refused.by_name and is_allowed(self._allowed, host, port):
            return
        raise EgressRefused(
            f"{host}:{port} is not reached: {address} {refused.reason}. An operator can allow it with AGENTGRID_EGRESS_ALLOW"
        )


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """A network backend that only connects to checked addresses. Also works for libraries with their own copy of httpcore."""

    def __init__(self, guard: Guard, inner: Any = None) -> None:
        self._guard = guard
        self._inner = httpcore.AnyIOBackend() if inner is None else inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> Any:
        """Resolve once, check, then connect. Raises EgressRefused, and what the inner backend raises."""
        async with asyncio.timeout(timeout):
            addresses = await self._guard.addresses(host, port)
            for remaining, address in zip(reversed(range(len(addresses))), addresses, strict=True):
                try:
                    return await self._inner.connect_tcp(
                        address, port, local_address=local_address, socket_options=socket_options
                    )
                except Exception:
                    if not remaining:
                        raise
        raise OSError(f"{host} has no address")

    async def connect_unix_socket(self, path: str, timeout: float | None = None, socket_options: Any = None) -> Any:
        """Raise EgressRefused: a Unix socket has no host to check."""
        raise EgressRefused("Unix sockets are not allowed")

    async def sleep(self, seconds: float) -> None:
        """Sleep between the connection pool's retries."""
        await asyncio.sleep(seconds)
