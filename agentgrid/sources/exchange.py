"""A request of a tool from elsewhere, its bounds, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """The bounds of one request, with its redirects."""

    connect_seconds: float = 10.0
    total_seconds: float = 30.0
    max_bytes: int = 2 * 1024 * 1024
    """Of the body, decompressed."""
    max_redirects: int = 5


@dataclass(frozen=True, kw_only=True)
class HttpResponse:
    """A response, read whole."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes
    url: str
    truncated: bool = False
    """Whether the body of an error was longer than what was read."""


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """A request. own: headers for its first host alone, such as credentials: no redirect carries them to another."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
