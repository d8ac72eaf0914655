"""How long a change waits before it is processed (debounce): briefly while few executions are active, longer under load.

A read costs the same whether it finds one new event or twenty. Under load, a longer wait means that everything a run does in the meantime
costs one read, one pass and one row write instead of several. A change after which nothing follows soon (a run that ended or waits for a
timer) is urgent: waiting longer would save nothing. The delay depends on the number of executions active in the last second, not on the
number of looks: the former doesn't depend on the delay, the latter falls as the delay grows, and a few runs in quick succession are no load.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from datetime import timedelta

LEAST_DELAY = timedelta(milliseconds=30)
LONGEST_DELAY = timedelta(milliseconds=1000)
CALM = 12
"""At or below this many recently active executions, batching saves nothing."""
BUSY = 24
"""At or above this many, the delay is the longest."""
WINDOW_SECONDS = 1.0
CLAIMS_PER_DELAY = 4
"""Claims per delay. Executions that are claimed together are read together and written in one transaction."""


class Pace:
    """Tracks which executions were looked at in the last second, and derives the delay from their number."""

    def __init__(self) -> None:
        self._looked: OrderedDict[str, float] = OrderedDict()

    def looked(self, execution_ids: Iterable[str], *, at: float) -> None:
        """Record that these executions are looked at. at: a monotonic clock's time, in seconds."""
        for key in execution_ids:
            self._looked[key] = at
            self._looked.move_to_end(key)
        while self._looked and at - next(iter(self._looked.values())) > WINDOW_SECONDS:
            self._looked.popitem(last=False)

    @property
    def active(self) -> int:
        """The number of executions looked at in the last second."""
        return len(self._looked)

    @property
    def delay(self) -> timedelta:
        """How long a change waits for further changes of the same execution."""
        share = min(max((self.active - CALM) / (BUSY - CALM), 0.0), 1.0)
        return LEAST_DELAY + (LONGEST_DELAY - LEAST_DELAY) * share

    @property
    def brief(self) -> timedelta:
        """How long an urgent change waits: only so that executions which end together are written together."""
        return max(LEAST_DELAY, self.claim_interval)

    @property
    def claim_interval(self) -> timedelta:
        """The time between two claims."""
        return self.delay / CLAIMS_PER_DELAY
