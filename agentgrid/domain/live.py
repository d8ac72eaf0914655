"""The kinds of live events, and which of them a stream carries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """What an event is about."""

    RUN = "run"
    STEP = "step"
    APPROVAL = "approval"
    END = "end"
    COMMAND = "command"
    POLICY = "policy"
    CATALOG = "catalog"
    LOG = "log"
    DELTA = "delta"


UNASKED = frozenset({EventKind.RUN, EventKind.STEP, EventKind.APPROVAL, EventKind.END})
"""What a stream carries whose client names neither kinds nor runs."""
OF_NAMED_RUNS = frozenset({EventKind.STEP, EventKind.DELTA})
"""Kinds that a stream carries only for the runs that its client names, if it names any."""
QUOTING = frozenset({EventKind.RUN, EventKind.STEP, EventKind.APPROVAL, EventKind.COMMAND, EventKind.DELTA})
"""Kinds that may quote payloads, for those who may read them."""
READERS = frozenset({EventKind.LOG, EventKind.DELTA})
"""Kinds that only those who may read payloads get."""


@dataclass(frozen=True, kw_only=True)
class Interest:
    """Which events a stream carries."""

    kinds: frozenset[EventKind] = UNASKED
    runs: frozenset[str] | None = None
    """The runs whose steps are wanted; None for all."""
    run_id: str | None = None
    """The only run of which anything is wanted; None for all."""

    def wants(self, kind: str, run_id: str) -> bool:
        """Whether the stream carries events of this kind about this run."""
        if kind not in self.kinds:
            return False
        if self.run_id is not None:
            return run_id == self.run_id
        return kind != EventKind.STEP or self.runs is None or run_id in self.runs

    def without(self, *kinds: EventKind) -> Interest:
        """The same without these kinds."""
        return Interest(kinds=self.kinds.difference(kinds), runs=self.runs, run_id=self.run_id)


def union(interests: Iterable[Interest]) -> Interest:
    """An interest that covers all of these, perhaps more."""
    given = list(interests)
    kinds = frozenset[EventKind]().union(*(each.kinds for each in given))
    named: set[str] = set()
    for each in given:
        if EventKind.STEP not in each.kinds:
            continue
        if each.run_id is not None:
            named.add(each.run_id)
        elif each.runs is not None:
            named |= each.runs
        else:
            return Interest(kinds=kinds)
    return Interest(kinds=kinds, runs=frozenset(named))
