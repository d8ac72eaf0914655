"""Reading the events that live streams carry; `events.py` appends them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, or_, select

from agentgrid.db import scopes
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import Event, Run

E: Any = Event
R: Any = Run

APPROVAL = "approval"
"""The kind of approval events."""


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """The facts about an event's run that determine who may see the event."""

    workflow: str
    initiator: str


async def after(
    session: ReadSession,
    event_id: int,
    *,
    scope: frozenset[str],
    limit: int,
    run_id: str | None = None,
    approvals_of: str | None = None,
) -> Sequence[tuple[Event, About]]:
    """Events past the cursor of runs in the scope, in order. `approvals_of` limits approval events to runs started by this principal."""
    statement = select(Event, R.workflow, R.initiator).outerjoin(Run, R.run_id == E.run_id)
    statement = statement.where(E.event_id > event_id, *scopes.within(R.workflow, scope))
    if run_id is not None:
        statement = statement.where(E.run_id == run_id)
    if approvals_of is not None:
        statement = statement.where(or_(E.kind != APPROVAL, R.initiator == approvals_of))
    found = await session.execute(statement.order_by(E.event_id).limit(limit))
    return [(event, About(workflow=workflow or "", initiator=initiator or "")) for event, workflow, initiator in found]


async def bounds(session: ReadSession) -> tuple[int, int]:
    """The oldest and the newest event that is kept; (0, 0) where there is none."""
    oldest, newest = (await session.execute(select(func.min(E.event_id), func.max(E.event_id)))).one()
    return oldest or 0, newest or 0
