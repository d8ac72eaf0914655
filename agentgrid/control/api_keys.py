"""API keys: `ag_<id>_<secret>`, shown once, stored only as SHA-256. All keys expire.

A key records its issuers: everybody who saw it, and everybody who saw the key it was created with. A key for a principal that can decide
approvals requires two administrators (`confirmation.py`); the secret is shown to the one who confirms.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from agentgrid.control import commands, confirmation, snapshots
from agentgrid.control.confirmation import Proposal
from agentgrid.control.plane import Caller, principal_of
from agentgrid.db import commands as db_commands
from agentgrid.db import policies, principals
from agentgrid.db.pool import Pool, direct
from agentgrid.db.session import WriteSession, reading, writing
from agentgrid.db.tables import ApiKey, Command, PrincipalRow
from agentgrid.domain.commands import CommandKind, CommandStatus
from agentgrid.domain.principals import SYSTEM, Principal
from agentgrid.errors import InvalidInput, InvalidPlace, NotFound, Unauthenticated

DEFAULT_LIFETIME = timedelta(days=90)
MAX_LIFETIME = timedelta(days=365)
KEY = re.compile(r"ag_([0-9a-z]{16})_([0-9a-zA-Z_-]{43})")
"""Key ids are not secret: lists and the audit log show them."""

LOOKS_LIKE_A_KEY = re.compile(r"ag_[0-9a-z]{16}_[0-9a-zA-Z_-]{20}")


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A new key with its secret."""

    key_id: str
    principal: str
    expires_at: datetime
    secret: str = field(repr=False)
    """The full key, as the caller must present it. Empty if an earlier identical request created it: the secret is not stored."""
    proposal: Command | None = None
    """The command that another administrator must confirm; until then the key does not exist."""


@dataclass(frozen=True, kw_only=True)
class Authenticated:
    """The principal behind a valid key."""

    principal: Principal
    key_id: str
    expires_at: datetime
    issuers: tuple[str, ...]


def secret_hash(key: str) -> str:
    """The stored hash of a key. Its 32 random bytes can't be guessed, so a fast hash is enough."""
    return hashlib.sha256(key.encode()).hexdigest()


