"""The newest live events, read once for the whole process.

One connection listens and reads each new event once into a window of the newest. A stream (`sse.py`) holds nothing but a cursor: it reads from
the window while it keeps up and from the table when it has fallen behind. A request that waits for a run to end (`run_waits.py`) holds nothing but a
bell. Event ids are in commit order, so a cursor never skips an event that commits later.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from agentgrid.api.deltas import Watch, WatchedRuns
from agentgrid.api.hints import LOOK_SECONDS, Hints
from agentgrid.api.live import LiveEvent, unwritten, write_out
from agentgrid.db import feed as db_feed
from agentgrid.db.follow import Line, follow
from agentgrid.db.session import SESSION_FAULTS, reading
from agentgrid.db.tables import EventRow
from agentgrid.domain import channels
from agentgrid.domain.live import EventKind, Interest, union
from agentgrid.domain.principals import Principal
from agentgrid.domain.runs import WaitingOn
from agentgrid.domain.scopes import EVERY_WORKFLOW
from agentgrid.errors import InvalidInput, InvalidPlace, RateLimited

log = structlog.get_logger()

WINDOW = 2_000
BATCH = 500
POLL_SECONDS = 2.0
"""Delay of events after a lost notification."""
MAX_STREAMS_PER_PRINCIPAL = 50
STREAMS_RETRY_SECONDS = 10.0
EVERYTHING = Interest()
RING_SECONDS = 1.0
"""How often at most waiting requests are woken because principals or keys changed. A worker's login could announce that all the time."""


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The position from which a stream continues."""

    event_id: int
    reset: bool
    """Events after the client's cursor are gone, or the cursor is invalid: the client must reload everything."""
    head: int
    """The newest event."""


