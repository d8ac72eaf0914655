"""The delay between tries."""

from __future__ import annotations

from agentgrid.domain.backoff import backoff, jittered


def test_it_doubles_up_to_the_maximum_and_stays_there() -> None:
    assert [backoff(0.5, 3.0, tries=tries) for tries in range(4)] == [0.5, 1.0, 2.0, 3.0]
    assert backoff(0.5, 3.0, tries=1_000_000) == 3.0


def test_jitter_takes_at_most_half() -> None:
    assert all(1.0 <= jittered(2.0) <= 2.0 for _ in range(100))
