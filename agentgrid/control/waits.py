"""Bounds how many requests of one process wait for a worker's answer. A worker that is down would otherwise fill the process with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from agentgrid.errors import RateLimited

MOST = 200
MOST_PER_PRINCIPAL = 20


class Waits:
    """The requests that wait now."""

    def __init__(self, *, most: int = MOST, most_per_principal: int = MOST_PER_PRINCIPAL) -> None:
        self._most = most
        self._most_per_principal = most_per_principal
        self._of: Counter[str] = Counter()

    @contextmanager
    def one(self, principal: str) -> Iterator[None]:
        """Count one more while the block runs. Raises RateLimited if too many wait already."""
        if self._of[principal] >= self._most_per_principal or self._of.total() >= self._most:
            raise RateLimited("too many requests wait for workers to answer; try again in a moment")
        self._of[principal] += 1
        try:
            yield
        finally:
            self._of[principal] -= 1
            if not self._of[principal]:
                del self._of[principal]
