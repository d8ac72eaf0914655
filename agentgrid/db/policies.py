"""Policy rules, signing keys, and the snapshots made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from agentgrid.db.session import ReadSession, WriteSession
from agentgrid.db.tables import Policy, PolicySnapshot, SigningKey
from agentgrid.domain.policies import Snapshot

P: Any = Policy
V: Any = PolicySnapshot
K: Any = SigningKey

POLICY_LOCK = 0x4147504F
"""The advisory lock that changes of policy wait on: each snapshot holds everything that was committed before it."""


async def lock(session: WriteSession) -> None:
    """Wait for other changes of policy; held until the transaction ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": POLICY_LOCK})


async def in_force(session: ReadSession | WriteSession) -> Sequence[Policy]:
    """The newest version of every rule that is not withdrawn."""
    newest = select(Policy).distinct(P.rule_id).order_by(P.rule_id, P.version.desc())
    return [rule for rule in (await session.execute(newest)).scalars() if not rule.withdrawn]


async def last_version(session: WriteSession, rule_id: str) -> int:
    """The newest version of a rule; 0 where there is none."""
    statement = select(func.coalesce(func.max(P.version), 0)).where(P.rule_id == rule_id)
    return int((await session.execute(statement)).scalar_one())


async def signing_keys(session: ReadSession | WriteSession) -> Sequence[SigningKey]:
    """Every public key that ever counted."""
    return (await session.execute(select(SigningKey).order_by(K.key_id))).scalars().all()


async def register_signing_key(session: WriteSession, *, key_id: str, public_key: str) -> bool:
    """Make the key known; false where it is already."""
    statement = (
        insert(SigningKey)
        .values(key_id=key_id, public_key=public_key)
        .on_conflict_do_nothing(index_elements=["key_id"])
        .returning(K.key_id)
    )
    return (await session.execute(statement)).scalar() is not None


async def revoke_signing_key(session: WriteSession, key_id: str) -> bool:
    """No decision signed by the key counts from now on; false where there is no such key."""
    statement = (
        update(SigningKey)
        .where(K.key_id == key_id)
        .values(revoked_at=func.coalesce(K.revoked_at, func.now()))
        .returning(K.key_id)
    )
    return (await session.execute(statement)).scalar() is not None


async def newest_snapshot(session: ReadSession | WriteSession) -> Snapshot | None:
    """The snapshot that holds."""
    statement = select(PolicySnapshot).order_by(V.version.desc()).limit(1)
    row = (await session.execute(statement)).scalar_one_or_none()
    return None if row is None else Snapshot.model_validate(row.document)


async def next_snapshot_version(session: WriteSession) -> int:
    """A version of its own for a new snapshot."""
    statement = text("SELECT nextval(pg_get_serial_sequence('policy_snapshots', 'version'))")
    return int((await session.execute(statement)).scalar_one())


async def insert_snapshot(session: WriteSession, snapshot: Snapshot) -> None:
    """Store the snapshot, and tell workers when the transaction commits."""
    session.add(
        PolicySnapshot(version=snapshot.version, document=snapshot.model_dump(mode="json"), made_at=snapshot.made_at)
    )
    await session.flush()
    await session.execute(text("SELECT pg_notify('agentgrid_policy', :version)"), {"version": str(snapshot.version)})
