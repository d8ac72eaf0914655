"""Browser sessions: a cookie in place of a key, for people only. It has the key's rights, and ends with the key.

A session is opened with the key itself or with a code, which is made with the key and works once. Only hashes of codes and cookies are stored, and
a command about a session holds neither, nor a key.
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

AGAIN = "make another link with `agentgrid console --open`"


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
    """Unless it is used before."""


@dataclass(frozen=True, kw_only=True)
class NewSession(OpenSession):
    """A new session with its secret."""

    token: str = field(repr=False)
    """The cookie's value."""
    lasts_until: datetime
    """When it ends however much it is used."""


@dataclass(frozen=True, kw_only=True)
class NewCode:
    """A new sign-in code."""

    code: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Browser:
    """Where a session is opened."""

    address: str | None
    user_agent: str | None
    route: str


async def make_code(plane: ControlPlane, caller: Caller) -> NewCode:
    """A code for the caller's own principal, in place of the key that it called with. Raises Forbidden unless it is a person's."""
    _check_person(caller.principal)
    made = secrets.token_urlsafe(32)
    # Not idempotent: a repeated request must be shown a code, and the first one's is not stored.
    caller = replace(caller, idempotency_key=None, body=None)
    async with writing(plane.engine) as session:
        expires_at = await db_commands.clock(session) + CODE_LIFETIME
        await db_sessions.add_code(
            session, SignInCode(code_hash=secret_hash(made), key_id=caller.key_id or "", expires_at=expires_at)
        )
        outcome = {"expires_at": expires_at.isoformat()}
        await commands.apply(session, caller, CommandKind.SESSION_CODE, outcome, target=caller.key_id)
    return NewCode(code=made, expires_at=expires_at)


async def open_with_key(plane: ControlPlane, key: str, browser: Browser) -> NewSession:
    """A session in the key's place. Raises Unauthenticated, and Forbidden unless it is a person's key."""
    known = await api_keys.authenticate(plane.pool, key)
    try:
        _check_person(known.principal)
    except Forbidden as error:
        error.command_id = await commands.refuse(plane, _caller(known, browser), CommandKind.SESSION_OPEN, error)
        raise
    async with writing(plane.engine) as session:
        return await _open(session, known, browser)


async def open_with_code(plane: ControlPlane, code: str, browser: Browser) -> NewSession:
    """A session in the place of the key that the code was made with. Raises Unauthenticated; SignInCodeSpent if it was used or has expired."""
    hashed = secret_hash(code)
    async with reading(plane.engine) as session:
        found = await db_sessions.code(session, hashed)
    known = None if found is None else await api_keys.holding(plane.pool, found.key_id)
    async with writing(plane.engine) as session:
        if not await db_sessions.spend_code(session, hashed):
            raise await _why_not(session, hashed)
        if known is None:
            raise Unauthenticated(f"the key of this sign-in link has ended: {AGAIN}, and a key that is valid")
        _check_person(known.principal)
        return await _open(session, known, browser)


async def _why_not(session: WriteSession, code_hash: str) -> Unauthenticated:
    found = await db_sessions.code(session, code_hash)
    if found is None:
        return Unauthenticated(f"this sign-in link is unknown: {AGAIN}")
    if found.used_at is not None:
        return SignInCodeSpent(f"this sign-in link was used before: {AGAIN}")
    return SignInCodeSpent(f"this sign-in link has expired: {AGAIN}")


def _check_person(principal: Principal) -> None:
    if principal.kind is not PrincipalKind.HUMAN:
        raise Forbidden(
            f"programs use keys: {principal.name} is a {principal.kind}, and only people sign in to the console"
        )


def _caller(known: Authenticated, browser: Browser, session_id: str | None = None) -> Caller:
    return Caller(
        principal=known.principal,
        key_id=known.key_id,
        session_id=session_id,
        issuers=known.issuers,
        address=browser.address,
        route=browser.route,
    )


