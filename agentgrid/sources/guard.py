"""Connections of tools from elsewhere: to the very address that was checked, even if the name resolves to another one a moment later."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import httpcore

from agentgrid.domain.addresses import is_allowed, refusal
from agentgrid.errors import ToolError

MAX_ADDRESSES = 4
"""This many addresses of one host are tried."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, as text. Raises OSError."""


class EgressRefused(ToolError):
    """The request may not be made."""

    code = "egress_refused"


async def system_addresses(host: str, port: int) -> list[str]:
    """The addresses that the system's resolver gives for a name, or for an address in any of its spellings."""
    name = host.rstrip(".")
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Guard:
    """Decides which addresses may be reached.

    allowed: hosts that may be private, with a port or without. An allowed name still reaches no link-local, multicast or metadata address:
    those must be allowed as addresses.
    """

    def __init__(self, allowed: Iterable[str] = (), *, resolve: Resolve = system_addresses) -> None:
        self._allowed = frozenset(host.lower() for host in allowed)
        self._resolve = resolve

    async def addresses(self, host: str, port: int) -> list[str]:
        """The host's addresses, all of them checked. Raises EgressRefused if one of them may not be reached, OSError if there is none."""
        found = [address.partition("%")[0] for address in await self._resolve(host, port)]
        for address in found:
            self._check(host, port, address)
        if not found:
            raise OSError(f"{host} has no address")
        return found[:MAX_ADDRESSES]

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
    """A network of checked addresses. It also serves libraries that have their own copy of httpcore."""

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
        """Resolve once, check, connect. Raises EgressRefused, or what the inner network raises."""
        async with asyncio.timeout(timeout):
            addresses = await self._guard.addresses(host, port)
            for left, address in zip(reversed(range(len(addresses))), addresses, strict=True):
                try:
                    return await self._inner.connect_tcp(
                        address, port, local_address=local_address, socket_options=socket_options
                    )
                except Exception:
                    if not left:
                        raise
        raise OSError(f"{host} has no address")

    async def connect_unix_socket(self, path: str, timeout: float | None = None, socket_options: Any = None) -> Any:
        """Refused: no host is behind it."""
        raise EgressRefused("a Unix socket is not reached")

    async def sleep(self, seconds: float) -> None:
        """Sleep between the pool's own retries."""
        await asyncio.sleep(seconds)
