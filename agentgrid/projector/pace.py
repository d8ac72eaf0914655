"""How long a change waits before it is looked at: briefly while few executions move, longer the more there are.

A read costs the same whether it finds one new event or twenty. Under load a longer wait lets all that a run does meanwhile cost one read, one
pass and one row written instead of several. A change that comes to rest (a run that ended or waits for a timer) is urgent: nothing is
gained by waiting for more. What counts is how many executions have moved in the last second, not how many looks were made: the one
does not change with the wait, the other falls as it grows, and a few runs in quick succession are no load.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from datetime import timedelta

LEAST_DELAY = timedelta(milliseconds=30)
LONGEST_DELAY = timedelta(milliseconds=1000)
CALM = 12
"""While no more executions than this have moved in the last second, nothing is saved by waiting."""
BUSY = 24
"""From this many on the wait is the longest."""
LATE_SECONDS = 1.0
BEATS = 4
"""How often claims are made within one delay: what is claimed together is read together and written in one transaction."""


class Pace:
    """Remembers which executions were looked at in the last second; the delay follows from their number."""

    def __init__(self) -> None:
        self._looked: OrderedDict[str, float] = OrderedDict()

    def looked(self, execution_ids: Iterable[str], *, at: float) -> None:
        """These are looked at from this moment of a monotonic clock on, in seconds."""
        for key in execution_ids:
            self._looked[key] = at
            self._looked.move_to_end(key)
        while self._looked and at - next(iter(self._looked.values())) > LATE_SECONDS:
            self._looked.popitem(last=False)

    @property
    def moving(self) -> int:
        """How many executions have moved in the last second."""
        return len(self._looked)

    @property
    def delay(self) -> timedelta:
        """How long a change waits for others of its execution."""
        share = min(max((self.moving - CALM) / (BUSY - CALM), 0.0), 1.0)
        return LEAST_DELAY + (LONGEST_DELAY - LEAST_DELAY) * share

    @property
    def brief(self) -> timedelta:
        """How long an urgent change waits: nothing more is to come, but those that end together are written together."""
        return max(LEAST_DELAY, self.beat)

    @property
    def beat(self) -> timedelta:
        """How long a claim waits for the next one."""
        return self.delay / BEATS