async def create(
    engine: AsyncEngine, caller: Caller, *, principal: str, lifetime: timedelta = DEFAULT_LIFETIME, note: str = ""
) -> NewKey:
    """Create a key for the principal. If the principal may decide approvals, only propose it, for another administrator to confirm.

    Raises NotFound, InvalidInput, Forbidden if there is no other administrator.
    """
    if not timedelta(0) < lifetime <= MAX_LIFETIME:
        raise InvalidInput(
            "invalid key lifetime",
            [
                InvalidPlace(
                    pointer="/lifetime_seconds", message=f"must be positive, and at most {MAX_LIFETIME.days} days"
                )
            ],
        )
    async with writing(engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return _from_earlier(earlier)
        # Approver status and existing keys are checked under one lock: see `principals.put`.
        await policies.lock(session)
        owner = await principals.get(session, principal)
        if owner is None:
            raise NotFound("principal", principal)
        if principal_of(owner).approver_entries and not confirmation.acts_alone(caller):
            return _from_earlier(await _propose(session, caller, owner, lifetime, note))
        issuers = frozenset({SYSTEM}) if confirmation.acts_alone(caller) else caller.persons
        wish = {"key_id": _new_id(), "lifetime_seconds": lifetime.total_seconds(), "note": note}
        return await _make(session, caller, principal, wish, issuers=issuers)


async def _propose(
    session: WriteSession, caller: Caller, owner: PrincipalRow, lifetime: timedelta, note: str
) -> Command:
    key_id, seconds = _new_id(), lifetime.total_seconds()
    expires_at = (await db_commands.clock(session) + lifetime).isoformat()
    return await confirmation.propose(
        session,
        caller,
        Proposal(
            kind=CommandKind.KEY_CREATE,
            target=key_id,
            wish={"principal": owner.name, "key_id": key_id, "lifetime_seconds": seconds, "note": note},
            basis=_basis(owner),
            shown={"principal": owner.name, **_basis(owner), "lifetime_seconds": seconds, "expires_at": expires_at},
            reason=note or None,
        ),
    )


async def carry_out(session: WriteSession, caller: Caller, proposal: Command) -> str:
    """Create the proposed key on the caller's confirmation. Returns its secret, for the caller only."""
    wish = proposal.body["wish"]
    owner = await principals.get(session, wish["principal"])
    if owner is None:
        raise NotFound("principal", wish["principal"])
    confirmation.check_basis(proposal, _basis(owner))
    first = await confirmation.proposer(session, proposal)
    both = first.persons | caller.persons
    return (await _make(session, caller, owner.name, wish, issuers=both, confirmed=proposal)).secret


async def _make(
    session: WriteSession,
    caller: Caller,
    principal: str,
    wish: dict[str, Any],
    *,
    issuers: frozenset[str],
    confirmed: Command | None = None,
) -> NewKey:
    key_id, note = wish["key_id"], wish["note"]
    key = f"ag_{key_id}_{secrets.token_urlsafe(32)}"
    now = await db_commands.clock(session)
    expires_at = now + timedelta(seconds=wish["lifetime_seconds"])
    recorded = await confirmation.record(
        session,
        caller,
        CommandKind.KEY_CREATE,
        {"principal": principal, "expires_at": expires_at.isoformat()},
        confirmed=confirmed,
        target=key_id,
        reason=note or None,
    )
    if recorded.replayed:
        return _from_earlier(recorded.command)
    session.add(
        ApiKey(
            key_id=key_id,
            principal=principal,
            secret_hash=secret_hash(key),
            note=note,
            created_by=recorded.command.principal,
            issuers=sorted(issuers),
            created_at=now,
            expires_at=expires_at,
        )
    )
    return NewKey(key_id=key_id, principal=principal, expires_at=expires_at, secret=key)


def _new_id() -> str:
    return "".join(secrets.choice("0123456789abcdefghijklmnopqrstuvwxyz") for _ in range(16))


def _basis(owner: PrincipalRow) -> dict[str, Any]:
    """The basis of a proposed key: the rights of its owner."""
    return {"roles": sorted(owner.roles), "groups": sorted(owner.groups)}


def _from_earlier(command: Command) -> NewKey:
    proposed = command.status == CommandStatus.PROPOSED
    issued = command.outcome["proposal"] if proposed else command.outcome
    return NewKey(
        key_id=command.target or "",
        principal=issued["principal"],
        expires_at=datetime.fromisoformat(issued["expires_at"]),
        secret="",
        proposal=command if proposed else None,
    )


async def revoke(engine: AsyncEngine, caller: Caller, key_id: str, *, reason: str | None = None) -> Command:
    """Revoke the key; its open streams end, and decisions made with it no longer have an effect. Raises NotFound."""
    async with writing(engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        await policies.lock(session)
        key = await principals.revoke_key(session, key_id)
        if key is None:
            raise NotFound("API key", key_id)
        await snapshots.publish(session)
        await principals.notify_access_changed(session)
        recorded = await commands.apply(
            session, caller, CommandKind.KEY_REVOKE, {"principal": key.principal}, target=key_id, reason=reason
        )
        return recorded.command


async def get(engine: AsyncEngine, key_id: str) -> ApiKey:
    """One key. Raises NotFound."""
    async with reading(engine) as session:
        key = await principals.key(session, key_id)
    if key is None:
        raise NotFound("API key", key_id)
    return key


async def listed(engine: AsyncEngine, *, principal: str | None = None) -> Sequence[ApiKey]:
    """Keys, newest first, without their secrets, which are not stored."""
    async with reading(engine) as session:
        return await principals.keys(session, principal=principal)


async def authenticate(pool: Pool, presented: str) -> Authenticated:
    """The owner of this key. Raises Unauthenticated, with the same message whatever is wrong with the key."""
    invalid = Unauthenticated("the API key is unknown, expired or revoked")
    match = KEY.fullmatch(presented)
    if match is None:
        raise invalid
    key_id = match[1]
    async with direct(pool) as connection:
        owned = await principals.holder(connection, key_id)
        # The hash is always compared, first and in constant time, so that the response time reveals nothing about the secret.
        if owned is None or not hmac.compare_digest(owned.secret_hash, secret_hash(presented)) or not owned.valid:
            raise invalid
        if owned.use_is_unrecorded:
            await principals.record_use(connection, key_id)
    return Authenticated(
        principal=principal_of(owned.owner), key_id=key_id, expires_at=owned.expires_at, issuers=owned.issuers
    )


async def holder(pool: Pool, key_id: str) -> Principal | None:
    """The current owner of a key that was authenticated earlier, or None if it is no longer valid. For long-lived streams."""
    async with direct(pool) as connection:
        owned = await principals.holder(connection, key_id)
    return principal_of(owned.owner) if owned is not None and owned.valid else None


async def reauthenticate(pool: Pool, key_id: str) -> Authenticated | None:
    """Like `authenticate`, for a key that was authenticated earlier: None if it is no longer valid. Counts as a use of the key."""
    async with direct(pool) as connection:
        owned = await principals.holder(connection, key_id)
        if owned is None or not owned.valid:
            return None
        if owned.use_is_unrecorded:
            await principals.record_use(connection, key_id)
    return Authenticated(
        principal=principal_of(owned.owner), key_id=key_id, expires_at=owned.expires_at, issuers=owned.issuers
    )


def status_of(key: ApiKey, now: datetime) -> str:
    """The key's status: `live`, `expired` or `revoked`."""
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at <= now else "live"
