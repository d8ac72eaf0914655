"""An execution's raw history as JSON: from Temporal if available, otherwise from the archive."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Any

import temporalio.api.workflowservice.v1 as service
from google.protobuf.json_format import MessageToDict
from starlette.requests import Request
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.history.v1 import HistoryEvent

from agentgrid.api.paging import decode, encode
from agentgrid.api.schemas.runs import RunHistory
from agentgrid.control.plane import ControlPlane
from agentgrid.control.rpc import DEADLINE, call_temporal
from agentgrid.db import histories
from agentgrid.db.session import reading
from agentgrid.db.tables import History as ArchivedHistory
from agentgrid.db.tables import Run
from agentgrid.errors import InvalidInput, InvalidPlace, NotFound
from agentgrid.temporal.archive import unpack
from agentgrid.temporal.payloads import decode_events


async def page(
    plane: ControlPlane, request: Request, run: Run, execution_id: str, *, limit: int, cursor: str | None
) -> RunHistory:
    """One page of the history. Raises NotFound, Unavailable, InvalidInput."""
    async with reading(plane.engine) as session:
        archived = await histories.get(session, execution_id)
    if archived is not None:
        (position,) = decode(request, cursor, int) if cursor else (0,)
        events = await asyncio.to_thread(unpacked, archived)
        part = events[position : position + limit]
        next_cursor = encode(request, position + limit) if position + limit < len(events) else None
        return await _page(plane, run, execution_id, "archive", part, next_cursor)
    reply = await call_temporal(
        plane.temporal.workflow_service.get_workflow_execution_history(
            service.GetWorkflowExecutionHistoryRequest(
                namespace=plane.settings.temporal_namespace,
                execution=WorkflowExecution(workflow_id=run.workflow_id, run_id=execution_id),
                maximum_page_size=limit,
                next_page_token=_token(request, cursor),
            ),
            timeout=DEADLINE,
        ),
        noun="history of execution",
        identifier=execution_id,
    )
    token = base64.b64encode(reply.next_page_token).decode()
    return await _page(
        plane, run, execution_id, "temporal", list(reply.history.events), encode(request, token) if token else None
    )


def _token(request: Request, cursor: str | None) -> bytes:
    if cursor is None:
        return b""
    (token,) = decode(request, cursor, str)
    try:
        return base64.b64decode(token, validate=True)
    except binascii.Error:
        raise InvalidInput(
            "invalid cursor", [InvalidPlace(pointer="cursor", message="start again without a cursor")]
        ) from None


def unpacked(archived: ArchivedHistory) -> list[HistoryEvent]:
    """The events of an archive, still encoded by the codec. Raises NotFound if it is empty, Conflict if it is too large."""
    events = unpack(archived.events)
    if not events:
        raise NotFound("history of execution", archived.execution_id)
    return events


async def _page(
    plane: ControlPlane,
    run: Run,
    execution_id: str,
    source: Any,
    events: list[HistoryEvent],
    next_cursor: str | None,
) -> RunHistory:
    await decode_events(events, plane.temporal.data_converter)
    items = await asyncio.to_thread(lambda: [MessageToDict(event) for event in events])
    return RunHistory(run_id=run.run_id, execution_id=execution_id, source=source, items=items, next_cursor=next_cursor)
