"""Retiring and revoking signing keys. New approvals don't accept a retired key, but open approvals can still be decided with it. A revoked key is
no longer valid at all.

Neither can be undone: an API that starts with such a key doesn't register it, and logs an error. One command creates a new key.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from agentgrid.control import commands, snapshots
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import policies
from agentgrid.db import signing_keys as db_signing_keys
from agentgrid.db.session import WriteSession, reading, writing
from agentgrid.db.tables import Command, SigningKey
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.policies import KeyStatus
from agentgrid.errors import Conflict, NotFound


def status_of(key: SigningKey) -> KeyStatus:
    """Whether the key is in force, retired or revoked."""
    if key.revoked_at is not None:
        return KeyStatus.REVOKED
    return KeyStatus.RETIRED if key.retired_at is not None else KeyStatus.IN_FORCE


async def status(engine: AsyncEngine, key_id: str) -> KeyStatus | None:
    """The status of the key with this id; None if there is no such key."""
    async with reading(engine) as session:
        key = await db_signing_keys.get(session, key_id)
    return None if key is None else status_of(key)


async def retire(plane: ControlPlane, caller: Caller, key_id: str, *, reason: str | None) -> Command:
    """Retire the key: new terms don't name it. Raises NotFound; Conflict while an API signs with it, since new approvals couldn't be decided."""
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        key = await _locked(session, key_id)
        current = status_of(key)
        if current is KeyStatus.IN_FORCE and await db_signing_keys.in_use(session, [key_id]):
            raise Conflict(
                "an API process signs with this key: put another key first in its AGENTGRID_SIGNING_KEY_FILE and restart it",
                status=current,
            )
        return await _end(session, caller, CommandKind.SIGNING_KEY_RETIRE, key, current is KeyStatus.IN_FORCE, reason)


async def revoke(plane: ControlPlane, caller: Caller, key_id: str, *, reason: str | None) -> Command:
    """Revoke the key: its signatures no longer count. Works even while an API signs with it: a stolen key can't wait. Raises NotFound."""
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        key = await _locked(session, key_id)
        changes = status_of(key) is not KeyStatus.REVOKED
        return await _end(session, caller, CommandKind.SIGNING_KEY_REVOKE, key, changes, reason)


async def _locked(session: WriteSession, key_id: str) -> SigningKey:
    await policies.lock(session)
    key = await db_signing_keys.get(session, key_id)
    if key is None:
        raise NotFound("signing key", key_id)
    return key


async def _end(
    session: WriteSession, caller: Caller, kind: CommandKind, key: SigningKey, changes: bool, reason: str | None
) -> Command:
    recorded = await commands.apply(session, caller, kind, {"changed": changes}, target=key.key_id, reason=reason)
    if changes and not recorded.replayed:
        change = db_signing_keys.retire if kind is CommandKind.SIGNING_KEY_RETIRE else db_signing_keys.revoke
        await change(session, key.key_id)
        await snapshots.publish(session)
    return recorded.command
