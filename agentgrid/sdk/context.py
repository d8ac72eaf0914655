"""Context of the running activity."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

current_key: ContextVar[str | None] = ContextVar("agentgrid_key", default=None)
"""Set by the activity half of the interceptors for the duration of one attempt, and by tests."""


@contextlib.contextmanager
def keyed(key: str) -> Iterator[str]:
    """Give the calls in this block this idempotency key."""
    token = current_key.set(key)
    try:
        yield key
    finally:
        current_key.reset(token)
