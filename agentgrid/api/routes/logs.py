"""Logs of a run's workflow and tools: pages, tail and downloads."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import Annotated, Any

import pydantic_core
from fastapi import Depends, Query
from starlette.requests import Request
from starlette.responses import StreamingResponse

from agentgrid.api import views
from agentgrid.api.access import V1
from agentgrid.api.deps import DEFAULT_LIMIT, CallerView, CurrentPrincipal, Cursor, Id, Limit, Plane, Search, Session
from agentgrid.api.paging import cut, decode, encode
from agentgrid.api.payloads import file_headers
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.logs import LogOut, LogPage
from agentgrid.api.shown import Shown
from agentgrid.control.plane import ControlPlane
from agentgrid.db import logs, runs
from agentgrid.db.logs import LogFilter
from agentgrid.db.session import ReadSession, reading
from agentgrid.db.tables import Log
from agentgrid.domain.logs import LogLevel
from agentgrid.errors import Forbidden, InvalidInput, InvalidPlace

router = make_router(tags=["runs"], prefix=f"{V1}/runs")

MAX_TAIL = 1_000
MAX_LINES = 100_000
MAX_BYTES = 64 * 1024 * 1024
MAX_SECONDS = 120.0
"""Limits of one download."""
BATCH = 1_000
MAX_ID = 2**63 - 1

Text = Annotated[str | None, Query(min_length=1, max_length=300)]
LogId = Annotated[int | None, Query(ge=0, le=MAX_ID)]


async def _filters(
    execution: Text = None,
    activity: Text = None,
    step_event_id: Annotated[
        int | None,
        Query(
            ge=1,
            le=MAX_ID,
            description="Only lines of this step, from all its activities, including those before an approval. Requires `execution`.",
        ),
    ] = None,
    level: Annotated[list[LogLevel], Query(max_length=10, description="Any of these.")] = [],  # noqa: B006
    min_level: Annotated[LogLevel | None, Query(description="This level and more severe ones.")] = None,
    q: Search = None,
) -> LogFilter:
    if step_event_id is not None and execution is None:
        raise InvalidInput(
            "a step is identified by its execution and event",
            [InvalidPlace(pointer="execution", message="also send the step's `execution_id`")],
        )
    levels = frozenset(level) or frozenset(LogLevel) if level or min_level else frozenset()
    if min_level is not None:
        levels &= min_level.and_above
        if not levels:
            raise InvalidInput(
                "no log level matches",
                [
                    InvalidPlace(
                        pointer="level", message="every `level` is below `min_level`: lower `min_level` or drop it"
                    )
                ],
            )
    step = None if step_event_id is None or execution is None else (execution, step_event_id)
    return LogFilter(execution_id=execution, activity_id=activity, step=step, levels=levels, q=q)


LogFilters = Annotated[LogFilter, Depends(_filters)]


@router.get("/{run_id}/logs", summary="List log lines of the run's workflow and tools, oldest first")
async def list_logs(
    request: Request,
    session: Session,
    principal: CurrentPrincipal,
    shown: CallerView,
    run_id: Id,
    filters: LogFilters,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    tail: Annotated[
        int | None, Query(ge=1, le=MAX_TAIL, description="Return the last lines, at most this many.")
    ] = None,
    before: Annotated[LogId, Query(description="Return the lines just before this `log_id`.")] = None,
    after: Annotated[LogId, Query(description="Return the lines after this `log_id`; use it to follow a log.")] = None,
) -> LogPage:
    """Starts at the oldest line unless `tail`, `before`, `after` or `cursor` is given; send at most one of these. Always oldest first.

    Lines of a run that has just ended may arrive shortly after its end, with higher ids. Text and fields, and searching with `q`, require the
    permission to read payloads.
    """
    _check_position({"cursor": cursor, "tail": tail, "before": before, "after": after})
    if filters.q is not None and not shown.payloads:
        # Searching would reveal the text of the lines word by word.
        raise Forbidden("searching the text of logs requires the permission to read payloads")
    await runs.seen(session, run_id, scope=principal.workflows)
    if tail is not None or before is not None:
        size = tail or limit
        rows = await logs.page(session, run_id, filters, limit=size + 1, before=before, newest=True)
        page, more, next_cursor = rows[-size:], len(rows) > size, None
    else:
        if cursor is not None:
            (after,) = decode(request, cursor, int)
        rows = await logs.page(session, run_id, filters, limit=limit + 1, after=after)
        page, next_cursor = cut(rows, limit, lambda row: encode(request, row.log_id))
        more = False
    lines = await _lines(session, page, shown)
    return LogPage(items=lines, next_cursor=next_cursor, more_before=more, payloads_visible=shown.payloads)


def _check_position(positions: dict[str, Any]) -> None:
    sent = [name for name, value in positions.items() if value is not None]
    if len(sent) > 1:
        raise InvalidInput(
            "more than one start position",
            [InvalidPlace(pointer=name, message="send only one of these") for name in sent],
        )


async def _lines(session: ReadSession, rows: Sequence[Log], shown: Shown) -> list[LogOut]:
    steps = await logs.steps(session, rows)
    return [views.log_line(row, steps.get((row.execution_id, row.activity_id or "")), shown) for row in rows]


class LogFormat(StrEnum):
    """The format of downloaded logs."""

    TEXT = "text"
    NDJSON = "ndjson"


MEDIA = {LogFormat.TEXT: ("text/plain", "log"), LogFormat.NDJSON: ("application/x-ndjson", "ndjson")}


@router.get(
    "/{run_id}/logs/download",
    summary="Download log lines as a file",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The lines, oldest first.",
            "content": {media: {"schema": {"type": "string"}} for media, _ in MEDIA.values()},
        }
    },
)
async def download_logs(
    plane: Plane,
    principal: CurrentPrincipal,
    shown: CallerView,
    run_id: Id,
    filters: LogFilters,
    format: LogFormat = LogFormat.TEXT,  # the parameter's name
) -> StreamingResponse:
    """One entry per line, as text or JSON. Stops after 100,000 lines, 64 MiB or two minutes; the last line then says so."""
    async with reading(plane.engine) as session:
        await runs.seen(session, run_id, scope=principal.workflows)
    shown.reveal()
    media, ending = MEDIA[format]
    return StreamingResponse(
        _stream_lines(plane, run_id, filters, shown, format),
        media_type=f"{media}; charset=utf-8",
        headers=file_headers(f"{run_id}-logs", ending),
    )


async def _stream_lines(
    plane: ControlPlane,
    run_id: str,
    filters: LogFilter,
    shown: Shown,
    format: LogFormat,
) -> AsyncIterator[bytes]:
    until, last, count, size = time.monotonic() + MAX_SECONDS, None, 0, 0
    while True:
        async with reading(plane.engine) as session:
            rows = await logs.page(session, run_id, filters, limit=BATCH, after=last)
            lines = await _lines(session, rows, shown)
        batch = b"".join(_line(line, format) for line in lines)
        if batch:
            yield batch
        if len(rows) < BATCH:
            return
        last, count, size = rows[-1].log_id, count + len(rows), size + len(batch)
        if count >= MAX_LINES or size >= MAX_BYTES or time.monotonic() > until:
            yield _truncation_notice(last, format)
            return


def _line(line: LogOut, format: LogFormat) -> bytes:
    if format is LogFormat.NDJSON:
        return pydantic_core.to_json(line.model_dump(mode="json"), inf_nan_mode="null") + b"\n"
    words = [line.logged_at.isoformat(), f"{line.level.upper():<8}", line.logger, line.message or ""]
    if isinstance(line.fields, dict):
        words += [
            f"{name}={value if isinstance(value, str) else views.compact(value)}" for name, value in line.fields.items()
        ]
    # Escape control characters: a line must not act on the terminal that prints it, or look like several lines.
    text = " ".join("".join(char if char.isprintable() else _escaped(char) for char in word) for word in words)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _truncation_notice(last: int, format: LogFormat) -> bytes:
    notice = f"the download was cut off here; there are more lines after log_id {last}"
    return (
        pydantic_core.to_json({"truncated": True, "detail": notice})
        if format is LogFormat.NDJSON
        else f"... {notice}".encode()
    ) + b"\n"
