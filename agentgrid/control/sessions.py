"""Browser sessions: a cookie in place of a key, for people only. A session has the key's rights, and ends with the key.

A session is opened with the key itself, or with a single-use code created with the key. Only hashes of codes and cookies are stored; commands
about sessions contain neither, nor a key.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime

from agentgrid.control import api_keys, commands
from agentgrid.control.api_keys import Authenticated, secret_hash
from agentgrid.control.plane import Caller, ControlPlane, principal_of
from agentgrid.db import commands as db_commands
from agentgrid.db import principals
from agentgrid.db import sessions as db_sessions
from agentgrid.db.pool import Pool, direct
from agentgrid.db.session import ReadSession, WriteSession, reading, writing
from agentgrid.db.sessions import Listed
from agentgrid.db.tables import Command, SessionRow, SignInCode
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.ids import new_id
from agentgrid.domain.principals import Permission, Principal, PrincipalKind
from agentgrid.domain.sessions import CODE_LIFETIME, IDLE_LIFETIME, LONGEST_LIFETIME, MAX_USER_AGENT
from agentgrid.errors import Forbidden, NotFound, SignInCodeSpent, Unauthenticated

NEW_LINK = "create a new link with `agentgrid console --open`"


@dataclass(frozen=True, kw_only=True)
class OpenSession:
    """An open session and its owner."""

    session_id: str
    principal: Principal
    key_id: str
    issuers: tuple[str, ...]
    key_expires_at: datetime
    opened_at: datetime
    expires_at: datetime
    """When it ends if it is not used again."""


@dataclass(frozen=True, kw_only=True)
class NewSession(OpenSession):
    """A new session with its secret."""

    token: str = field(repr=False)
    """The cookie's value."""
    lasts_until: datetime
    """When it ends regardless of use."""


@dataclass(frozen=True, kw_only=True)
class NewCode:
    """A new sign-in code."""

    code: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Browser:
    """The browser and the request that open a session."""

    address: str | None
    user_agent: str | None
    route: str


async def make_code(plane: ControlPlane, caller: Caller) -> NewCode:
    """Create a code for the caller's own principal and key. Raises Forbidden unless the principal is a person."""
    _check_person(caller.principal)
    code = secrets.token_urlsafe(32)
    # Not idempotent: a repeated request must also return a code, and the first one's is not stored.
    caller = replace(caller, idempotency_key=None, body=None)
    async with writing(plane.engine) as session:
        expires_at = await db_commands.clock(session) + CODE_LIFETIME
        await db_sessions.add_code(
            session, SignInCode(code_hash=secret_hash(code), key_id=caller.key_id or "", expires_at=expires_at)
        )
        outcome = {"expires_at": expires_at.isoformat()}
        await commands.apply(session, caller, CommandKind.SESSION_CODE, outcome, target=caller.key_id)
    return NewCode(code=code, expires_at=expires_at)


async def open_with_key(plane: ControlPlane, key: str, browser: Browser) -> NewSession:
    """Open a session with a key. Raises Unauthenticated, and Forbidden unless it is a person's key."""
    owner = await api_keys.authenticate(plane.pool, key)
    try:
        _check_person(owner.principal)
    except Forbidden as error:
        error.command_id = await commands.refuse(plane, _caller(owner, browser), CommandKind.SESSION_OPEN, error)
        raise
    async with writing(plane.engine) as session:
        return await _open(session, owner, browser)


async def open_with_code(plane: ControlPlane, code: str, browser: Browser) -> NewSession:
    """Open a session with a code, under the key that created it. Raises Unauthenticated; SignInCodeSpent if it was used or has expired."""
    code_hash = secret_hash(code)
    async with reading(plane.engine) as session:
        row, now = await db_sessions.code(session, code_hash), await db_commands.clock(session)
    owner = None
    # A code that was used or has expired must not count as a use of its key.
    if row is not None and row.used_at is None and now < row.expires_at:
        owner = await api_keys.reauthenticate(plane.pool, row.key_id)
    async with writing(plane.engine) as session:
        if not await db_sessions.spend_code(session, code_hash):
            raise await _why_not(session, code_hash)
        if owner is None:
            raise Unauthenticated(f"the key of this sign-in link is no longer valid: {NEW_LINK} and a valid key")
        _check_person(owner.principal)
        return await _open(session, owner, browser)


async def _why_not(session: WriteSession, code_hash: str) -> Unauthenticated:
    row = await db_sessions.code(session, code_hash)
    if row is None:
        return Unauthenticated(f"this sign-in link is invalid: {NEW_LINK}")
    if row.used_at is not None:
        return SignInCodeSpent(f"this sign-in link was already used: {NEW_LINK}")
    return SignInCodeSpent(f"this sign-in link has expired: {NEW_LINK}")


