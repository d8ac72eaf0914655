"""The record of payload reads, refusals and requests without a valid key."""

from __future__ import annotations

from enum import StrEnum


class ReadOutcome(StrEnum):
    """The outcome of a read."""

    READ = "read"
    """The response held payloads."""
    REFUSED = "refused"
    """The principal may not read it."""
    UNAUTHENTICATED = "unauthenticated"
    """There was no valid key. Also recorded for requests that would change something."""
