"""The API's public signing keys, and which of them running API processes sign with.

Each API process puts its key id in the application name of a connection that lives as long as the process. So the database always knows
which keys are in use, without delay. Only the control plane's connections count: a worker's login can choose any application name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from agentgrid.db.paging import Key, older_than
from agentgrid.db.session import FRESH, ReadSession, WriteSession
from agentgrid.db.tables import SigningKey

K: Any = SigningKey

SIGNS = "agentgrid signs with "
"""Prefix of the connection's application name; the key id follows."""


async def newest(
    session: ReadSession | WriteSession, *, limit: int | None = None, after: Key | None = None
) -> Sequence[SigningKey]:
    """Every public key that was ever registered, newest first."""
    statement = select(SigningKey).order_by(K.created_at.desc(), K.key_id.desc()).limit(limit)
    if after is not None:
        statement = statement.where(older_than(K.created_at, K.key_id, after))
    return (await session.execute(statement, execution_options=FRESH)).scalars().all()


async def get(session: ReadSession | WriteSession, key_id: str) -> SigningKey | None:
    """One signing key, reloaded from the database."""
    return await session.get(SigningKey, key_id, populate_existing=True)


async def register(session: WriteSession, *, key_id: str, public_key: str) -> bool:
    """Register the key; false if it is already registered, even if retired or revoked, which is final."""
    statement = (
        insert(SigningKey)
        .values(key_id=key_id, public_key=public_key)
        .on_conflict_do_nothing(index_elements=["key_id"])
        .returning(K.key_id)
    )
    return (await session.execute(statement)).scalar() is not None


async def retire(session: WriteSession, key_id: str) -> None:
    """Retire the key: new terms no longer name it."""
    await session.execute(
        update(SigningKey).where(K.key_id == key_id).values(retired_at=func.coalesce(K.retired_at, func.now()))
    )


async def revoke(session: WriteSession, key_id: str) -> None:
    """Revoke the key: nothing that it signed counts anymore."""
    await session.execute(
        update(SigningKey).where(K.key_id == key_id).values(revoked_at=func.coalesce(K.revoked_at, func.now()))
    )


async def announce(connection: asyncpg.Connection[Any], key_id: str) -> None:
    """Announce that this process signs with the key, for the lifetime of the connection."""
    await connection.execute("SELECT set_config('application_name', $1, false)", SIGNS + key_id)


async def in_use(session: ReadSession | WriteSession, key_ids: Sequence[str]) -> frozenset[str]:
    """Those of these keys that a running API process signs with."""
    statement = text(
        "SELECT DISTINCT substr(application_name, :from) FROM pg_stat_activity WHERE datname = current_database()"
        " AND starts_with(application_name, :signs) AND pg_has_role(usesysid, 'agentgrid_control', 'MEMBER')"
    )
    named = await session.execute(statement, {"signs": SIGNS, "from": len(SIGNS) + 1})
    return frozenset(named.scalars()) & frozenset(key_ids)
