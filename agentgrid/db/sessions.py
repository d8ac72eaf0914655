"""Browser sessions, and the codes that open them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update

from agentgrid.db.paging import Key, older_than
from agentgrid.db.pool import Connection
from agentgrid.db.principals import USED_RESOLUTION
from agentgrid.db.rows import loaded
from agentgrid.db.session import FRESH, ReadSession, WriteSession
from agentgrid.db.tables import ApiKey, PrincipalRow, SessionRow, SignInCode
from agentgrid.domain.sessions import CODES_PER_KEY, IDLE_LIFETIME, LONGEST_LIFETIME

S: Any = SessionRow
K: Any = ApiKey
D: Any = SignInCode
P: Any = PrincipalRow

_HOLDER = """
    SELECT s.session_id, s.key_id, s.opened_at, s.expires_at, k.expires_at AS key_expires_at, k.issuers, p.name, p.kind, p.roles, p.groups, p.workflows,
        s.ended_at IS NULL AND s.expires_at > now() AND k.revoked_at IS NULL AND k.expires_at > now()
            AND p.disabled_at IS NULL AND p.kind = 'human' AS valid,
        s.last_used_at < now() - $2::interval AS use_is_unrecorded
    FROM sessions s JOIN api_keys k ON k.key_id = s.key_id JOIN principals p ON p.name = k.principal WHERE s.{column} = $1
"""
_BY_TOKEN = _HOLDER.replace("{column}", "token_hash")
_BY_ID = _HOLDER.replace("{column}", "session_id")
# As for keys, locked rows are skipped: the transaction that holds the lock also records a use, or ends the session.
_RECORD_USE = """
    UPDATE sessions s SET last_used_at = now(), expires_at = least(now() + $2::interval, s.opened_at + $3::interval, k.expires_at)
    FROM api_keys k WHERE k.key_id = s.key_id
        AND s.session_id = (SELECT session_id FROM sessions WHERE session_id = $1 AND ended_at IS NULL FOR UPDATE SKIP LOCKED)
"""
CODE_KEPT = timedelta(days=1)
"""How long a code is kept after it has expired, so that using it returns `expired` rather than `unknown`."""


@dataclass(frozen=True, kw_only=True)
class SessionHolder:
    """A session's owner, and whether the session is still valid."""

    session_id: str
    key_id: str
    opened_at: datetime
    expires_at: datetime
    key_expires_at: datetime
    owner: PrincipalRow
    issuers: tuple[str, ...]
    valid: bool
    """Valid on the database's clock: neither the session nor its key has ended, and the owner is a person and not disabled."""
    use_is_unrecorded: bool
    """Whether this use must still be recorded."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A session in a list, with its owner's name."""

    row: SessionRow
    principal: str


async def by_token(connection: Connection, token_hash: str) -> SessionHolder | None:
    """The session with this cookie."""
    return await _holder(connection, _BY_TOKEN, token_hash)


async def holder(connection: Connection, session_id: str) -> SessionHolder | None:
    """The session with this id."""
    return await _holder(connection, _BY_ID, session_id)


async def _holder(connection: Connection, query: str, value: str) -> SessionHolder | None:
    row = await connection.fetchrow(query, value, USED_RESOLUTION)
    if row is None:
        return None
    columns = {name: row[name] for name in ("name", "kind", "roles", "groups", "workflows")}
    return SessionHolder(
        session_id=row["session_id"],
        key_id=row["key_id"],
        opened_at=row["opened_at"],
        expires_at=row["expires_at"],
        key_expires_at=row["key_expires_at"],
        owner=loaded(PrincipalRow, columns),
        issuers=tuple(row["issuers"]),
        valid=row["valid"],
        use_is_unrecorded=row["use_is_unrecorded"],
    )


async def record_use(connection: Connection, session_id: str) -> None:
    """Record that the session was used now (to the minute), and extend it."""
    await connection.execute(_RECORD_USE, session_id, IDLE_LIFETIME, LONGEST_LIFETIME)


async def get(session: ReadSession | WriteSession, session_id: str) -> Listed | None:
    """One session, reloaded from the database."""
    statement = select(SessionRow, K.principal).join(ApiKey, K.key_id == S.key_id).where(S.session_id == session_id)
    row = (await session.execute(statement, execution_options=FRESH)).one_or_none()
    return None if row is None else Listed(row=row[0], principal=row[1])


async def opened(
    session: ReadSession, *, principal: str | None = None, limit: int | None = None, after: Key | None = None
) -> Sequence[Listed]:
    """The sessions that are valid now, newest first."""
    statement = (
        select(SessionRow, K.principal)
        .join(ApiKey, K.key_id == S.key_id)
        .join(PrincipalRow, P.name == K.principal)
        .where(
            S.ended_at.is_(None),
            S.expires_at > func.now(),
            # No older session is open; without this bound, the index scan would visit all expired ones.
            S.opened_at > func.now() - LONGEST_LIFETIME,
            K.revoked_at.is_(None),
            K.expires_at > func.now(),
            P.disabled_at.is_(None),
        )
        .order_by(S.opened_at.desc(), S.session_id.desc())
        .limit(limit)
    )
    if principal is not None:
        statement = statement.where(K.principal == principal)
    if after is not None:
        statement = statement.where(older_than(S.opened_at, S.session_id, after))
    return [Listed(row=row, principal=name) for row, name in (await session.execute(statement)).all()]


async def end(session: WriteSession, session_id: str) -> bool:
    """End the session; false if it had already ended."""
    statement = (
        update(SessionRow)
        .where(S.session_id == session_id, S.ended_at.is_(None))
        .values(ended_at=func.now())
        .returning(S.session_id)
        .execution_options(synchronize_session=False)
    )
    return (await session.execute(statement)).scalar() is not None


async def add_code(session: WriteSession, code: SignInCode) -> None:
    """Store a code, replacing the key's oldest ones, and delete all codes that expired long ago."""
    newest = (
        select(D.code_hash)
        .where(D.key_id == code.key_id, D.used_at.is_(None))
        .order_by(D.expires_at.desc(), D.code_hash)
        .limit(CODES_PER_KEY - 1)
    )
    await session.execute(
        D.__table__.delete().where(
            (D.expires_at < func.now() - CODE_KEPT)
            | ((D.key_id == code.key_id) & D.used_at.is_(None) & D.code_hash.not_in(newest))
        )
    )
    session.add(code)


async def spend_code(session: WriteSession, code_hash: str) -> bool:
    """Use up the code; false if it was used or has expired. Concurrent uses wait for each other."""
    statement = (
        update(SignInCode)
        .where(D.code_hash == code_hash, D.used_at.is_(None), D.expires_at > func.now())
        .values(used_at=func.now())
        .returning(D.key_id)
        .execution_options(synchronize_session=False)
    )
    return (await session.execute(statement)).scalar() is not None


async def code(session: ReadSession | WriteSession, code_hash: str) -> SignInCode | None:
    """The code with this hash."""
    return await session.get(SignInCode, code_hash)