def _check_person(principal: Principal) -> None:
    if principal.kind is not PrincipalKind.HUMAN:
        raise Forbidden(
            f"only people can sign in to the console; programs use keys: {principal.name} is a {principal.kind}"
        )


def _caller(owner: Authenticated, browser: Browser, session_id: str | None = None) -> Caller:
    return Caller(
        principal=owner.principal,
        key_id=owner.key_id,
        session_id=session_id,
        issuers=owner.issuers,
        address=browser.address,
        route=browser.route,
    )


async def _open(session: WriteSession, owner: Authenticated, browser: Browser) -> NewSession:
    session_id, token = new_id(), secrets.token_urlsafe(32)
    now = await db_commands.clock(session)
    lasts_until = min(now + LONGEST_LIFETIME, owner.expires_at)
    expires_at = min(now + IDLE_LIFETIME, lasts_until)
    session.add(
        SessionRow(
            session_id=session_id,
            token_hash=secret_hash(token),
            key_id=owner.key_id,
            opened_at=now,
            expires_at=expires_at,
            last_used_at=now,
            address=browser.address,
            user_agent=None if browser.user_agent is None else browser.user_agent[:MAX_USER_AGENT],
        )
    )
    outcome = {"expires_at": lasts_until.isoformat()}
    await commands.apply(
        session, _caller(owner, browser, session_id), CommandKind.SESSION_OPEN, outcome, target=session_id
    )
    return NewSession(
        session_id=session_id,
        principal=owner.principal,
        key_id=owner.key_id,
        issuers=owner.issuers,
        key_expires_at=owner.expires_at,
        opened_at=now,
        expires_at=expires_at,
        token=token,
        lasts_until=lasts_until,
    )


async def authenticate(pool: Pool, token: str) -> OpenSession:
    """The session with this cookie. Raises Unauthenticated, with the same message however the session ended."""
    async with direct(pool) as connection:
        holder = await db_sessions.by_token(connection, secret_hash(token))
        if holder is None or not holder.valid:
            raise Unauthenticated("you are signed out: sign in again")
        if holder.use_is_unrecorded:
            await db_sessions.record_use(connection, holder.session_id)
            await principals.record_use(connection, holder.key_id)
    return _session(holder)


async def holder(pool: Pool, session_id: str) -> Principal | None:
    """The current owner of a session that was authenticated earlier, or None if it has ended. For long-lived streams."""
    async with direct(pool) as connection:
        current = await db_sessions.holder(connection, session_id)
    return principal_of(current.owner) if current is not None and current.valid else None


def _session(holder: db_sessions.SessionHolder) -> OpenSession:
    return OpenSession(
        session_id=holder.session_id,
        principal=principal_of(holder.owner),
        key_id=holder.key_id,
        issuers=holder.issuers,
        key_expires_at=holder.key_expires_at,
        opened_at=holder.opened_at,
        expires_at=holder.expires_at,
    )


async def close(plane: ControlPlane, caller: Caller) -> Command:
    """Sign out: end the session that the caller uses, including its streams."""
    # Never replayed: an earlier request with the same idempotency key may have ended a different session.
    caller = replace(caller, idempotency_key=None)
    return await _end(plane, caller, CommandKind.SESSION_CLOSE, caller.session_id or "")


async def end(plane: ControlPlane, caller: Caller, session_id: str, *, reason: str | None = None) -> Command:
    """End one of the caller's own sessions, or anybody's with the permission to administer, including its streams. Raises NotFound."""
    return await _end(plane, caller, CommandKind.SESSION_END, session_id, reason=reason)


async def _end(
    plane: ControlPlane, caller: Caller, kind: CommandKind, session_id: str, *, reason: str | None = None
) -> Command:
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        listed = await db_sessions.get(session, session_id)
        if listed is None or not _may_see(caller.principal, listed):
            raise NotFound("session", session_id)
        ended = await db_sessions.end(session, session_id)
        await principals.notify_access_changed(session)
        outcome = {"principal": listed.principal, "key_id": listed.row.key_id, "ended": ended}
        return (await commands.apply(session, caller, kind, outcome, target=session_id, reason=reason)).command


def _may_see(principal: Principal, listed: Listed) -> bool:
    return listed.principal == principal.name or principal.may(Permission.ADMINISTER)


async def get(session: ReadSession, principal: Principal, session_id: str) -> Listed:
    """One session that the principal may see. Raises NotFound."""
    listed = await db_sessions.get(session, session_id)
    if listed is None or not _may_see(principal, listed):
        raise NotFound("session", session_id)
    return listed


def whose(principal: Principal, requested: str | None) -> str | None:
    """Whose sessions the principal may list: only its own, unless it administers. None means everybody's. Raises Forbidden."""
    if principal.may(Permission.ADMINISTER):
        return requested
    if requested not in (None, principal.name):
        raise Forbidden("you may only list your own sessions; listing others' requires the role admin")
    return principal.name