class Feed:
    """The newest events in the database, with a notification for each batch of new ones."""

    def __init__(self, engine: AsyncEngine, dsn: str) -> None:
        self._engine = engine
        self._dsn = dsn
        self._window: deque[LiveEvent] = deque(maxlen=WINDOW)
        self._head: int | None = None
        self._bell = asyncio.Event()
        self._poke = asyncio.Event()
        self.access_changes = 0
        """The number of changes to principals or keys that this process was notified of."""
        self._streams: dict[str, int] = {}
        self._interests: Counter[Interest] = Counter()
        """Of the open streams."""
        self._wanted = union(())
        """Covers all of them."""
        self._writing = asyncio.Lock()
        self._unheard = 0
        """Events since streams were last woken."""
        self._bells: dict[str, set[asyncio.Event]] = {}
        """Of the requests that wait for a run to end, by run."""
        self._rings_again: asyncio.TimerHandle | None = None
        self._changed_meanwhile = False
        self.deltas = WatchedRuns()
        """For streams that also want the models' answers as they are written."""
        self.hints = Hints()

    @property
    def head(self) -> int:
        """The newest event seen."""
        return self._head or 0

    @property
    def streams(self) -> int:
        """The number of open streams."""
        return sum(self._streams.values())

    @property
    def _followed(self) -> bool:
        return bool(self._streams or self._bells)

    async def run(self) -> None:
        """Follow the table until cancelled. Raises what ends any part of it: half a feed would only appear to work."""
        async with asyncio.TaskGroup() as beside:
            beside.create_task(self._listen())
            beside.create_task(self._look_for_hints())
            while True:
                self._poke.clear()
                try:
                    await self.catch_up()
                except SESSION_FAULTS as error:
                    log.warning("events_wait_for_the_database", error=str(error)[:200])
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._poke.wait()

    async def _look_for_hints(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            logs = EventKind.LOG in self._wanted.kinds
            if not logs and not self.hints.catalog_changed:
                continue
            try:
                async with reading(self._engine) as session:
                    if await self.hints.look(session, logs=logs):
                        self._ring()
            except SESSION_FAULTS as error:
                log.warning("hints_wait_for_the_database", error=str(error)[:200])

    async def catch_up(self) -> None:
        """Read new events into the window, and notify all who follow. With nobody following, only read how far the events have come."""
        async with reading(self._engine) as session:
            if self._head is None or not self._followed:
                self._window.clear()
                _, self._head = await db_feed.bounds(session)
                # Somebody who came meanwhile may already be waiting, also for an event that was skipped here.
                self._ring()
                self.ring_all()
                return
            full = True
            while full:
                rows = await db_feed.after(session, self._head, scope=EVERY_WORKFLOW, limit=BATCH)
                full = len(rows) == BATCH
                if rows:
                    new = [unwritten(event, about) for event, about in rows]
                    # Once for all streams. Steps of runs that nobody looks at, most of all events, are not written out.
                    wanted = [event for event in new if self._wanted.wants(event.kind, event.run_id)]
                    await write_out(session, wanted)
                    self._window.extend(new)
                    self._head = rows[-1][0].event_id
                    self._unheard += len(rows)
                    # Streams for which there is nothing sleep on, as long as the window still reaches to where they are.
                    if wanted or self._unheard > WINDOW // 4:
                        self._ring()
                    for event, _ in rows:
                        if event.kind == EventKind.END or _opens_an_approval(event):
                            self._ring_for(event.run_id)

    def _ring(self) -> None:
        self._unheard = 0
        self._bell.set()
        self._bell = asyncio.Event()
        self.deltas.ring()

    def _ring_for(self, run_id: str) -> None:
        for bell in self._bells.get(run_id, ()):
            bell.set()

    def ring_all(self) -> None:
        """Let every request that waits for a run look again."""
        for run_id in self._bells:
            self._ring_for(run_id)

    @contextmanager
    def bell(self, run_id: str) -> Iterator[asyncio.Event]:
        """An event that is set when the run has ended or waits for an approval, and when principals or keys have changed; perhaps also without a reason.

        Look again then.
        """
        bell = asyncio.Event()
        if not self._followed:
            # No events are read while nobody follows.
            self._poke.set()
        self._bells.setdefault(run_id, set()).add(bell)
        try:
            yield bell
        finally:
            self._bells[run_id].discard(bell)
            if not self._bells[run_id]:
                del self._bells[run_id]

    def _events_came(self) -> None:
        if self._followed:
            self._poke.set()

    def _access_changed(self) -> None:
        self.access_changes += 1
        self._ring()
        if self._rings_again is not None:
            self._changed_meanwhile = True
            return
        self.ring_all()
        self._rings_again = asyncio.get_running_loop().call_later(RING_SECONDS, self._ring_again)

    def _ring_again(self) -> None:
        self._rings_again = None
        if self._changed_meanwhile:
            self._changed_meanwhile = False
            self._access_changed()

    def _catalog_changed(self) -> None:
        self.hints.catalog_changed = True

    async def _listen(self) -> None:
        await follow(self._dsn, self._hear, name="agentgrid-events", event="events_not_heard")

    async def _hear(self, line: Line) -> None:
        line.connection.add_termination_listener(lambda _: self.deltas.wake())
        deltas = await line.connection.fetchval("SELECT name FROM delta_channels")
        await line.listen(deltas, self.deltas.hear)
        await line.listen(channels.CATALOG, lambda _: self._catalog_changed())
        await line.listen(channels.ACCESS, lambda _: self._access_changed())
        await line.listen(channels.EVENTS, lambda _: self._events_came())
        self._poke.set()
        self._access_changed()  # for notifications missed while not listening
        await self.deltas.announce(line.connection, line.lost)

    async def after(self, cursor: int, principal: Principal, interest: Interest) -> tuple[Sequence[LiveEvent], int]:
        """Wanted events past the cursor that the principal may see, and the next cursor, which also covers the events left out."""
        if self._window and self._window[0].event_id <= cursor + 1:
            # From the newest: a stream that keeps up has seen all but the last few.
            fresh = takewhile(lambda event: event.event_id > cursor, reversed(self._window))
            wanted = [event for event in fresh if interest.wants(event.kind, event.run_id)][::-1]
            position = max(cursor, self.head)
            await self._write_out(wanted)
            return [event for event in wanted if event.as_for(principal) and event.seen_by(principal)], position
        head = self.head
        if cursor >= head:
            return (), cursor
        async with reading(self._engine) as session:
            rows = await db_feed.after(
                session,
                cursor,
                scope=principal.workflows,
                limit=BATCH,
                interest=interest,
                approvals_of=principal.name if principal.only_own_approvals else None,
            )
            events = [unwritten(event, about) for event, about in rows]
            await write_out(session, events)
        seen = [event for event in events if event.as_for(principal) and event.seen_by(principal)]
        if len(rows) == BATCH:
            return seen, events[-1].event_id
        return seen, max(head, events[-1].event_id) if events else head

    async def _write_out(self, events: Sequence[LiveEvent]) -> None:
        """Write out those that no stream wanted when they came. All streams wake together: the first one does it."""
        if all(event.stored is None for event in events):
            return
        async with self._writing:
            waiting = [event for event in events if event.stored is not None]
            if waiting:
                async with reading(self._engine) as session:
                    await write_out(session, waiting)

    async def wait(self, cursor: int, watch: Watch | None = None, *, hinted: int | None = None) -> None:
        """Wait until there may be events past the cursor, deltas for the watch, or more hints than these; None if they are not wanted."""
        bell = self._bell if watch is None else watch.bell
        if self.head > cursor or (hinted is not None and self.hints.head > hinted):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await bell.wait()
        if watch is not None:
            watch.bell.clear()

    def enter(self, principal: str, interest: Interest = EVERYTHING) -> None:
        """Count one more stream. Raises RateLimited if this principal has too many."""
        if self._streams.get(principal, 0) >= MAX_STREAMS_PER_PRINCIPAL:
            raise RateLimited(
                f"at most {MAX_STREAMS_PER_PRINCIPAL} event streams at once", retry_after_seconds=STREAMS_RETRY_SECONDS
            )
        if not self._followed:
            # No events are read while nobody follows.
            self._poke.set()
        self._streams[principal] = self._streams.get(principal, 0) + 1
        self._interests[interest] += 1
        self._wanted = union(self._interests)

    def leave(self, principal: str, interest: Interest = EVERYTHING) -> None:
        """Count one stream less."""
        self._interests[interest] -= 1
        if not self._interests[interest]:
            del self._interests[interest]
        self._wanted = union(self._interests)
        left = self._streams.get(principal, 0) - 1
        if left > 0:
            self._streams[principal] = left
        else:
            self._streams.pop(principal, None)

    async def resume(self, last_event_id: str | None, *, from_start: bool) -> Cursor:
        """The cursor of a client that has seen everything up to this id."""
        async with reading(self._engine) as session:
            oldest, newest = await db_feed.bounds(session)
        if last_event_id is None or last_event_id == "":
            return Cursor(event_id=0 if from_start else newest, reset=False, head=newest)
        if not last_event_id.isascii() or not last_event_id.isdigit() or len(last_event_id) > 18:
            raise InvalidInput(
                "invalid Last-Event-ID",
                [InvalidPlace(pointer="Last-Event-ID", message="must be the id of an event")],
            )
        seen = int(last_event_id)
        gone = seen > newest or (oldest > 0 and seen < oldest - 1)
        return Cursor(event_id=newest if gone else seen, reset=gone, head=newest)


def _opens_an_approval(event: EventRow) -> bool:
    return isinstance(event.data, dict) and event.data.get("waiting_on") == WaitingOn.APPROVAL
