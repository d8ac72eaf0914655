"""Model answers as they are written, forwarded to the streams that requested them. Best effort: nothing is stored, and a late or slow reader can read the
step's output instead.

While somebody watches a run, this process announces the run to the workers, which otherwise send nothing. Workers' deltas arrive on a channel
whose name only the control plane knows, through a database function that has checked which login may report on which run.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg
from pydantic import ValidationError

from agentgrid.api.live import wire
from agentgrid.api.schemas.events import Delta, DeltaEvent
from agentgrid.db.tables import Run
from agentgrid.domain import channels
from agentgrid.domain.deltas import ANNOUNCE_SECONDS, MARKS_AT_ONCE, watch_mark
from agentgrid.domain.principals import Permission, Principal

PAUSE_SECONDS = 0.1
"""Minimum time between announcements."""
MAX_WAITING = 64
"""Deltas buffered for a slow client, at most 8 kB each; the oldest are dropped."""


@dataclass(kw_only=True, eq=False)
class Watch:
    """One stream's buffer of unsent deltas, and an event that is set for these and for new feed events."""

    runs: Mapping[str, Run]
    marks: frozenset[str]
    waiting: deque[tuple[str, bytes]] = field(default_factory=lambda: deque(maxlen=MAX_WAITING))
    """Deltas in wire format, with their run ids."""
    bell: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, principal: Principal) -> bytes:
        """The buffered deltas that this principal may read, in wire format; clears the buffer."""
        may_read = principal.may(Permission.READ_PAYLOADS)
        deltas = [wire for run_id, wire in self.waiting if may_read and principal.sees(self.runs[run_id].workflow)]
        self.waiting.clear()
        return b"".join(deltas)


class WatchedRuns:
    """The runs that streams of this process watch."""

    def __init__(self) -> None:
        self._watches: dict[str, set[Watch]] = {}
        self._due = asyncio.Event()
        """Set when the watched runs must be announced immediately."""

    @contextmanager
    def watch(self, *runs: Run) -> Iterator[Watch]:
        """Register a stream of these runs, and yield its watch."""
        watch = Watch(
            runs={run.run_id: run for run in runs}, marks=frozenset(watch_mark(run.workflow_id) for run in runs)
        )
        for run_id in watch.runs:
            self._watches.setdefault(run_id, set()).add(watch)
        self._due.set()
        try:
            yield watch
        finally:
            for run_id in watch.runs:
                self._watches[run_id].discard(watch)
                if not self._watches[run_id]:
                    del self._watches[run_id]

    def receive(self, sent: str) -> None:
        """Forward a delta. Malformed deltas and those for unwatched runs are dropped."""
        try:
            delta = json.loads(sent)
            run_id = delta.pop("run_id")
            watches = self._watches.get(run_id, ())
            if watches:
                part = _wire(run_id, delta)
                for watch in watches:
                    watch.waiting.append((run_id, part))
                    watch.bell.set()
        except (ValueError, ValidationError, KeyError, AttributeError, TypeError):
            return

    def wake_streams(self) -> None:
        """Wake all streams: there may be new events."""
        for watches in self._watches.values():
            for watch in watches:
                watch.bell.set()

    def announce_now(self) -> None:
        """Announce immediately, or notice that the connection was lost."""
        self._due.set()

    async def announce(self, connection: asyncpg.Connection[Any], lost: asyncio.Event) -> None:
        """Announce the watched runs to the workers until the connection is lost. Nothing is sent if nobody is watching."""
        while not lost.is_set():
            self._due.clear()
            marks = sorted({mark for watches in self._watches.values() for watch in watches for mark in watch.marks})
            for start in range(0, len(marks), MARKS_AT_ONCE):
                batch = " ".join(marks[start : start + MARKS_AT_ONCE])
                await connection.execute("SELECT pg_notify($1, $2)", channels.WATCHED, batch)
            # Each announcement names all watched runs: debounce, so that a client opening many streams doesn't cause as many announcements.
            await asyncio.sleep(PAUSE_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(ANNOUNCE_SECONDS if marks else None):
                    await self._due.wait()


def _wire(run_id: str, delta: dict[str, Any]) -> bytes:
    return wire(DeltaEvent(run_id=run_id, data=Delta.model_validate(delta), at=datetime.now(UTC)))
