"""Principals and their API keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ARRAY, Text, cast, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from agentgrid.db.arrays import holds_all
from agentgrid.db.paging import Key, older_than
from agentgrid.db.pool import Connection
from agentgrid.db.rows import loaded
from agentgrid.db.session import FRESH, ReadSession, WriteSession
from agentgrid.db.tables import ApiKey, PrincipalRow
from agentgrid.domain import channels
from agentgrid.domain.principals import ANY_APPROVER, SYSTEM, PrincipalKind, Role

P: Any = PrincipalRow
K: Any = ApiKey


_HOLDER = """
    SELECT k.secret_hash, k.expires_at, k.issuers, p.name, p.kind, p.roles, p.groups, p.workflows,
        k.revoked_at IS NULL AND k.expires_at > now() AND p.disabled_at IS NULL AS valid,
        k.last_used_at IS NULL OR k.last_used_at < now() - $2::interval AS use_is_unrecorded
    FROM api_keys k JOIN principals p ON p.name = k.principal WHERE k.key_id = $1
"""
# A locked row is skipped: the transaction that holds the lock also records a use, or revokes the key.
_RECORD_USE = """
    UPDATE api_keys SET last_used_at = now()
    WHERE key_id = (SELECT key_id FROM api_keys WHERE key_id = $1 FOR UPDATE SKIP LOCKED)
"""

USED_RESOLUTION = timedelta(minutes=1)
"""The resolution of a key's last use: a write per request would cost more than it is worth."""


@dataclass(frozen=True, kw_only=True)
class KeyHolder:
    """An API key's owner, and whether the key is still valid."""

    owner: PrincipalRow
    secret_hash: str = field(repr=False)
    expires_at: datetime
    issuers: tuple[str, ...]
    valid: bool
    """Valid on the database's clock: neither expired nor revoked, and the owner is not disabled."""
    use_is_unrecorded: bool
    """Whether this use must still be recorded."""


async def get(session: ReadSession | WriteSession, name: str) -> PrincipalRow | None:
    """One principal, reloaded from the database."""
    return await session.get(PrincipalRow, name, populate_existing=True)


async def by_name(
    session: ReadSession, *, limit: int | None = None, after: str | None = None, q: str | None = None
) -> Sequence[PrincipalRow]:
    """Principals, ordered by name."""
    statement = select(PrincipalRow).order_by(P.name).limit(limit)
    if q is not None:
        statement = statement.where(P.name.icontains(q, autoescape=True))
    if after is not None:
        statement = statement.where(P.name > after)
    return (await session.execute(statement)).scalars().all()


async def enabled(session: WriteSession) -> Sequence[PrincipalRow]:
    """The enabled principals, by name, reloaded from the database."""
    statement = select(PrincipalRow).where(P.disabled_at.is_(None)).order_by(P.name)
    return (await session.execute(statement, execution_options=FRESH)).scalars().all()


async def approver_entries(session: ReadSession) -> frozenset[str]:
    """The approver entries that match somebody who may decide: names and groups of enabled approvers, and `role:approver`."""
    may_decide = (
        holds_all(P.roles, [Role.APPROVER.value]),
        ~holds_all(P.roles, [Role.ADMIN.value]),
        P.kind == PrincipalKind.HUMAN.value,
        P.disabled_at.is_(None),
    )
    people = (await session.execute(select(P.name, P.groups).where(*may_decide))).all()
    entries = {entry for name, groups in people for entry in (name, *groups)}
    return frozenset(entries | {ANY_APPROVER} if people else entries)


async def also_names(session: WriteSession, *, name: str, groups: Sequence[str]) -> list[str]:
    """Names used for both a principal and a group: those of these groups that are principals, and the principal's name if it is a group."""
    principals = set((await session.execute(select(P.name).where(P.name.in_([*groups, name])))).scalars())
    member = await session.scalar(select(P.name).where(holds_all(P.groups, [name])).limit(1))
    clashes = (principals | {name}) & set(groups) | ({name} if member is not None else set())
    return sorted(clashes)


