"""The security headers of every response, by where its path is mounted.

The API's are the strict default. What is mounted elsewhere declares here what differs. Errors and redirects under a mount, also those that
are made before routing or by a crash, have the mount's headers, but are never cached.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.datastructures import MutableHeaders

STRICT = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
NO_STORE = "no-store"
CACHED = frozenset({200, 206, 304})
"""The statuses to which a mount's `cache` applies: a cached 404 would outlive the deployment that it came from."""


@dataclass(frozen=True, kw_only=True)
class HeaderPolicy:
    """The headers of one mount's responses."""

    changes: Mapping[str, str] = field(default_factory=dict)
    """What differs from `STRICT`. Nothing can be left out."""
    cache: str = NO_STORE
    """`Cache-Control` of successful responses."""

    def apply(self, headers: MutableHeaders, status: int) -> None:
        """Add the headers that the response has not set itself."""
        for name, value in STRICT.items():
            headers.setdefault(name, self.changes.get(name, value))
        for name, value in self.changes.items():
            headers.setdefault(name, value)
        headers.setdefault("Cache-Control", self.cache if status in CACHED else NO_STORE)


API = HeaderPolicy()

MOUNTS: dict[str, HeaderPolicy] = {"/api": API, "/healthz": API, "/readyz": API, "/metrics": API, "/mcp": API}
"""By path. The longest that contains a response's path applies, and `API` if none does. The API's own are listed so that a mount at `/` can't
loosen them."""


def policy_of(path: str) -> HeaderPolicy:
    """The policy for a decoded path, the same one that routes are matched with."""
    found = max((mount for mount in MOUNTS if _contains(mount, path)), key=len, default=None)
    return API if found is None else MOUNTS[found]


def _contains(mount: str, path: str) -> bool:
    return path == mount or path.startswith(mount.rstrip("/") + "/")
