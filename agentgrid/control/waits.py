"""Limits how many requests of one process wait for workers. Otherwise, requests to a worker that is down would fill the process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from agentgrid.errors import RateLimited

MOST = 200
MOST_PER_PRINCIPAL = 20


class Waits:
    """The requests that are currently waiting."""

    def __init__(self, *, most: int = MOST, most_per_principal: int = MOST_PER_PRINCIPAL) -> None:
        self._most = most
        self._most_per_principal = most_per_principal
        self._per_principal: Counter[str] = Counter()

    @contextmanager
    def one(self, principal: str) -> Iterator[None]:
        """Count a waiting request while the block runs. Raises RateLimited at the limit."""
        if self._per_principal[principal] >= self._most_per_principal or self._per_principal.total() >= self._most:
            raise RateLimited("too many requests are waiting for workers; try again in a moment")
        self._per_principal[principal] += 1
        try:
            yield
        finally:
            self._per_principal[principal] -= 1
            if not self._per_principal[principal]:
                del self._per_principal[principal]
