"""Live events as server-sent events, from the table that the projector writes last in each batch.

One connection listens for the whole process and reads each new event once into a window of the newest. A stream holds nothing but a cursor:
it reads from the window while it keeps up and from the table when it has fallen behind, so a slow client costs no memory, and one
whose connection accepts nothing for half a minute is disconnected. Event ids are in commit order, so a cursor never skips an event that
commits later.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from agentgrid.api.identity import Identity
from agentgrid.api.schemas.events import EventOut
from agentgrid.db import feed, runs
from agentgrid.db.away import DATABASE_FAULTS
from agentgrid.db.pool import Pool
from agentgrid.db.principals import ACCESS_CHANNEL
from agentgrid.db.session import SESSION_FAULTS, reading
from agentgrid.db.tables import Event, Run
from agentgrid.domain.principals import Permission, Principal
from agentgrid.domain.runs import RunStatus
from agentgrid.domain.scopes import EVERY_WORKFLOW
from agentgrid.errors import Fault, InvalidInput, RateLimited

log = structlog.get_logger()

WINDOW = 2_000
BATCH = 500
POLL_SECONDS = 2.0
"""Delay of events after a lost notification."""
HEARTBEAT_SECONDS = 10.0
SEND_SECONDS = 30.0
MAX_STREAMS_PER_PRINCIPAL = 50
RECOVERY_SECONDS = 1.0
CHECK_SECONDS = 15.0
"""How often a stream checks, without a notification, whether its identity still lasts and whether its run has ended."""


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The position from which a stream continues."""

    event_id: int
    reset: bool
    """Events after the client's cursor are gone, or the cursor is invalid: the client must reload everything."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """An event in wire format, serialised once for all streams."""

    event_id: int
    run_id: str
    workflow: str
    kind: str
    wire: bytes
    initiator: str = ""

    def seen_by(self, principal: Principal) -> bool:
        """Whether the principal may see it."""
        own = not principal.only_own_approvals or self.initiator == principal.name
        return principal.sees(self.workflow) and (own or self.kind != feed.APPROVAL)


class Feed:
    """The newest events in the database, with a notification for each batch of new ones."""

    def __init__(self, engine: AsyncEngine, dsn: str) -> None:
        self._engine = engine
        self._dsn = dsn
        self._window: deque[Told] = deque(maxlen=WINDOW)
        self._head: int | None = None
        self._bell = asyncio.Event()
        self._poke = asyncio.Event()
        self.access_changes = 0
        """The number of changes to principals or keys that this process was notified of."""
        self._streams: dict[str, int] = {}

    @property
    def head(self) -> int:
        """The newest event seen."""
        return self._head or 0

    @property
    def streams(self) -> int:
        """The number of open streams."""
        return sum(self._streams.values())

    async def run(self) -> None:
        """Follow the table until cancelled."""
        listener = asyncio.create_task(self._listen())
        try:
            while True:
                self._poke.clear()
                try:
                    await self.catch_up()
                except SESSION_FAULTS as error:
                    log.warning("events_wait_for_the_database", error=str(error)[:200])
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._poke.wait()
        finally:
            listener.cancel()
            with suppress(asyncio.CancelledError):
                await listener

    async def catch_up(self) -> None:
        """Read new events into the window, and notify the streams. With no stream open, only read how far the events have come."""
        async with reading(self._engine) as session:
            if self._head is None or not self._streams:
                self._window.clear()
                _, self._head = await feed.bounds(session)
                # A stream that opened meanwhile may already be waiting.
                self._ring()
                return
            full = True
            while full:
                rows = await feed.after(session, self._head, scope=EVERY_WORKFLOW, limit=BATCH)
                full = len(rows) == BATCH
                if rows:
                    self._window.extend(message(event, about) for event, about in rows)
                    self._head = rows[-1][0].event_id
                    self._ring()

    def _ring(self) -> None:
        self._bell.set()
        self._bell = asyncio.Event()

    def _events_came(self) -> None:
        if self._streams:
            self._poke.set()

    def _access_changed(self) -> None:
        self.access_changes += 1
        self._ring()

    async def _listen(self) -> None:
        while True:
            try:
                connection = await asyncpg.connect(self._dsn, timeout=5)
            except DATABASE_FAULTS:
                await asyncio.sleep(RECOVERY_SECONDS)
                continue
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _, lost=lost: lost.set())
            try:
                await connection.add_listener(ACCESS_CHANNEL, lambda *_: self._access_changed())
                await connection.add_listener("agentgrid_events", lambda *_: self._events_came())
                self._poke.set()
                self._access_changed()  # for notifications missed while not listening
                await lost.wait()
            except DATABASE_FAULTS:
                await asyncio.sleep(RECOVERY_SECONDS)
            finally:
                connection.terminate()

    async def after(self, cursor: int, principal: Principal, run_id: str | None) -> tuple[Sequence[Told], int]:
        """Events past the cursor that the principal may see, and the next cursor, which also covers the events left out."""
        if self._window and self._window[0].event_id <= cursor + 1:
            # From the newest: a stream that keeps up has seen all but the last few.
            fresh = takewhile(lambda event: event.event_id > cursor, reversed(self._window))
            wanted = [event for event in fresh if run_id is None or event.run_id == run_id]
            if not principal.sees_everything or principal.only_own_approvals:
                wanted = [event for event in wanted if event.seen_by(principal)]
            return wanted[::-1], max(cursor, self.head)
        head = self.head
        if cursor >= head:
            return (), cursor
        async with reading(self._engine) as session:
            rows = await feed.after(
                session,
                cursor,
                scope=principal.workflows,
                limit=BATCH,
                run_id=run_id,
                approvals_of=principal.name if principal.only_own_approvals else None,
            )
        events = [message(event, about) for event, about in rows]
        if len(rows) == BATCH:
            return events, events[-1].event_id
        return events, max(head, events[-1].event_id) if events else head

    async def wait(self, cursor: int) -> None:
        """Wait until there may be events past the cursor."""
        bell = self._bell
        if self.head > cursor:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await bell.wait()

    def enter(self, principal: str) -> None:
        """Count one more stream. Raises RateLimited if this principal has too many."""
        if self._streams.get(principal, 0) >= MAX_STREAMS_PER_PRINCIPAL:
            raise RateLimited(
                f"at most {MAX_STREAMS_PER_PRINCIPAL} event streams at once", retry_after_seconds=HEARTBEAT_SECONDS
            )
        self._streams[principal] = self._streams.get(principal, 0) + 1
        if self.streams == 1:
            # No events are read while no stream is open.
            self._poke.set()

    def leave(self, principal: str) -> None:
        """Count one stream less."""
        left = self._streams.get(principal, 0) - 1
        if left > 0:
            self._streams[principal] = left
        else:
            self._streams.pop(principal, None)

    async def resume(self, last_event_id: str | None, *, from_start: bool) -> Cursor:
        """The cursor of a client that has seen everything up to this id."""
        async with reading(self._engine) as session:
            oldest, newest = await feed.bounds(session)
        if last_event_id is None or last_event_id == "":
            return Cursor(event_id=0 if from_start else newest, reset=False)
        if not last_event_id.isascii() or not last_event_id.isdigit() or len(last_event_id) > 18:
            raise InvalidInput(
                "invalid Last-Event-ID",
                [Fault(pointer="Last-Event-ID", message="must be the id of an event")],
            )
        seen = int(last_event_id)
        gone = seen > newest or (oldest > 0 and seen < oldest - 1)
        return Cursor(event_id=newest if gone else seen, reset=gone)


def message(event: Event, about: feed.About) -> Told:
    """An event in wire format."""
    out = EventOut.model_validate(
        {
            "run_id": event.run_id,
            "kind": event.kind,
            "subject": event.subject,
            "data": event.data,
            "at": event.created_at,
        }
    )
    sent = ServerSentEvent(out.model_dump_json(), event=event.kind, id=str(event.event_id), sep="\n")
    return Told(
        event_id=event.event_id,
        run_id=event.run_id,
        workflow=about.workflow,
        kind=event.kind,
        wire=sent.encode(),
        initiator=about.initiator,
    )


def _reset(cursor: int) -> ServerSentEvent:
    words = {"reason": "events after your cursor are no longer stored: reload the resources"}
    return ServerSentEvent(json.dumps(words), event="reset", id=str(cursor), sep="\n")


class Admission:
    """Ends a stream when the identity that opened it ends, or its scope is narrowed: streams last for hours."""

    def __init__(self, pool: Pool, login: Identity, source: Feed) -> None:
        self.principal = login.principal
        """As of the last check."""
        self._pool = pool
        self._login = login
        self._source = source
        self._heard = source.access_changes
        self._checked = time.monotonic()

    async def holds(self) -> bool:
        """Whether the stream may continue. Checked in the database when principals or keys have changed, and periodically."""
        heard = self._source.access_changes
        if heard == self._heard and time.monotonic() - self._checked < CHECK_SECONDS:
            return True
        self._heard, self._checked = heard, time.monotonic()
        holder = await self._login.current(self._pool)
        if holder is None or not holder.may(Permission.READ):
            return False
        self.principal = holder
        return True


async def everything(source: Feed, admission: Admission, cursor: Cursor) -> AsyncIterator[ServerSentEvent | bytes]:
    """All events from the cursor on, while the caller's identity lasts. Events that are available together are sent together."""
    position = cursor.event_id
    if cursor.reset:
        yield _reset(position)
    while await admission.holds():
        events, position = await source.after(position, admission.principal, None)
        if events:
            yield b"".join(event.wire for event in events)
        await source.wait(position)


