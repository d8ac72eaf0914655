"""Which network addresses a tool from an OpenAPI document or MCP server may reach."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

GLOBAL_V6 = ipaddress.ip_network("2000::/3")
"""The only IPv6 range assigned to the public internet."""
TUNNELS = tuple(map(ipaddress.ip_network, ("2002::/16", "2001::/32")))
"""6to4 and Teredo, which embed an IPv4 address. The translated ranges do too, but are outside `GLOBAL_V6`."""
METADATA = frozenset(
    map(ipaddress.ip_address, ("169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"))
)
"""Cloud metadata services, which hand out credentials to any caller on the machine."""
PROTOCOL = ipaddress.ip_network("192.0.0.0/24")


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why an address may not be reached."""

    reason: str
    by_name: bool = False
    """Whether allowing the host's name is enough; otherwise the address itself must be allowed."""


def refusal(text: str) -> Refusal | None:
    """Why this address needs to be allowed explicitly; None for a public address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return Refusal(reason="is not an IP address")
    if address in METADATA:
        return Refusal(reason="is a cloud's metadata service")
    if address.is_link_local:
        return Refusal(reason="is a link-local address")
    if address.is_multicast:
        return Refusal(reason="is a multicast address")
    if address.is_unspecified:
        return Refusal(reason="is the unspecified address")
    if address.is_loopback:
        return Refusal(reason="is a loopback address", by_name=True)
    if isinstance(address, IPv6Address):
        return _refusal_v6(address)
    return _refusal_v4(address)


def _refusal_v4(address: IPv4Address) -> Refusal | None:
    if address.is_global and address not in PROTOCOL:
        return None
    return Refusal(reason="is not a public internet address", by_name=address.is_private and address not in PROTOCOL)


def _refusal_v6(address: IPv6Address) -> Refusal | None:
    if address.ipv4_mapped is not None or any(address in tunnel for tunnel in TUNNELS):
        return Refusal(reason="contains an IPv4 address")
    if address.is_global and address in GLOBAL_V6:
        return None
    return Refusal(reason="is not a public internet address", by_name=address.is_private)


def is_allowed(allowed: Collection[str], host: str, port: int) -> bool:
    """Whether a host is in a list such as `crm.internal`, `10.1.2.3`, `localhost:8080`, `[::1]:8080`. An entry without a port allows all ports."""
    name = host.lower().rstrip(".")
    shown = f"[{name}]" if ":" in name else name
    return not {name, shown, f"{shown}:{port}"}.isdisjoint(allowed)
