"""Downloads of whole values: from the database if stored there, otherwise from the history event that holds them.

The tables store only the beginning of a long value. Temporal keeps its history until the namespace's retention ends; after that, the archive has it. A
history can be up to 50 MiB. It is read page by page, and only a few are read at once, because one such read costs as much as a thousand other requests.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import temporalio.api.workflowservice.v1 as service
from starlette.responses import Response
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.history.v1 import HistoryEvent

from agentgrid.api import history
from agentgrid.control.plane import ControlPlane
from agentgrid.control.rpc import DEADLINE, call_temporal
from agentgrid.db import histories
from agentgrid.db.session import reading
from agentgrid.db.tables import ExecutionRow
from agentgrid.errors import Gone, NotFound, NoValue, PayloadTooLarge, Unavailable
from agentgrid.projector import history_events
from agentgrid.projector.decode import decode_whole
from agentgrid.temporal.payloads import decode_events, dump

Side = Literal["input", "output"]

MAX_BYTES = 32 * 1024 * 1024
"""Maximum size of one value as JSON."""
MAX_HISTORY_BYTES = 64 * 1024 * 1024
PAGE_EVENTS = 1_000
READ_SECONDS = 30.0
CONCURRENCY = 2
"""How many histories one process reads at once."""
WAIT_SECONDS = 5.0
FILE_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class ReadLimiter:
    """Limits how many histories are read at once."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(CONCURRENCY)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a slot, and time out slow reads. Raises Unavailable."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable("too many long values are being read; try again", retry_after_seconds=5) from None
        try:
            async with asyncio.timeout(READ_SECONDS):
                yield
        except TimeoutError:
            raise Unavailable("reading the history took too long; try again", retry_after_seconds=30) from None
        finally:
            self._slots.release()


async def value(
    plane: ControlPlane,
    limiter: ReadLimiter,
    execution: ExecutionRow,
    event_id: int,
    side: Side,
    stored: Any,
    *,
    what: str,
) -> str:
    """The whole value as JSON text; several values as a list.

    stored: what the database has of it. Raises NoValue if there is none, Gone if history no longer has it or nothing can decode it,
    PayloadTooLarge, Unavailable.
    """
    if stored is None:
        raise NoValue(what)
    if "value" not in stored and "values" not in stored and not stored.get("opaque"):
        async with limiter.turn():
            event = await _event(plane, execution, event_id, what)
            await decode_events([event], plane.temporal.data_converter)
            decoded = await asyncio.to_thread(decode_whole, event, plane.temporal.data_converter.payload_converter)
        stored = _side_of(decoded, side)
        if stored is None:
            raise Gone(
                f"the history no longer has the whole {what}: event {event_id} of execution {execution.execution_id} has no value"
            )
    if stored.get("opaque"):
        raise Gone(
            f"the {what} can't be decoded here: no codec of this API supports its encoding {stored.get('encoding')!r}"
        )
    text = await asyncio.to_thread(dump, stored["value"] if "value" in stored else stored["values"])
    if len(text) > MAX_BYTES:
        raise PayloadTooLarge(what, len(text), MAX_BYTES)
    return text


def _side_of(event: history_events.DecodedEvent, side: Side) -> history_events.Stored | None:
    """The event's input or output. The attribute names per kind of event are defined by the fold; these must match them."""
    if isinstance(event, history_events.Closed):
        return event.result if side == "output" else None
    if isinstance(event, history_events.ActivityClosed) and event.turn is not None and side == "output":
        return event.turn.output
    if isinstance(event, history_events.LocalActivity) and event.agent is not None:
        return getattr(event.agent, side, None)
    stored: history_events.Stored | None = getattr(event, side, None)
    if stored is None and side == "input":
        stored = getattr(event, "shown", None)
    return stored


async def _event(plane: ControlPlane, execution: ExecutionRow, event_id: int, what: str) -> HistoryEvent:
    async with reading(plane.engine) as session:
        archived = await histories.get(session, execution.execution_id)
    if archived is not None:
        events = await asyncio.to_thread(history.unpacked, archived)
        if 0 < event_id <= len(events) and events[event_id - 1].event_id == event_id:
            return events[event_id - 1]
        raise Gone(f"the archive does not have the whole {what}: it has only {len(events)} events")
    token, size = b"", 0
    while True:
        try:
            reply = await _page(plane, execution, token)
        except NotFound:
            raise Gone(
                f"Temporal no longer has the history with the whole {what}, and it was not archived; the API keeps only the beginning"
            ) from None
        size += reply.ByteSize()
        page = reply.history.events
        if page and page[0].event_id <= event_id <= page[-1].event_id:
            return page[event_id - page[0].event_id]
        token = reply.next_page_token
        if not token or size > MAX_HISTORY_BYTES:
            raise Gone(f"the history of execution {execution.execution_id} no longer has event {event_id}")


async def _page(
    plane: ControlPlane, execution: ExecutionRow, token: bytes
) -> service.GetWorkflowExecutionHistoryResponse:
    return await call_temporal(
        plane.temporal.workflow_service.get_workflow_execution_history(
            service.GetWorkflowExecutionHistoryRequest(
                namespace=plane.settings.temporal_namespace,
                execution=WorkflowExecution(workflow_id=execution.workflow_id, run_id=execution.execution_id),
                maximum_page_size=PAGE_EVENTS,
                next_page_token=token,
            ),
            timeout=DEADLINE,
        ),
        noun="history of execution",
        identifier=execution.execution_id,
    )


def download(text: str, *parts: str | int) -> Response:
    """A response that browsers save as a file instead of displaying it."""
    headers = file_headers("-".join(str(part) for part in parts), "json")
    return Response(text, media_type="application/json", headers=headers)


def file_headers(name: str, extension: str) -> dict[str, str]:
    """The headers of a file download. A run's id may contain any characters, so most are replaced."""
    safe = FILE_NAME.sub("_", name).lstrip(".")[:150]
    return {"Content-Disposition": f'attachment; filename="{safe}.{extension}"'}
