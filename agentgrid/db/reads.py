"""The record of payload reads, refusals and requests without a valid key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from agentgrid.db import paging
from agentgrid.db.paging import Key, Listing
from agentgrid.db.session import ReadSession, WriteSession
from agentgrid.db.tables import ReadRow

_TABLE: Any = ReadRow.__table__  # type: ignore[attr-defined]
_INSERT = insert(_TABLE)
_UPSERT = _INSERT.on_conflict_do_update(
    index_elements=["read_id"], set_={"last_at": _INSERT.excluded.last_at, "count": _INSERT.excluded.count}
)

_LISTING = Listing(table=ReadRow, at="at", identifier="read_id", key=("read_id",))


async def save(session: WriteSession, rows: Sequence[dict[str, Any]]) -> None:
    """Insert the rows; for an existing row, update its count and the time of its last read."""
    await session.execute(_UPSERT, rows)


async def newest(
    session: ReadSession,
    *,
    limit: int,
    after: Key | None = None,
    principal: str | None = None,
    subject: str | None = None,
    outcome: Sequence[str] = (),
    since: datetime | None = None,
) -> Sequence[ReadRow]:
    """Reads, newest first."""
    equal = (("principal", principal), ("subject", subject))

    def conditions(read: Any, _collected: bool) -> Sequence[Any]:
        clauses = [getattr(read, name) == value for name, value in equal if value is not None]
        if outcome:
            clauses.append(read.outcome.in_(outcome))
        if since is not None:
            clauses.append(read.at >= since)
        return clauses

    # Each of these filters on its own has an index in list order.
    ordered = sum(value is not None for _, value in equal) + len(outcome) <= 1
    rows = await paging.newest(session, _LISTING, conditions, limit=limit, after=after, ordered=ordered)
    return [row[0] for row in rows]
