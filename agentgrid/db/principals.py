"""Principals and their API keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from agentgrid.db.session import ReadSession, WriteSession
from agentgrid.db.tables import ApiKey, PrincipalRow

P: Any = PrincipalRow
K: Any = ApiKey

USED_RESOLUTION = timedelta(minutes=1)
"""How exactly a key's last use is kept: a write for each request would cost more than it tells."""


async def get(session: ReadSession | WriteSession, name: str) -> PrincipalRow | None:
    """One principal."""
    return await session.get(PrincipalRow, name)


async def by_name(session: ReadSession) -> Sequence[PrincipalRow]:
    """Every principal, in the order of their names."""
    return (await session.execute(select(PrincipalRow).order_by(P.name))).scalars().all()


async def enabled(session: WriteSession) -> Sequence[PrincipalRow]:
    """The principals who may act, in the order of their names."""
    statement = select(PrincipalRow).where(P.disabled_at.is_(None)).order_by(P.name)
    return (await session.execute(statement)).scalars().all()


async def disabled_names(session: WriteSession) -> Sequence[str]:
    """The principals who may no longer act."""
    statement = select(P.name).where(P.disabled_at.is_not(None)).order_by(P.name)
    return (await session.execute(statement)).scalars().all()


async def put(
    session: WriteSession, *, name: str, kind: str, roles: Sequence[str], groups: Sequence[str], disabled: bool
) -> None:
    """Make the principal, or change it. The kind never changes: what a person may do, a program that took its name may not."""
    disabled_at = func.now() if disabled else None
    values = {"roles": list(roles), "groups": list(groups)}
    statement = insert(PrincipalRow).values(name=name, kind=kind, disabled_at=disabled_at, **values)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["name"],
            set_={**values, "disabled_at": func.coalesce(P.disabled_at, func.now()) if disabled else None},
        )
    )


async def key_and_owner(session: ReadSession, key_id: str) -> tuple[ApiKey, PrincipalRow, datetime] | None:
    """An API key, whose it is, and the time by the database's clock."""
    statement = (
        select(ApiKey, PrincipalRow, func.now()).join(PrincipalRow, K.principal == P.name).where(K.key_id == key_id)
    )
    found = (await session.execute(statement)).first()
    return None if found is None else (found[0], found[1], found[2])


async def keys(session: ReadSession, *, principal: str | None = None) -> Sequence[ApiKey]:
    """API keys, newest first."""
    statement = select(ApiKey).order_by(K.created_at.desc(), K.key_id)
    if principal is not None:
        statement = statement.where(K.principal == principal)
    return (await session.execute(statement)).scalars().all()


async def revoke_key(session: WriteSession, key_id: str) -> ApiKey | None:
    """Revoke the key, if it wasn't already; None where there is no such key."""
    statement = (
        update(ApiKey)
        .where(K.key_id == key_id)
        .values(revoked_at=func.coalesce(K.revoked_at, func.now()))
        .returning(ApiKey)
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def note_use(session: WriteSession, key_id: str) -> None:
    """Remember that the key was used now, to the minute."""
    await session.execute(
        update(ApiKey)
        .where(K.key_id == key_id, or_(K.last_used_at.is_(None), K.last_used_at < func.now() - USED_RESOLUTION))
        .values(last_used_at=func.now())
    )
