"""Saved views. A shared view has no owner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from agentgrid.db.session import FRESH, ReadSession, WriteSession
from agentgrid.db.tables import View
from agentgrid.domain.views import MAX_PRIVATE, MAX_SHARED, SHARED

V: Any = View


async def visible(session: ReadSession, principal: str) -> Sequence[View]:
    """The principal's own views and the shared ones, by title."""
    statement = select(View).where(V.owner.in_([principal, SHARED])).order_by(V.title, V.name, V.owner)
    return (await session.execute(statement.limit(MAX_PRIVATE + MAX_SHARED))).scalars().all()


async def get(session: ReadSession | WriteSession, owner: str, name: str, *, lock: bool = False) -> View | None:
    """One view."""
    return await session.get(View, (owner, name), with_for_update=lock or None)


async def count(session: WriteSession, owner: str) -> int:
    """The number of the owner's views."""
    return int((await session.execute(select(func.count()).where(V.owner == owner))).scalar_one())


async def put(session: WriteSession, view: View) -> View:
    """Insert the view, or replace it with its next version."""
    values = view.model_dump()
    statement = insert(V.__table__).values(**values)
    changed = {name: statement.excluded[name] for name in ("title", "filter", "changed_by", "changed_at")}
    stored = statement.on_conflict_do_update(
        index_elements=["owner", "name"], set_={**changed, "version": V.__table__.c.version + 1}
    )
    await session.execute(stored)
    row = await session.execute(select(View).where(V.owner == view.owner, V.name == view.name), execution_options=FRESH)
    return row.scalar_one()


async def remove(session: WriteSession, owner: str, name: str) -> None:
    """Delete the owner's view of this name."""
    await session.execute(delete(View).where(V.owner == owner, V.name == name))
