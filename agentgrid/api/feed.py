"""The newest live events, read once for the whole process.

One connection listens and reads each new event once into a window of the newest events. A stream (`sse.py`) holds only a cursor: it reads from
the window while it keeps up, and from the table once it has fallen behind. A request waiting for a run to end (`run_waits.py`) holds only an
asyncio event. Event ids are in commit order, so a cursor never skips an event that commits later.
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

from agentgrid.api import hints
from agentgrid.api.deltas import Watch, WatchedRuns
from agentgrid.api.hints import Hints
from agentgrid.api.live import LiveEvent, render, unrendered
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
"""Polling interval: the maximum delay of an event whose notification was lost."""
MAX_STREAMS_PER_PRINCIPAL = 50
STREAMS_RETRY_SECONDS = 10.0
EVERYTHING = Interest()
ACCESS_WAKE_SECONDS = 1.0
"""Minimum time between waking waiting requests for changes of principals or keys, because a worker's login could trigger these continuously."""


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The position from which a stream continues."""

    event_id: int
    reset: bool
    """Events after the client's cursor are no longer stored, or the cursor is invalid: the client must reload everything."""
    head: int
    """The id of the newest event."""


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
        """The number of changes of principals or keys notified to this process."""
        self._streams: dict[str, int] = {}
        self._interests: Counter[Interest] = Counter()
        """The interests of the open streams."""
        self._union = union(())
        """The union of the interests."""
        self._rendering = asyncio.Lock()
        self._unsignalled = 0
        """Events read since streams were last woken."""
        self._bells: dict[str, set[asyncio.Event]] = {}
        """The asyncio events of requests waiting for a run to end, by run id."""
        self._wake_timer: asyncio.TimerHandle | None = None
        self._access_changed_again = False
        self.deltas = WatchedRuns()
        """For streams that also receive model answers as they are written."""
        self.hints = Hints()

    @property
    def head(self) -> int:
        """The id of the newest event seen."""
        return self._head or 0

    @property
    def streams(self) -> int:
        """The number of open streams."""
        return sum(self._streams.values())

    @property
    def _followed(self) -> bool:
        return bool(self._streams or self._bells)

    async def run(self) -> None:
        """Follow the table until cancelled. Raises if any part fails, because a partial feed would only appear to work."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._poll_hints())
            while True:
                self._poke.clear()
                try:
                    await self.catch_up()
                except SESSION_FAULTS as error:
                    log.warning("events_wait_for_the_database", error=str(error)[:200])
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._poke.wait()

    async def _poll_hints(self) -> None:
        while True:
            await asyncio.sleep(hints.POLL_SECONDS)
            logs = EventKind.LOG in self._union.kinds
            if not logs and not self.hints.catalog_changed:
                continue
            try:
                async with reading(self._engine) as session:
                    if await self.hints.poll(session, logs=logs):
                        self._wake_streams()
            except SESSION_FAULTS as error:
                log.warning("hints_wait_for_the_database", error=str(error)[:200])

    async def catch_up(self) -> None:
        """Read new events into the window and wake all followers. If there are none, only advance to the newest event."""
        async with reading(self._engine) as session:
            if self._head is None or not self._followed:
                self._window.clear()
                _, self._head = await db_feed.bounds(session)
                # A new follower may already be waiting, possibly for an event that was skipped here.
                self._wake_streams()
                self.wake_all()
                return
            full = True
            while full:
                rows = await db_feed.after(session, self._head, scope=EVERY_WORKFLOW, limit=BATCH)
                full = len(rows) == BATCH
                if rows:
                    new = [unrendered(event, about) for event, about in rows]
                    # Once for all streams. Most events are steps of runs that nobody looks at; these are not rendered.
                    matching = [event for event in new if self._union.wants(event.kind, event.run_id)]
                    await render(session, matching)
                    self._window.extend(new)
                    self._head = rows[-1][0].event_id
                    self._unsignalled += len(rows)
                    # Streams with nothing to send sleep on, as long as their position is still within the window.
                    if matching or self._unsignalled > WINDOW // 4:
                        self._wake_streams()
                    for event, _ in rows:
                        if event.kind == EventKind.END or _opens_an_approval(event):
                            self._wake_run(event.run_id)

    def _wake_streams(self) -> None:
        self._unsignalled = 0
        self._bell.set()
        self._bell = asyncio.Event()
        self.deltas.wake_streams()

    def _wake_run(self, run_id: str) -> None:
        for bell in self._bells.get(run_id, ()):
            bell.set()

    def wake_all(self) -> None:
        """Wake every request that waits for a run, so that it checks again."""
        for run_id in self._bells:
            self._wake_run(run_id)

    @contextmanager
    def bell(self, run_id: str) -> Iterator[asyncio.Event]:
        """An asyncio event that is set when the run ends or waits for an approval, and when principals or keys change. May also be set spuriously:
        check the run each time.
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
        self._wake_streams()
        if self._wake_timer is not None:
            self._access_changed_again = True
            return
        self.wake_all()
        self._wake_timer = asyncio.get_running_loop().call_later(ACCESS_WAKE_SECONDS, self._wake_again)

    def _wake_again(self) -> None:
        self._wake_timer = None
        if self._access_changed_again:
            self._access_changed_again = False
            self._access_changed()

    def _catalog_changed(self) -> None:
        self.hints.catalog_changed = True

    async def _listen(self) -> None:
        await follow(self._dsn, self._subscribe, name="agentgrid-events", event="events_not_heard")

    async def _subscribe(self, line: Line) -> None:
        line.connection.add_termination_listener(lambda _: self.deltas.announce_now())
        deltas = await line.connection.fetchval("SELECT name FROM delta_channels")
        await line.listen(deltas, self.deltas.receive)
        await line.listen(channels.CATALOG, lambda _: self._catalog_changed())
        await line.listen(channels.ACCESS, lambda _: self._access_changed())
        await line.listen(channels.EVENTS, lambda _: self._events_came())
        self._poke.set()
        self._access_changed()  # for notifications missed while not listening
        await self.deltas.announce(line.connection, line.lost)

    async def after(self, cursor: int, principal: Principal, interest: Interest) -> tuple[Sequence[LiveEvent], int]:
        """Events after the cursor that match the interest and that the principal may see, and the next cursor, which also covers skipped events."""
        if self._window and self._window[0].event_id <= cursor + 1:
            # Newest first: a stream that keeps up has seen all but the last few.
            fresh = takewhile(lambda event: event.event_id > cursor, reversed(self._window))
            matching = [event for event in fresh if interest.wants(event.kind, event.run_id)][::-1]
            position = max(cursor, self.head)
            await self._render(matching)
            return [event for event in matching if event.wire_for(principal) and event.visible_to(principal)], position
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
            events = [unrendered(event, about) for event, about in rows]
            await render(session, events)
        seen = [event for event in events if event.wire_for(principal) and event.visible_to(principal)]
        if len(rows) == BATCH:
            return seen, events[-1].event_id
        return seen, max(head, events[-1].event_id) if events else head

    async def _render(self, events: Sequence[LiveEvent]) -> None:
        """Render the events that matched no stream when they arrived. All streams wake together; the first one renders."""
        if all(event.stored is None for event in events):
            return
        async with self._rendering:
            waiting = [event for event in events if event.stored is not None]
            if waiting:
                async with reading(self._engine) as session:
                    await render(session, waiting)

    async def wait(self, cursor: int, watch: Watch | None = None, *, hinted: int | None = None) -> None:
        """Wait until there may be events after the cursor, deltas for the watch, or more than `hinted` hints (None: hints are not requested)."""
        bell = self._bell if watch is None else watch.bell
        if self.head > cursor or (hinted is not None and self.hints.head > hinted):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await bell.wait()
        if watch is not None:
            watch.bell.clear()

    def enter(self, principal: str, interest: Interest = EVERYTHING) -> None:
        """Count an opened stream. Raises RateLimited if this principal has too many."""
        if self._streams.get(principal, 0) >= MAX_STREAMS_PER_PRINCIPAL:
            raise RateLimited(
                f"at most {MAX_STREAMS_PER_PRINCIPAL} event streams may be open at once: close one first",
                retry_after_seconds=STREAMS_RETRY_SECONDS,
            )
        if not self._followed:
            # No events are read while nobody follows.
            self._poke.set()
        self._streams[principal] = self._streams.get(principal, 0) + 1
        self._interests[interest] += 1
        self._union = union(self._interests)

    def leave(self, principal: str, interest: Interest = EVERYTHING) -> None:
        """Count a closed stream."""
        self._interests[interest] -= 1
        if not self._interests[interest]:
            del self._interests[interest]
        self._union = union(self._interests)
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
        expired = seen > newest or (oldest > 0 and seen < oldest - 1)
        return Cursor(event_id=newest if expired else seen, reset=expired, head=newest)


def _opens_an_approval(event: EventRow) -> bool:
    return isinstance(event.data, dict) and event.data.get("waiting_on") == WaitingOn.APPROVAL
