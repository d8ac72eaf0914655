"""The kill switches of tools and workflows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from agentgrid.db.session import ReadSession, WriteSession
from agentgrid.db.tables import Switch
from agentgrid.domain.policies import SwitchKind

# The same class, typed so that its attributes are SQL expressions.
S: Any = Switch


async def newest(session: ReadSession | WriteSession, kind: SwitchKind, names: Sequence[str]) -> dict[str, Switch]:
    """The newest setting of each of these switches that was ever set, by name."""
    statement = (
        select(Switch).where(S.kind == kind, S.name.in_(names)).distinct(S.name).order_by(S.name, S.version.desc())
    )
    return {row.name: row for row in (await session.execute(statement)).scalars()}


async def disabled(session: WriteSession, kind: SwitchKind) -> frozenset[str]:
    """The names of all switches of this kind that are on."""
    newest = select(Switch).where(S.kind == kind).distinct(S.name).order_by(S.name, S.version.desc())
    return frozenset(row.name for row in (await session.execute(newest)).scalars() if row.disabled)
