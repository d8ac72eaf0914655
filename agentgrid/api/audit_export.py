"""The audit log as a download. Rows are read page by page, so that a slow client holds no connection of the database."""

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

MOST = 100_000
PAGE = 500
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""The characters that begin a formula in some spreadsheets."""
_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}


def respond(
    engine: AsyncEngine,
    scope: frozenset[str],
    only_of: str | None,
    shown: Shown,
    wanted: Mapping[str, Any],
    format: Format,
) -> StreamingResponse:
    """The commands that match, as a file."""
    pages = _pages(engine, scope, only_of, shown, wanted)
    lines = _ndjson(pages) if format == "ndjson" else _csv(pages)
    headers = {"Content-Disposition": f'attachment; filename="commands.{format}"', "Cache-Control": "no-store"}
    return StreamingResponse(lines, media_type=_TYPES[format], headers=headers)


Pages = AsyncIterator[Sequence[CommandSummary] | None]
"""None after the last one if there are more commands than one file takes."""


async def _pages(
    engine: AsyncEngine, scope: frozenset[str], only_of: str | None, shown: Shown, wanted: Mapping[str, Any]
) -> Pages:
    after: Key | None = None
    left = MOST
    while True:
        size = min(PAGE, left)
        async with reading(engine) as session:
            rows = await commands.newest(
                session, scope=scope, limit=size + 1, after=after, only_of=only_of, **dict(wanted)
            )
            asked = await commands.asked(session, [row.command_id for row in rows[:size]])
        if size:
            yield [views.command_summary(row, shown, asked=asked.get(row.command_id)) for row in rows[:size]]
        left -= size
        if len(rows) <= size:
            return
        if not left:
            yield None
            return
        after = Key(at=rows[size - 1].created_at, id=rows[size - 1].command_id)


async def _ndjson(pages: Pages) -> AsyncIterator[str]:
    async for page in pages:
        yield '{"complete": false}\n' if page is None else "".join(each.model_dump_json() + "\n" for each in page)


async def _csv(pages: Pages) -> AsyncIterator[str]:
    yield _row(list(CommandSummary.model_fields))
    async for page in pages:
        if page is None:
            yield _row(["incomplete"])
        else:
            yield "".join(_row([_cell(value) for value in each.model_dump(mode="json").values()]) for each in page)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    # A spreadsheet would run it, in the name of the auditor who opens the file.
    return f"'{text}" if text.startswith(FORMULA) else text


def _row(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
