"""Rate limits: token buckets in this process, per principal, and per address for requests that fail authentication.

The address is the peer's. Behind a proxy all clients share the proxy's address; therefore a key that has authenticated before is not
limited by other clients' failures.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from agentgrid.errors import RateLimited
from agentgrid.settings import Settings

MAX_BUCKETS = 10_000
"""The least recently used buckets are evicted first. An evicted name starts again with a full bucket."""

Clock = Callable[[], float]


class Buckets:
    """One token bucket per name, refilled at a fixed rate up to `burst`."""

    def __init__(self, *, per_second: float, burst: int, clock: Clock = time.monotonic) -> None:
        self._rate = per_second
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, name: str) -> float:
        """Seconds until a token is available; 0 if one is available now."""
        return max(0.0, (1.0 - self._level(name)) / self._rate)

    def take(self, name: str, count: int = 1) -> float:
        """Take `count` tokens and return 0. If too few are available, take none and return the seconds until there are enough.

        A count close to the capacity or above it is taken once the bucket is at most one token short of full; the level may then be negative.
        """
        level = self._level(name)
        needed = min(float(count), max(1.0, self._burst - 1.0))
        if level < needed:
            return (needed - level) / self._rate
        self._buckets[name] = (level - count, self._clock())
        self._buckets.move_to_end(name)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return 0.0

    def _level(self, name: str) -> float:
        level, updated_at = self._buckets.get(name, (self._burst, 0.0))
        return min(self._burst, level + (self._clock() - updated_at) * self._rate)


class RateLimits:
    """The rate limits of one API process."""

    def __init__(self, settings: Settings, *, clock: Clock = time.monotonic) -> None:
        self._requests = Buckets(
            per_second=settings.rate_requests_per_second, burst=settings.rate_requests_burst, clock=clock
        )
        self._failures = Buckets(
            per_second=settings.rate_failures_per_second, burst=settings.rate_failures_burst, clock=clock
        )
        self._sign_ins = Buckets(
            per_second=settings.rate_sign_in_failures_per_minute / 60,
            burst=settings.rate_sign_in_failures_per_minute,
            clock=clock,
        )
        self._authenticated: OrderedDict[str, None] = OrderedDict()

    def before_key(self, address: str, key_hash: str | None) -> None:
        """Raise RateLimited after too many failures from this address, before any lookup. A key that has authenticated before is exempt."""
        if key_hash not in self._authenticated and (seconds := self._failures.wait(address)) > 0:
            raise RateLimited(
                "too many requests without a valid key from this address; retry later", retry_after_seconds=seconds
            )

    def failed(self, address: str, key_hash: str | None) -> None:
        """Count a request that failed authentication."""
        self._failures.take(address)
        self._authenticated.pop(key_hash or "", None)

    def passed(self, principal: str, key_hash: str) -> None:
        """Count an authenticated request. Raises RateLimited if the principal is over its limit."""
        self.expect(key_hash)
        self.charge(principal, 1)

    def expect(self, secret_hash: str) -> None:
        """Exempt this secret, which is valid, from the failure limits of its address."""
        self._authenticated[secret_hash] = None
        self._authenticated.move_to_end(secret_hash)
        if len(self._authenticated) > MAX_BUCKETS:
            self._authenticated.popitem(last=False)

    def before_sign_in(self, address: str, secret_hash: str) -> None:
        """Raise RateLimited after too many failed sign-ins from this address, before any lookup."""
        if secret_hash not in self._authenticated and (seconds := self._sign_ins.wait(address)) > 0:
            raise RateLimited("too many failed sign-ins from this address; retry later", retry_after_seconds=seconds)

    def sign_in_failed(self, address: str, secret_hash: str) -> None:
        """Count a failed sign-in."""
        self._sign_ins.take(address)
        self._authenticated.pop(secret_hash, None)

    def charge(self, principal: str, count: int) -> None:
        """Count `count` requests that arrived as one. Raises RateLimited if the principal is over its limit."""
        if (seconds := self._requests.take(principal, count)) > 0:
            raise RateLimited(f"too many requests by {principal}", retry_after_seconds=seconds)
