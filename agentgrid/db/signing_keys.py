"""The API's public signing keys, and which of them a running API signs with.

Each API process puts its key id in the application name of a connection that lives as long as the process. The database therefore knows
which keys are in use, and knows at once when one no longer is. Only the control plane's connections count: a worker's login can choose any
application name.
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
    """Every public key that ever counted, newest first."""
    statement = select(SigningKey).order_by(K.created_at.desc(), K.key_id.desc()).limit(limit)
    if after is not None:
        statement = statement.where(older_than(K.created_at, K.key_id, after))
    return (await session.execute(statement, execution_options=FRESH)).scalars().all()


async def get(session: ReadSession | WriteSession, key_id: str) -> SigningKey | None:
    """One key."""
    return await session.get(SigningKey, key_id, populate_existing=True)


async def register(session: WriteSession, *, key_id: str, public_key: str) -> bool:
    """Make the key known; false where it is already, also where it was retired or revoked: that is final."""
    statement = (
        insert(SigningKey)
        .values(key_id=key_id, public_key=public_key)
        .on_conflict_do_nothing(index_elements=["key_id"])
        .returning(K.key_id)
    )
    return (await session.execute(statement)).scalar() is not None


async def retire(session: WriteSession, key_id: str) -> None:
    """New terms don't name the key from now on."""
    await session.execute(
        update(SigningKey).where(K.key_id == key_id).values(retired_at=func.coalesce(K.retired_at, func.now()))
    )


async def revoke(session: WriteSession, key_id: str) -> None:
    """Nothing that the key signed counts from now on."""
    await session.execute(
        update(SigningKey).where(K.key_id == key_id).values(revoked_at=func.coalesce(K.revoked_at, func.now()))
    )


async def announce(connection: asyncpg.Connection[Any], key_id: str) -> None:
    """Say that this process signs with the key, for as long as the connection lives."""
    await connection.execute("SELECT set_config('application_name', $1, false)", SIGNS + key_id)


async def in_use(session: ReadSession | WriteSession, key_ids: Sequence[str]) -> frozenset[str]:
    """Those of the keys that a running API signs with."""
    statement = text(
        "SELECT DISTINCT substr(application_name, :from) FROM pg_stat_activity WHERE datname = current_database()"
        " AND starts_with(application_name, :signs) AND pg_has_role(usesysid, 'agentgrid_control', 'MEMBER')"
    )
    named = await session.execute(statement, {"signs": SIGNS, "from": len(SIGNS) + 1})
    return frozenset(named.scalars()) & frozenset(key_ids)
