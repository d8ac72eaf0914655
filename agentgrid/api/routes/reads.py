"""Reads: the record of payload reads, refusals, and requests without a valid key."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.requests import Request

from agentgrid.api.access import V1
from agentgrid.api.deps import DEFAULT_LIMIT, Cursor, Limit, Session
from agentgrid.api.paging import cut, decode_key, encode_key
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.common import Moment, Page
from agentgrid.api.schemas.reads import ReadOut
from agentgrid.db import reads
from agentgrid.domain.reads import ReadOutcome

router = make_router(tags=["audit"], prefix=f"{V1}/reads")

Text = Annotated[str | None, Query(min_length=1, max_length=300)]


@router.get("", summary="List payload reads, refusals, and requests without a valid key, newest first")
async def list_reads(
    request: Request,
    session: Session,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    principal: Text = None,
    subject: Annotated[
        str | None, Query(min_length=1, max_length=300, description="The id of a run, approval or command.")
    ] = None,
    outcome: Annotated[list[ReadOutcome], Query(description="Any of these.")] = [],  # noqa: B006
    since: Moment | None = None,
) -> Page[ReadOut]:
    """Identical reads within a minute are combined into one item, written a few seconds after the first. Kept for 90 days."""
    rows = await reads.newest(
        session,
        limit=limit + 1,
        after=decode_key(request, cursor),
        principal=principal,
        subject=subject,
        outcome=outcome,
        since=since,
    )
    page, next_cursor = cut(rows, limit, lambda row: encode_key(request, row.at, row.read_id))
    return Page[ReadOut](items=[ReadOut.model_validate(row) for row in page], next_cursor=next_cursor)
