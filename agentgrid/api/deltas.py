"""Models' answers as they are written, passed on to the streams that asked for them. Nothing is stored: a late or slow reader has the record.

While somebody watches a run, this process announces it to the workers, which otherwise send nothing. What they send arrives on a channel
whose name only the control plane knows, through a function that has checked which login may report on which run.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg
from pydantic import ValidationError
from sse_starlette import ServerSentEvent

from agentgrid.api.schemas.events import DeltaEvent
from agentgrid.db.tables import Run
from agentgrid.domain.deltas import ANNOUNCE_SECONDS, MARKS_AT_ONCE, WATCHED_CHANNEL, watch_mark

PAUSE_SECONDS = 0.1
"""Minimum time between two announcements."""
MAX_WAITING = 64
"""Deltas that wait for a slow client, at most 8 kB each; the oldest are dropped."""


@dataclass(kw_only=True, eq=False)
class Watch:
    """One stream's place: what it has not sent yet, and a bell for this and for new events."""

    run_id: str
    mark: str
    waiting: deque[bytes] = field(default_factory=lambda: deque(maxlen=MAX_WAITING))
    bell: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self) -> bytes:
        """All that waits, in wire format."""
        taken = b"".join(self.waiting)
        self.waiting.clear()
        return taken


class Deltas:
    """The watched runs of this process."""

    def __init__(self) -> None:
        self._watches: dict[str, set[Watch]] = {}
        self._due = asyncio.Event()
        """Set when something is to be announced at once."""

    @contextmanager
    def watch(self, run: Run) -> Iterator[Watch]:
        """A place for one stream of this run."""
        watch = Watch(run_id=run.run_id, mark=watch_mark(run.workflow_id))
        self._watches.setdefault(run.run_id, set()).add(watch)
        self._due.set()
        try:
            yield watch
        finally:
            self._watches[run.run_id].discard(watch)
            if not self._watches[run.run_id]:
                del self._watches[run.run_id]

    def hear(self, sent: str) -> None:
        """Pass a delta on. What has another form than the function's, or is for a run that nobody watches, is dropped."""
        try:
            delta = json.loads(sent)
            watches = self._watches.get(delta.pop("run_id"), ())
            if watches:
                wire = _wire(next(iter(watches)).run_id, delta)
                for watch in watches:
                    watch.waiting.append(wire)
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
            marks = sorted({watch.mark for watches in self._watches.values() for watch in watches})
            for start in range(0, len(marks), MARKS_AT_ONCE):
                some = " ".join(marks[start : start + MARKS_AT_ONCE])
                await connection.execute("SELECT pg_notify($1, $2)", WATCHED_CHANNEL, some)
            # Each announcement names all watched runs: a client that opens one stream after another must not cause as many.
            await asyncio.sleep(PAUSE_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(ANNOUNCE_SECONDS if marks else None):
                    await self._due.wait()


def _wire(run_id: str, delta: dict[str, Any]) -> bytes:
    event = DeltaEvent.model_validate(
        {"run_id": run_id, "kind": "delta", "subject": None, "data": delta, "at": datetime.now(UTC)}
    )
    # Without an id: a delta is not stored, so no client can resume after it.
    return ServerSentEvent(event.model_dump_json(), event="delta", sep="\n").encode()
