"""Live events as server-sent events. `feed.py` reads them once for all streams.

A slow client costs no memory, and one whose connection accepts nothing for half a minute is disconnected.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from agentgrid.api.deltas import Watch
from agentgrid.api.feed import Cursor, Feed
from agentgrid.api.identity import Identity
from agentgrid.db import feed, runs
from agentgrid.db.pool import Pool
from agentgrid.db.session import reading
from agentgrid.db.tables import Run
from agentgrid.domain.principals import Permission
from agentgrid.domain.runs import RunStatus

HEARTBEAT_SECONDS = 10.0
SEND_SECONDS = 30.0
CHECK_SECONDS = 15.0
"""How often a stream checks, without a notification, whether its identity still lasts and whether its run has ended."""


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
    source: Feed, admission: Admission, engine: AsyncEngine, run: Run, cursor: Cursor, *, deltas: bool = False
) -> AsyncIterator[ServerSentEvent | bytes]:
    """One run's events from the cursor on; the stream ends when the run has. deltas: also models' answers as they are written."""
    if not deltas:
        async for event in _of_run(source, admission, engine, run, cursor):
            yield event
        return
    with source.deltas.watch(run) as watch:
        async for event in _of_run(source, admission, engine, run, cursor, watch):
            yield event


async def _of_run(
    source: Feed, admission: Admission, engine: AsyncEngine, run: Run, cursor: Cursor, watch: Watch | None = None
) -> AsyncIterator[ServerSentEvent | bytes]:
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
        if watch is not None and (said := watch.take()) and admission.principal.may(Permission.READ_PAYLOADS):
            yield said
        for event in events:
            if event.kind != "end":
                yield event.wire
            elif event is events[-1] and await _closed(engine, run_id) is not None:
                yield event.wire
                return
            # Otherwise the run was reset after it had ended: it continues, and so does its stream.
        if closed is not None and position >= ends_at:
            # Its last event is past retention.
            data: dict[str, Any] = {
                "run_id": run_id,
                "kind": "end",
                "subject": None,
                "data": {"status": closed.value},
                "at": None,
            }
            yield ServerSentEvent(json.dumps(data), event="end", sep="\n")
            return
        await source.wait(position, watch)


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