async def _open(session: WriteSession, known: Authenticated, browser: Browser) -> NewSession:
    session_id, token = new_id(), secrets.token_urlsafe(32)
    now = await db_commands.clock(session)
    lasts_until = min(now + LONGEST_LIFETIME, known.expires_at)
    expires_at = min(now + IDLE_LIFETIME, lasts_until)
    session.add(
        SessionRow(
            session_id=session_id,
            token_hash=secret_hash(token),
            key_id=known.key_id,
            opened_at=now,
            expires_at=expires_at,
            last_used_at=now,
            address=browser.address,
            user_agent=None if browser.user_agent is None else browser.user_agent[:MAX_USER_AGENT],
        )
    )
    outcome = {"expires_at": lasts_until.isoformat()}
    await commands.apply(
        session, _caller(known, browser, session_id), CommandKind.SESSION_OPEN, outcome, target=session_id
    )
    return NewSession(
        session_id=session_id,
        principal=known.principal,
        key_id=known.key_id,
        issuers=known.issuers,
        key_expires_at=known.expires_at,
        opened_at=now,
        expires_at=expires_at,
        token=token,
        lasts_until=lasts_until,
    )


async def authenticate(pool: Pool, token: str) -> OpenSession:
    """The session with this cookie. Raises Unauthenticated, with the same message for every reason it can have ended."""
    async with direct(pool) as connection:
        found = await db_sessions.by_token(connection, secret_hash(token))
        if found is None or not found.opens:
            raise Unauthenticated("you are signed out: sign in again")
        if found.unnoted:
            await db_sessions.note_use(connection, found.session_id)
            await principals.note_use(connection, found.key_id)
    return _session(found)


async def holder(pool: Pool, session_id: str) -> Principal | None:
    """The current owner of a session that was authenticated earlier, or None if it has ended. For long-lived streams."""
    async with direct(pool) as connection:
        found = await db_sessions.holder(connection, session_id)
    return principal_of(found.owner) if found is not None and found.opens else None


def _session(found: db_sessions.SessionHolder) -> OpenSession:
    return OpenSession(
        session_id=found.session_id,
        principal=principal_of(found.owner),
        key_id=found.key_id,
        issuers=found.issuers,
        key_expires_at=found.key_expires_at,
        opened_at=found.opened_at,
        expires_at=found.expires_at,
    )


async def close(plane: ControlPlane, caller: Caller) -> Command:
    """End the session that the caller uses: they sign out. Its streams end."""
    # Never replayed: an earlier request with the same idempotency key may have ended another session.
    caller = replace(caller, idempotency_key=None)
    return await _end(plane, caller, CommandKind.SESSION_CLOSE, caller.session_id or "")


async def end(plane: ControlPlane, caller: Caller, session_id: str, *, reason: str | None = None) -> Command:
    """End one of the caller's own sessions; with the permission to administer, anybody's. Its streams end. Raises NotFound."""
    return await _end(plane, caller, CommandKind.SESSION_END, session_id, reason=reason)


async def _end(
    plane: ControlPlane, caller: Caller, kind: CommandKind, session_id: str, *, reason: str | None = None
) -> Command:
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        found = await db_sessions.get(session, session_id)
        if found is None or not _may_see(caller.principal, found):
            raise NotFound("session", session_id)
        ended = await db_sessions.end(session, session_id)
        await principals.tell_access_changed(session)
        outcome = {"principal": found.principal, "key_id": found.row.key_id, "ended": ended}
        return (await commands.apply(session, caller, kind, outcome, target=session_id, reason=reason)).command


def _may_see(principal: Principal, found: Listed) -> bool:
    return found.principal == principal.name or principal.may(Permission.ADMINISTER)


async def get(session: ReadSession, principal: Principal, session_id: str) -> Listed:
    """One session that the principal may see. Raises NotFound."""
    found = await db_sessions.get(session, session_id)
    if found is None or not _may_see(principal, found):
        raise NotFound("session", session_id)
    return found


def whose(principal: Principal, wanted: str | None) -> str | None:
    """Whose sessions to list for the principal: its own, unless it administers. None: all principals'. Raises Forbidden."""
    if principal.may(Permission.ADMINISTER):
        return wanted
    if wanted not in (None, principal.name):
        raise Forbidden("you may list your own sessions; those of others require the role admin")
    return principal.name
