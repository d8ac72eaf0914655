"""A request of a tool from elsewhere, its limits, and the response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """The limits of one request, including its redirects."""

    connect_seconds: float = 10.0
    total_seconds: float = 30.0
    max_bytes: int = 2 * 1024 * 1024
    """Of the decompressed body."""
    max_redirects: int = 5


@dataclass(frozen=True, kw_only=True)
class HttpResponse:
    """A response, read completely."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    url: str
    truncated: bool = False
    """Whether an error's body was longer than the part that was read."""


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """A request. own: headers only for its first host, such as credentials; redirects to other hosts don't carry them."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
