"""The kinds of live events, and which of them a stream carries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """The subject of a live event."""

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
"""What a stream carries by default, if its client names neither kinds nor runs."""
QUOTING = frozenset({EventKind.RUN, EventKind.STEP, EventKind.APPROVAL, EventKind.COMMAND, EventKind.DELTA})
"""Kinds that may quote payloads, if the client may read payloads."""
READERS = frozenset({EventKind.LOG, EventKind.DELTA})
"""Kinds that are sent only to clients that may read payloads."""


@dataclass(frozen=True, kw_only=True)
class Interest:
    """Which events a stream carries."""

    kinds: frozenset[EventKind] = UNASKED
    runs: frozenset[str] | None = None
    """The runs whose steps the stream carries; None for all."""
    run_id: str | None = None
    """The only run that the stream is about; None for all."""

    def wants(self, kind: str, run_id: str) -> bool:
        """Whether the stream carries events of this kind about this run."""
        if kind not in self.kinds:
            return False
        if self.run_id is not None:
            return run_id == self.run_id
        return kind != EventKind.STEP or self.runs is None or run_id in self.runs

    def without(self, *kinds: EventKind) -> Interest:
        """This interest without these kinds."""
        return Interest(kinds=self.kinds.difference(kinds), runs=self.runs, run_id=self.run_id)


def union(interests: Iterable[Interest]) -> Interest:
    """An interest that covers all of these, and possibly more."""
    merged = list(interests)
    kinds = frozenset[EventKind]().union(*(interest.kinds for interest in merged))
    runs: set[str] = set()
    for interest in merged:
        if EventKind.STEP not in interest.kinds:
            continue
        if interest.run_id is not None:
            runs.add(interest.run_id)
        elif interest.runs is not None:
            runs |= interest.runs
        else:
            return Interest(kinds=kinds)
    return Interest(kinds=kinds, runs=frozenset(runs))