async def of_run(
    source: Feed, admission: Admission, engine: AsyncEngine, run: Run, cursor: Cursor
) -> AsyncIterator[ServerSentEvent | bytes]:
    """One run's events from the cursor on; the stream ends when the run has."""
    run_id, position = run.run_id, cursor.event_id
    if cursor.reset:
        yield _reset(position)
    checked = 0.0
    closed: RunStatus | None = None
    ends_at = 0
    while await admission.holds() and admission.principal.sees(run.workflow):
        if closed is None and time.monotonic() - checked > CHECK_SECONDS:
            # Checked before the events are read: a run that closes in between is seen by its `end` event.
            checked = time.monotonic()
            closed = await _closed(engine, run_id)
            ends_at = await _newest(engine) if closed is not None else 0
        events, position = await source.after(position, admission.principal, run_id)
        for event in events:
            if event.kind != "end":
                yield event.wire
            elif event is events[-1] and await _closed(engine, run_id) is not None:
                yield event.wire
                return
            # Otherwise the run was reset after it had ended: it continues, and so does its stream.
        if closed is not None and position >= ends_at:
            # Its last event is past retention.
            data: dict[str, Any] = {"run_id": run_id, "kind": "end", "subject": None, "data": {"status": closed.value}}
            yield ServerSentEvent(json.dumps(data), event="end", sep="\n")
            return
        await source.wait(position)


async def _closed(engine: AsyncEngine, run_id: str) -> RunStatus | None:
    async with reading(engine) as session:
        run = await runs.get(session, run_id)
    return RunStatus(run.status) if run is not None and RunStatus(run.status).closed else None


async def _newest(engine: AsyncEngine) -> int:
    async with reading(engine) as session:
        return (await feed.bounds(session))[1]


def respond(source: Feed, principal: str, events: AsyncIterator[ServerSentEvent | bytes]) -> Response:
    """The stream as a response, counted while it is open."""
    source.enter(principal)

    async def counted() -> AsyncIterator[ServerSentEvent | bytes]:
        try:
            async for event in events:
                yield event
        finally:
            source.leave(principal)

    return EventSourceResponse(
        counted(), ping=HEARTBEAT_SECONDS, send_timeout=SEND_SECONDS, sep="\n", headers={"Cache-Control": "no-store"}
    )
