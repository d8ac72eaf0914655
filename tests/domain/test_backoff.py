"""Exponential backoff and jitter."""

from __future__ import annotations

from agentgrid.domain.backoff import backoff, jittered


def test_the_delay_doubles_up_to_the_maximum() -> None:
    assert [backoff(0.5, 3.0, tries=tries) for tries in range(4)] == [0.5, 1.0, 2.0, 3.0]
    assert backoff(0.5, 3.0, tries=1_000_000) == 3.0


def test_jitter_removes_at_most_half_of_the_delay() -> None:
    assert all(1.0 <= jittered(2.0) <= 2.0 for _ in range(100))