async def disabled_names(session: WriteSession) -> Sequence[str]:
    """The names of the disabled principals."""
    statement = select(P.name).where(P.disabled_at.is_not(None)).order_by(P.name)
    return (await session.execute(statement)).scalars().all()


async def put(
    session: WriteSession,
    *,
    name: str,
    kind: str,
    roles: Sequence[str],
    groups: Sequence[str],
    workflows: Sequence[str],
) -> None:
    """Create the principal, or change its roles, groups and scope. The kind never changes: a program must not inherit a person's rights."""
    values = {"roles": list(roles), "groups": list(groups), "workflows": list(workflows)}
    statement = insert(PrincipalRow).values(name=name, kind=kind, **values)
    upsert = statement.on_conflict_do_update(index_elements=["name"], set_=values).returning(PrincipalRow)
    (await session.execute(upsert, execution_options=FRESH)).scalar_one()


async def set_disabled(session: WriteSession, name: str, disabled: bool) -> None:
    """Disable or enable the principal."""
    disabled_at = func.coalesce(P.disabled_at, func.now()) if disabled else None
    await session.execute(update(PrincipalRow).where(P.name == name).values(disabled_at=disabled_at))


async def notify_access_changed(session: WriteSession) -> None:
    """On commit, make open streams check whether their keys are still valid."""
    await session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": channels.ACCESS})


async def holder(connection: Connection, key_id: str) -> KeyHolder | None:
    """The API key's owner; None if there is no such key."""
    row = await connection.fetchrow(_HOLDER, key_id, USED_RESOLUTION)
    if row is None:
        return None
    columns = {name: row[name] for name in ("name", "kind", "roles", "groups", "workflows")}
    return KeyHolder(
        owner=loaded(PrincipalRow, columns),
        secret_hash=row["secret_hash"],
        expires_at=row["expires_at"],
        issuers=tuple(row["issuers"]),
        valid=row["valid"],
        use_is_unrecorded=row["use_is_unrecorded"],
    )


async def keys(
    session: ReadSession, *, principal: str | None = None, limit: int | None = None, after: Key | None = None
) -> Sequence[ApiKey]:
    """API keys, newest first."""
    statement = select(ApiKey).order_by(K.created_at.desc(), K.key_id.desc()).limit(limit)
    if principal is not None:
        statement = statement.where(K.principal == principal)
    if after is not None:
        statement = statement.where(older_than(K.created_at, K.key_id, after))
    return (await session.execute(statement)).scalars().all()


async def key(session: ReadSession | WriteSession, key_id: str) -> ApiKey | None:
    """The API key with this id."""
    return await session.get(ApiKey, key_id)


async def live_keys_seen_by_others(session: WriteSession, principal: str) -> Sequence[str]:
    """The ids of the principal's live keys that somebody else issued, and so could also use."""
    statement = (
        select(K.key_id)
        .where(
            K.principal == principal,
            ~K.issuers.op("<@")(cast([SYSTEM, principal], ARRAY(Text))),
            K.revoked_at.is_(None),
            K.expires_at > func.now(),
        )
        .order_by(K.created_at.desc())
    )
    return (await session.execute(statement)).scalars().all()


async def programs(session: ReadSession | WriteSession, names: Iterable[str]) -> Sequence[str]:
    """Those of these principals that are not people."""
    statement = select(P.name).where(P.name.in_(list(names)), P.kind != PrincipalKind.HUMAN.value).order_by(P.name)
    return (await session.execute(statement)).scalars().all()


async def revoke_key(session: WriteSession, key_id: str) -> ApiKey | None:
    """Revoke the key, if it is not already revoked; None if there is no such key."""
    statement = (
        update(ApiKey)
        .where(K.key_id == key_id)
        .values(revoked_at=func.coalesce(K.revoked_at, func.now()))
        .returning(ApiKey)
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def record_use(connection: Connection, key_id: str) -> None:
    """Record that the key was used now, to the minute."""
    await connection.execute(_RECORD_USE, key_id)
