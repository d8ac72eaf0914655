"""Reading the events that live streams carry; `events.py` appends them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

from agentgrid.db.session import ReadSession
from agentgrid.db.tables import Event

E: Any = Event


async def after(session: ReadSession, event_id: int, *, limit: int, run_id: str | None = None) -> Sequence[Event]:
    """Events past the cursor, in order."""
    statement = select(Event).where(E.event_id > event_id)
    if run_id is not None:
        statement = statement.where(E.run_id == run_id)
    return (await session.execute(statement.order_by(E.event_id).limit(limit))).scalars().all()


async def bounds(session: ReadSession) -> tuple[int, int]:
    """The oldest and the newest event that is kept; (0, 0) where there is none."""
    oldest, newest = (await session.execute(select(func.min(E.event_id), func.max(E.event_id)))).one()
    return oldest or 0, newest or 0
