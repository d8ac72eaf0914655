"""How often somebody may ask: token buckets in this process, by principal, and by address for what fails to say who asks.

The address is the peer's. Behind a proxy that is the proxy, for everybody: hence a key that was good before is not held up
by what others fail at.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from agentgrid.errors import RateLimited
from agentgrid.settings import Settings

MAX_BUCKETS = 10_000
"""The least recently used are dropped first. A dropped name starts again with a full bucket."""

Clock = Callable[[], float]


class Buckets:
    """A bucket of tokens for each name, filled at a rate up to a brim."""

    def __init__(self, *, per_second: float, burst: int, clock: Clock = time.monotonic) -> None:
        self._rate = per_second
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, name: str) -> float:
        """Seconds until there is a token; 0 where there is one."""
        return max(0.0, (1.0 - self._level(name)) / self._rate)

    def take(self, name: str) -> float:
        """Take a token where there is one; else the seconds until there is."""
        level = self._level(name)
        if level < 1.0:
            return (1.0 - level) / self._rate
        self._buckets[name] = (level - 1.0, self._clock())
        self._buckets.move_to_end(name)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return 0.0

    def _level(self, name: str) -> float:
        level, then = self._buckets.get(name, (self._burst, 0.0))
        return min(self._burst, level + (self._clock() - then) * self._rate)


class Limits:
    """What one process of the API lets through."""

    def __init__(self, settings: Settings, *, clock: Clock = time.monotonic) -> None:
        self._requests = Buckets(
            per_second=settings.rate_requests_per_second, burst=settings.rate_requests_burst, clock=clock
        )
        self._failures = Buckets(
            per_second=settings.rate_failures_per_second, burst=settings.rate_failures_burst, clock=clock
        )
        self._good: OrderedDict[str, None] = OrderedDict()

    def before_key(self, address: str, key_hash: str | None) -> None:
        """Raise RateLimited where too much from this address failed, before anything is looked up; not for a key that was good."""
        if key_hash not in self._good and (seconds := self._failures.wait(address)) > 0:
            raise RateLimited(
                "too many requests without a valid key came from this address", retry_after_seconds=seconds
            )

    def failed(self, address: str, key_hash: str | None) -> None:
        """Count a request that did not say who asks."""
        self._failures.take(address)
        self._good.pop(key_hash or "", None)

    def passed(self, principal: str, key_hash: str) -> None:
        """Count a request of somebody known. Raises RateLimited where there were too many."""
        self._good[key_hash] = None
        self._good.move_to_end(key_hash)
        if len(self._good) > MAX_BUCKETS:
            self._good.popitem(last=False)
        if (seconds := self._requests.take(principal)) > 0:
            raise RateLimited(f"{principal} asks too often", retry_after_seconds=seconds)
