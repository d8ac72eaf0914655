"""Whole values, as downloads: from the database if it has them, otherwise from the one event of history that holds them.

The tables keep the beginning of a long value. Temporal has its history until the retention of the namespace ends, the archive after that. A history
has at most 50 MiB and is read a page at a time, few at once, because one reader costs as much as a thousand other requests.
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
from agentgrid.control.rpc import DEADLINE, asked
from agentgrid.db import histories
from agentgrid.db.session import reading
from agentgrid.db.tables import ExecutionRow
from agentgrid.errors import Gone, NotFound, NoValue, PayloadTooLarge, Unavailable
from agentgrid.projector import history_events
from agentgrid.projector.decode import decode_whole
from agentgrid.temporal.payloads import decode_events, dump

Side = Literal["input", "output"]

MAX_BYTES = 32 * 1024 * 1024
"""Of one value, as JSON."""
MAX_HISTORY_BYTES = 64 * 1024 * 1024
PAGE_EVENTS = 1_000
READ_SECONDS = 30.0
AT_ONCE = 2
"""Histories that one process reads at the same time."""
WAIT_SECONDS = 5.0
FILE_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class ReadLimiter:
    """Limits how many histories are read at once."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and end what takes too long. Raises Unavailable."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable("other long values are being read; try again", retry_after_seconds=5) from None
        try:
            async with asyncio.timeout(READ_SECONDS):
                yield
        except TimeoutError:
            raise Unavailable("the history takes too long to read; try again", retry_after_seconds=30) from None
        finally:
            self._free.release()


async def value(
    plane: ControlPlane,
    turns: ReadLimiter,
    execution: ExecutionRow,
    event_id: int,
    side: Side,
    stored: Any,
    *,
    what: str,
) -> str:
    """The whole value as JSON text; several values as a list. stored: what the database has of it.

    Raises NoValue where there is none, Gone if history has it no longer or nothing here can decode it, PayloadTooLarge, Unavailable.
    """
    if stored is None:
        raise NoValue(what)
    if "value" not in stored and "values" not in stored and not stored.get("opaque"):
        async with turns.turn():
            event = await _event(plane, execution, event_id, what)
            await decode_events([event], plane.temporal.data_converter)
            read = await asyncio.to_thread(decode_whole, event, plane.temporal.data_converter.payload_converter)
        stored = _of(read, side)
        if stored is None:
            raise Gone(
                f"history no longer has the whole {what}: event {event_id} of execution {execution.execution_id} holds none"
            )
    if stored.get("opaque"):
        raise Gone(
            f"the {what} can't be decoded here: its encoding is {stored.get('encoding')!r}, and no codec of this API reads it"
        )
    text = await asyncio.to_thread(dump, stored["value"] if "value" in stored else stored["values"])
    if len(text) > MAX_BYTES:
        raise PayloadTooLarge(what, len(text), MAX_BYTES)
    return text


def _of(event: history_events.DecodedEvent, side: Side) -> history_events.Stored | None:
    """The event's input or output. What a kind of event calls it is the fold's knowledge; these are the words it uses."""
    if isinstance(event, history_events.Closed):
        return event.result if side == "output" else None
    if isinstance(event, history_events.ActivityClosed) and event.turn is not None and side == "output":
        return event.turn.output
    if isinstance(event, history_events.LocalActivity) and event.agent is not None:
        return getattr(event.agent, side, None)
    found: history_events.Stored | None = getattr(event, side, None)
    if found is None and side == "input":
        found = getattr(event, "shown", None)
    return found


async def _event(plane: ControlPlane, execution: ExecutionRow, event_id: int, what: str) -> HistoryEvent:
    async with reading(plane.engine) as session:
        archived = await histories.get(session, execution.execution_id)
    if archived is not None:
        found = await asyncio.to_thread(history.unpacked, archived)
        if 0 < event_id <= len(found) and found[event_id - 1].event_id == event_id:
            return found[event_id - 1]
        raise Gone(f"the archive does not have the whole {what}: it has {len(found)} events")
    token, size = b"", 0
    while True:
        try:
            answer = await _page(plane, execution, token)
        except NotFound:
            raise Gone(
                f"Temporal no longer has the history that holds the whole {what}, and no archive was made of it; the API keeps only its beginning"
            ) from None
        size += answer.ByteSize()
        page = answer.history.events
        if page and page[0].event_id <= event_id <= page[-1].event_id:
            return page[event_id - page[0].event_id]
        token = answer.next_page_token
        if not token or size > MAX_HISTORY_BYTES:
            raise Gone(f"the history of execution {execution.execution_id} has no event {event_id} any more")


async def _page(
    plane: ControlPlane, execution: ExecutionRow, token: bytes
) -> service.GetWorkflowExecutionHistoryResponse:
    return await asked(
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
    """A response that browsers save as a file and never show."""
    headers = file_headers("-".join(str(part) for part in parts), "json")
    return Response(text, media_type="application/json", headers=headers)


def file_headers(name: str, ending: str) -> dict[str, str]:
    """The header that makes a response a file. A run's id may hold any characters, so most are replaced."""
    safe = FILE_NAME.sub("_", name).lstrip(".")[:150]
    return {"Content-Disposition": f'attachment; filename="{safe}.{ending}"'}
