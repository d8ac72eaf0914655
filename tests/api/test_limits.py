"""Rate limits."""

from __future__ import annotations

import pytest

from agentgrid.api import limits
from agentgrid.api.limits import Buckets, RateLimits
from agentgrid.errors import RateLimited
from agentgrid.settings import Settings


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_allows_its_burst_and_then_its_rate():
    clock = Clock()
    buckets = Buckets(per_second=2, burst=3, clock=clock)
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("b") == 0
    clock.now += 0.5
    assert [buckets.take("a"), buckets.wait("a")] == [0, 0.5]
    clock.now += 3600
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5], "never more than the burst accumulates"


def test_the_number_of_buckets_is_bounded(monkeypatch):
    monkeypatch.setattr(limits, "MAX_BUCKETS", 100)
    buckets = Buckets(per_second=1, burst=2)
    for number in range(1_000):
        buckets.take(str(number))
    assert len(buckets) == 100


def test_an_authenticated_key_is_not_limited_by_failures_from_its_address():
    clock = Clock()
    several = RateLimits(Settings(rate_failures_burst=2, rate_failures_per_second=1), clock=clock)
    several.passed("ann", "hash of ann's")
    for _ in range(2):
        several.before_key("peer", "hash of a guess")
        several.failed("peer", "hash of a guess")
    for stranger in (None, "hash of another guess"):
        with pytest.raises(RateLimited) as raised:
            several.before_key("peer", stranger)
        assert raised.value.retry_after_seconds == 1
    several.before_key("peer", "hash of ann's")
    several.before_key("another peer", None)
    several.failed("another peer", "hash of ann's")  # revoked meanwhile
    with pytest.raises(RateLimited):
        several.before_key("peer", "hash of ann's")
    clock.now += 1
    several.before_key("peer", None)


def test_the_default_limits_allow_opening_hundreds_of_streams():
    usual = RateLimits(Settings(), clock=Clock())
    for _ in range(1_000):
        usual.passed("console", "hash")
