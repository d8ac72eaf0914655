"""The security headers of every response, by the mount of its path.

The API's headers are the strict default. Other mounts declare their differences here. Errors and redirects under a mount, including those
made before routing or after a crash, have the mount's headers but are never cached.
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
"""The statuses to which a mount's `cache` applies: a cached 404 would outlive the deployment that caused it."""


@dataclass(frozen=True, kw_only=True)
class HeaderPolicy:
    """The headers of one mount's responses."""

    changes: Mapping[str, str] = field(default_factory=dict)
    """Differences from `STRICT`. No header can be removed."""
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
CONSOLE = HeaderPolicy(
    changes={
        # A web worker runs under the content policy of its own script, and the worker for event streams must connect to the API.
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'",
        # With `no-referrer`, some requests of the console's own pages would have the origin `null`.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    }
)
"""The page itself has its own content policy: see `console/__init__.py`."""

MOUNTS: dict[str, HeaderPolicy] = {
    "/": CONSOLE,
    "/api": API,
    "/healthz": API,
    "/readyz": API,
    "/metrics": API,
    "/mcp": API,
}
"""By path prefix; the longest prefix of a response's path applies. The API's paths are listed so that the console at `/` can't loosen them."""


def policy_of(path: str) -> HeaderPolicy:
    """The policy for a decoded path, as used for route matching."""
    mount = max((mount for mount in MOUNTS if _contains(mount, path)), key=len, default=None)
    return API if mount is None else MOUNTS[mount]


def _contains(mount: str, path: str) -> bool:
    return path == mount or path.startswith(mount.rstrip("/") + "/")
