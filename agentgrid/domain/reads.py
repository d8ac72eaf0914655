"""The record of payload reads, refusals and requests without a valid key."""

from __future__ import annotations

from enum import StrEnum


class ReadOutcome(StrEnum):
    """The outcome of a read."""

    READ = "read"
    """The response contained payloads."""
    REFUSED = "refused"
    """The principal may not read the payloads."""
    UNAUTHENTICATED = "unauthenticated"
    """The request had no valid API key. Also recorded for requests that would have changed something."""
