"""Live events as server-sent events. `feed.py` reads them once for all streams.

A slow client costs no memory. A client whose connection accepts nothing for half a minute is disconnected.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from importlib.metadata import version

from sqlalchemy.ext.asyncio import AsyncEngine
from sse_starlette import EventSourceResponse
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agentgrid.api.deltas import Watch
from agentgrid.api.feed import Cursor, Feed
from agentgrid.api.identity import Identity
from agentgrid.api.live import wire
from agentgrid.api.schemas.events import EndEvent, HelloEvent, RunEnd, StreamBegin, StreamCaller, StreamReset
from agentgrid.db import feed, runs
from agentgrid.db.pool import Pool
from agentgrid.db.session import reading
from agentgrid.db.tables import Run
from agentgrid.domain.live import EventKind, Interest
from agentgrid.domain.principals import Permission, Principal
from agentgrid.domain.runs import RunStatus

HEARTBEAT_SECONDS = 10.0
SEND_SECONDS = 30.0
CHECK_SECONDS = 15.0
"""How often a stream checks, without a notification, whether its identity is still valid and whether its run has ended."""


def _reset(cursor: Cursor) -> bytes:
    return wire(
        StreamReset(reason="events after your cursor are no longer stored: reload the resources"), cursor.event_id
    )


def _hello(cursor: Cursor, principal: Principal, interest: Interest) -> bytes:
    now = datetime.now(UTC)
    begin = StreamBegin(
        time=now,
        version=version("agentgrid"),
        me=StreamCaller(name=principal.name),
        head=cursor.head,
        kinds=sorted(interest.kinds),
    )
    # The stream begins after this id, so a client that is disconnected right afterwards misses nothing.
    return wire(HelloEvent(data=begin, at=now), cursor.event_id)


class Admission:
    """Ends a stream when the identity that opened it becomes invalid, and applies changes of its scope: streams last for hours."""

    def __init__(self, pool: Pool, identity: Identity, source: Feed) -> None:
        self.principal = identity.principal
        """As of the last check."""
        self._pool = pool
        self._identity = identity
        self._source = source
        self._seen_changes = source.access_changes
        self._checked = time.monotonic()

    async def holds(self) -> bool:
        """Whether the stream may continue. Checks the database when principals or keys have changed, and periodically."""
        changes = self._source.access_changes
        if changes == self._seen_changes and time.monotonic() - self._checked < CHECK_SECONDS:
            return True
        self._seen_changes, self._checked = changes, time.monotonic()
        holder = await self._identity.current(self._pool)
        if holder is None or not holder.may(Permission.READ):
            return False
        self.principal = holder
        return True


async def everything(
    source: Feed, admission: Admission, cursor: Cursor, interest: Interest, watched: Sequence[Run] = ()
) -> AsyncIterator[bytes]:
    """All events of interest after the cursor, while the caller's identity is valid. Events available together are sent together.

    watched: runs whose model answers are also streamed as they are written.
    """
    with _watching(source, watched) as watch:
        position, hinted = cursor.event_id, source.hints.head
        if cursor.reset:
            yield _reset(cursor)
        yield _hello(cursor, admission.principal, interest)
        while await admission.holds():
            caller = admission.principal
            events, position = await source.after(position, caller, interest)
            hints, hinted = source.hints.after(hinted, caller, interest)
            sent = b"".join(event.wire_for(caller) for event in (*events, *hints))
            if watch is not None:
                sent += watch.take(caller)
            if sent:
                yield sent
            await source.wait(position, watch, hinted=hinted)


def _watching(source: Feed, runs: Sequence[Run]) -> AbstractContextManager[Watch | None]:
    return source.deltas.watch(*runs) if runs else nullcontext()


async def of_run(
    source: Feed,
    admission: Admission,
    engine: AsyncEngine,
    run: Run,
    cursor: Cursor,
    interest: Interest,
    *,
    deltas: bool = False,
    hello: bool = False,
) -> AsyncIterator[bytes]:
    """One run's events after the cursor; the stream ends when the run does. deltas: also stream model answers as they are written."""
    run_id, position = run.run_id, cursor.event_id
    with _watching(source, [run] if deltas else []) as watch:
        if cursor.reset:
            yield _reset(cursor)
        if hello:
            yield _hello(cursor, admission.principal, interest)
        checked = 0.0
        closed: RunStatus | None = None
        ends_at = 0
        while await admission.holds() and admission.principal.sees(run.workflow):
            caller = admission.principal
            if closed is None and time.monotonic() - checked > CHECK_SECONDS:
                # Check before reading events: a run that closes in between is noticed by its `end` event.
                checked = time.monotonic()
                closed = await _closed(engine, run_id)
                ends_at = await _newest(engine) if closed is not None else 0
            events, position = await source.after(position, caller, interest)
            if watch is not None and (pending_deltas := watch.take(caller)):
                yield pending_deltas
            for event in events:
                if event.kind != EventKind.END:
                    yield event.wire_for(caller)
                elif event is events[-1] and await _closed(engine, run_id) is not None:
                    yield event.wire_for(caller)
                    return
                # Otherwise the run was reset after its end: it continues, and so does the stream.
            if closed is not None and position >= ends_at:
                # The run's last event is no longer stored.
                yield wire(EndEvent(run_id=run_id, data=RunEnd(status=closed), at=None))
                return
            await source.wait(position, watch)


async def _closed(engine: AsyncEngine, run_id: str) -> RunStatus | None:
    async with reading(engine) as session:
        run = await runs.get(session, run_id)
    return RunStatus(run.status) if run is not None and RunStatus(run.status).closed else None


async def _newest(engine: AsyncEngine) -> int:
    async with reading(engine) as session:
        return (await feed.bounds(session))[1]


class _Events(EventSourceResponse):
    """Also completes the response when the server stops; otherwise uvicorn logs an error for each open stream."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)
        if self.active and scope["method"] != "HEAD":
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def respond(source: Feed, principal: str, interest: Interest, events: AsyncIterator[bytes]) -> Response:
    """The stream as a response, counted while it is open."""
    source.enter(principal, interest)

    async def counted() -> AsyncIterator[bytes]:
        try:
            async for event in events:
                yield event
        finally:
            source.leave(principal, interest)

    return _Events(
        counted(), ping=HEARTBEAT_SECONDS, send_timeout=SEND_SECONDS, sep="\n", headers={"Cache-Control": "no-store"}
    )
