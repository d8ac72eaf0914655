"""The audit log as a download. Rows are read page by page, so that a slow client holds no database connection."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import StreamingResponse

from agentgrid.api import views
from agentgrid.api.schemas.commands import CommandSummary
from agentgrid.api.shown import Shown
from agentgrid.db import commands
from agentgrid.db.paging import Key
from agentgrid.db.session import reading

Format = Literal["ndjson", "csv"]

MAX_COMMANDS = 100_000
PAGE = 500
FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Characters that begin a formula in some spreadsheets."""
_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}


def respond(
    engine: AsyncEngine,
    scope: frozenset[str],
    only_of: str | None,
    shown: Shown,
    filters: Mapping[str, Any],
    format: Format,
) -> StreamingResponse:
    """The matching commands as a file."""
    pages = _pages(engine, scope, only_of, shown, filters)
    lines = _ndjson(pages) if format == "ndjson" else _csv(pages)
    headers = {"Content-Disposition": f'attachment; filename="commands.{format}"', "Cache-Control": "no-store"}
    return StreamingResponse(lines, media_type=_TYPES[format], headers=headers)


Pages = AsyncIterator[Sequence[CommandSummary] | None]
"""Ends with None if there are more commands than one file holds."""


async def _pages(
    engine: AsyncEngine, scope: frozenset[str], only_of: str | None, shown: Shown, filters: Mapping[str, Any]
) -> Pages:
    after: Key | None = None
    left = MAX_COMMANDS
    while True:
        size = min(PAGE, left)
        async with reading(engine) as session:
            rows = await commands.newest(
                session, scope=scope, limit=size + 1, after=after, only_of=only_of, **dict(filters)
            )
            requested = await commands.requested_values(session, [row.command_id for row in rows[:size]])
        if size:
            yield [views.command_summary(row, shown, requested=requested.get(row.command_id)) for row in rows[:size]]
        left -= size
        if len(rows) <= size:
            return
        if not left:
            yield None
            return
        after = Key(at=rows[size - 1].created_at, id=rows[size - 1].command_id)


async def _ndjson(pages: Pages) -> AsyncIterator[str]:
    async for page in pages:
        yield '{"complete": false}\n' if page is None else "".join(command.model_dump_json() + "\n" for command in page)


async def _csv(pages: Pages) -> AsyncIterator[str]:
    yield _row(list(CommandSummary.model_fields))
    async for page in pages:
        if page is None:
            yield _row(["incomplete"])
        else:
            yield "".join(
                _row([_cell(value) for value in command.model_dump(mode="json").values()]) for command in page
            )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    # A spreadsheet would otherwise run it with the rights of the auditor who opens the file.
    return f"'{text}" if text.startswith(FORMULA_PREFIXES) else text


def _row(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
