"""Models' answers as they are written, passed on to the streams that asked for them. Nothing is stored: a late or slow reader has the record.

While somebody watches a run, this process announces it to the workers, which otherwise send nothing. What they send arrives on a channel
whose name only the control plane knows, through a function that has checked which login may report on which run.
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
"""Minimum time between two announcements."""
MAX_WAITING = 64
"""Deltas that wait for a slow client, at most 8 kB each; the oldest are dropped."""


@dataclass(kw_only=True, eq=False)
class Watch:
    """One stream's place: what it has not sent yet, and a bell for this and for new events."""

    runs: Mapping[str, Run]
    marks: frozenset[str]
    waiting: deque[tuple[str, bytes]] = field(default_factory=lambda: deque(maxlen=MAX_WAITING))
    """Deltas with the ids of their runs."""
    bell: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, principal: Principal) -> bytes:
        """All that waits and this principal may read, in wire format."""
        reads = principal.may(Permission.READ_PAYLOADS)
        taken = [wire for run_id, wire in self.waiting if reads and principal.sees(self.runs[run_id].workflow)]
        self.waiting.clear()
        return b"".join(taken)


class WatchedRuns:
    """The watched runs of this process."""

    def __init__(self) -> None:
        self._watches: dict[str, set[Watch]] = {}
        self._due = asyncio.Event()
        """Set when something is to be announced at once."""

    @contextmanager
    def watch(self, *runs: Run) -> Iterator[Watch]:
        """A place for one stream of these runs."""
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

    def hear(self, sent: str) -> None:
        """Pass a delta on. What has another form than the function's, or is for a run that nobody watches, is dropped."""
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

    def ring(self) -> None:
        """There may be new events."""
        for watches in self._watches.values():
            for watch in watches:
                watch.bell.set()

    def wake(self) -> None:
        """Announce at once, or notice that the connection is lost."""
        self._due.set()

    async def announce(self, connection: asyncpg.Connection[Any], lost: asyncio.Event) -> None:
        """Announce the watched runs to the workers, until the connection is lost. With nobody watching, nothing is sent."""
        while not lost.is_set():
            self._due.clear()
            marks = sorted({mark for watches in self._watches.values() for watch in watches for mark in watch.marks})
            for start in range(0, len(marks), MARKS_AT_ONCE):
                some = " ".join(marks[start : start + MARKS_AT_ONCE])
                await connection.execute("SELECT pg_notify($1, $2)", channels.WATCHED, some)
            # Each announcement names all watched runs: a client that opens one stream after another must not cause as many.
            await asyncio.sleep(PAUSE_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(ANNOUNCE_SECONDS if marks else None):
                    await self._due.wait()


def _wire(run_id: str, delta: dict[str, Any]) -> bytes:
    return wire(DeltaEvent(run_id=run_id, data=Delta.model_validate(delta), at=datetime.now(UTC)))
