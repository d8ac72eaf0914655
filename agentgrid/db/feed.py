"""Reading the events that live streams carry; `events.py` appends them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

from agentgrid.db import scopes
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import Event, Run

E: Any = Event
R: Any = Run


async def after(
    session: ReadSession, event_id: int, *, scope: frozenset[str], limit: int, run_id: str | None = None
) -> Sequence[tuple[Event, str]]:
    """Events past the cursor of runs in the scope, in order, each with its run's workflow."""
    statement = select(Event, func.coalesce(R.workflow, "")).outerjoin(Run, R.run_id == E.run_id)
    statement = statement.where(E.event_id > event_id, *scopes.within(R.workflow, scope))
    if run_id is not None:
        statement = statement.where(E.run_id == run_id)
    found = await session.execute(statement.order_by(E.event_id).limit(limit))
    return [(event, workflow) for event, workflow in found]


async def bounds(session: ReadSession) -> tuple[int, int]:
    """The oldest and the newest event that is kept; (0, 0) where there is none."""
    oldest, newest = (await session.execute(select(func.min(E.event_id), func.max(E.event_id)))).one()
    return oldest or 0, newest or 0
