"""Kill switches, for anything with a name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import select, tuple_

from agentgrid.db.arrays import among
from agentgrid.db.session import ReadSession, WriteSession
from agentgrid.db.tables import Switch
from agentgrid.domain.switches import Thing

# The same class, typed so that its attributes are SQL expressions.
S: Any = Switch


async def newest(session: ReadSession | WriteSession, kind: str, names: Sequence[str]) -> dict[str, Switch]:
    """The newest setting of each of these switches, by name; switches that were never set are omitted."""
    statement = (
        select(Switch).where(S.kind == kind, among(S.name, names)).distinct(S.name).order_by(S.name, S.version.desc())
    )
    return {row.name: row for row in (await session.execute(statement)).scalars()}


async def of(session: ReadSession | WriteSession, things: Collection[Thing]) -> Sequence[Switch]:
    """The newest setting of each of these things' switches, ordered by kind and name; switches that were never set are omitted."""
    named = tuple_(S.kind, S.name).in_([(thing.kind, thing.name) for thing in things])
    newest = select(Switch).where(named).distinct(S.kind, S.name).order_by(S.kind, S.name, S.version.desc())
    return (await session.execute(newest)).scalars().all()


async def disabled(session: WriteSession) -> dict[str, frozenset[str]]:
    """The names of all switches that are on, by kind."""
    newest = select(Switch).distinct(S.kind, S.name).order_by(S.kind, S.name, S.version.desc())
    by_kind: dict[str, set[str]] = {}
    for row in (await session.execute(newest)).scalars():
        if row.disabled:
            by_kind.setdefault(row.kind, set()).add(row.name)
    return {kind: frozenset(names) for kind, names in by_kind.items()}
