"""How long a change waits before it is looked at: briefly while there is little to do, longer the more there is.

A read costs the same whether it finds one new event or twenty. Under load a longer wait lets all that a run does meanwhile cost one read, one
pass and one row written instead of several. What is measured is the rate of looks: it falls as the wait grows, so the two settle.
"""

from __future__ import annotations

import math
from datetime import timedelta

LEAST_DELAY = timedelta(milliseconds=30)
LONGEST_DELAY = timedelta(milliseconds=800)
CALM = 20.0
"""Up to this many looks a second nothing is saved by waiting: they take a few hundredths of a core."""
BUSY = 40.0
"""From this many a second on the wait is the longest."""
MEMORY_SECONDS = 1.0
BEATS = 4
"""How often claims are made within one delay: what is claimed together is read together and written in one transaction."""


class Pace:
    """Counts looks with an exponential decay, and says what follows from their rate."""

    def __init__(self) -> None:
        self._level = 0.0
        self._at = 0.0

    def looked(self, count: int, *, at: float) -> None:
        """So many looks have begun at this moment of a monotonic clock, in seconds."""
        self._level = self._level * math.exp((self._at - at) / MEMORY_SECONDS) + count
        self._at = at

    @property
    def rate(self) -> float:
        """Looks a second."""
        return self._level / MEMORY_SECONDS

    @property
    def delay(self) -> timedelta:
        """How long a change waits for others of its execution."""
        share = min(max((self.rate - CALM) / (BUSY - CALM), 0.0), 1.0)
        return LEAST_DELAY + (LONGEST_DELAY - LEAST_DELAY) * share

    @property
    def beat(self) -> timedelta:
        """How long a claim waits for the next one."""
        return self.delay / BEATS
