"""Policy rules, and the snapshots built from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, text

from agentgrid.db import locks
from agentgrid.db.session import FRESH, ReadSession, WriteSession
from agentgrid.db.tables import PolicyRow, PolicySnapshot
from agentgrid.domain import channels
from agentgrid.domain.policies import Snapshot

P: Any = PolicyRow
V: Any = PolicySnapshot


async def lock(session: WriteSession) -> None:
    """Wait for other policy changes, and lock until the transaction ends, so that each snapshot contains everything committed before it."""
    await locks.take(session, locks.POLICY)


async def in_force(session: ReadSession | WriteSession) -> Sequence[PolicyRow]:
    """The newest version of every rule that is not withdrawn, ordered by rule id."""
    newest = select(PolicyRow).distinct(P.rule_id).order_by(P.rule_id, P.version.desc())
    return [rule for rule in (await session.execute(newest, execution_options=FRESH)).scalars() if not rule.withdrawn]


async def newest(session: ReadSession | WriteSession, rule_id: str) -> PolicyRow | None:
    """The newest version of a rule, which may be its withdrawal."""
    statement = select(PolicyRow).where(P.rule_id == rule_id).order_by(P.version.desc()).limit(1)
    return (await session.execute(statement, execution_options=FRESH)).scalar_one_or_none()


async def versions(session: ReadSession, rule_id: str, *, limit: int) -> Sequence[PolicyRow]:
    """A rule's versions, newest first."""
    statement = select(PolicyRow).where(P.rule_id == rule_id).order_by(P.version.desc()).limit(limit)
    return (await session.execute(statement)).scalars().all()


async def newest_snapshot(session: ReadSession | WriteSession) -> Snapshot | None:
    """The snapshot in force."""
    statement = select(PolicySnapshot).order_by(V.version.desc()).limit(1)
    row = (await session.execute(statement)).scalar_one_or_none()
    return None if row is None else Snapshot.model_validate(row.document)


async def next_snapshot_version(session: WriteSession) -> int:
    """A unique version for a new snapshot."""
    statement = text("SELECT nextval(pg_get_serial_sequence('policy_snapshots', 'version'))")
    return int((await session.execute(statement)).scalar_one())


async def insert_snapshot(session: WriteSession, snapshot: Snapshot) -> None:
    """Store the snapshot, and notify workers when the transaction commits."""
    session.add(
        PolicySnapshot(version=snapshot.version, document=snapshot.model_dump(mode="json"), made_at=snapshot.made_at)
    )
    await session.flush()
    await session.execute(
        text("SELECT pg_notify(:channel, :version)"), {"channel": channels.POLICY, "version": str(snapshot.version)}
    )
