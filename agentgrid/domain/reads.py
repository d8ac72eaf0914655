"""What is remembered of reading: who saw payloads, who was refused, and who came without a key that holds."""

from __future__ import annotations

from enum import StrEnum


class ReadOutcome(StrEnum):
    """What a request to read came to."""

    READ = "read"
    """The answer held payloads."""
    REFUSED = "refused"
    """The principal may not read it."""
    UNAUTHENTICATED = "unauthenticated"
    """There was no key, or none that holds; also on requests for a change."""
