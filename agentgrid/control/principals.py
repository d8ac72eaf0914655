"""Principals: who may ask, made and changed by an administrator or by the one who set the installation up.

Whoever hands out authority must not be able to use it: an administrator never decides approvals, nobody makes themselves an approver, and
nobody becomes one while somebody else has seen a key of theirs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncEngine

from agentgrid.control import commands, policies
from agentgrid.control.keys import principal_of
from agentgrid.control.plane import Caller
from agentgrid.db import policies as policies_table
from agentgrid.db import principals as table
from agentgrid.db.session import WriteSession, reading, writing
from agentgrid.db.tables import Command, PrincipalRow
from agentgrid.domain import scopes
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.principals import (
    ANY_APPROVER,
    SYSTEM,
    UNKNOWN_INITIATOR,
    Permission,
    Principal,
    PrincipalKind,
    Role,
)
from agentgrid.errors import Conflict, Fault, Forbidden, InvalidInput, NotFound

NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,126}")
RESERVED = frozenset({UNKNOWN_INITIATOR, ANY_APPROVER, SYSTEM})
DECIDING = frozenset({Role.APPROVER})
"""Roles that only people may have, and no administrators."""


async def put(
    engine: AsyncEngine, caller: Caller, principal: Principal, *, keep_scope: bool = False, reason: str = ""
) -> Command:
    """Make the principal, or replace its roles, groups and scope; whether it is disabled stays as it is, and with `keep_scope` its scope too.

    Raises InvalidInput, Forbidden where somebody would make themselves an approver, Conflict for another kind than it has, for keys that
    others have seen, and for the last administrator.
    """
    _check(principal)
    async with writing(engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        await policies_table.lock(session)
        row = await table.get(session, principal.name)
        before = None if row is None else principal_of(row)
        if before is not None and before.kind != principal.kind:
            raise Conflict(f"{principal.name} is a {before.kind}; a principal's kind never changes", status=before.kind)
        if before is not None and keep_scope:
            principal = replace(principal, workflows=before.workflows)
        if principal.roles & DECIDING and not (before and before.roles & DECIDING):
            await _check_promotion(session, caller, principal.name)
        if not principal.may(Permission.ADMINISTER):
            await _keep_an_administrator(session, without=principal.name)
        rights = {name: sorted(getattr(principal, name)) for name in ("roles", "groups", "workflows")}
        changes = before != principal
        recorded = await commands.apply(
            session,
            caller,
            CommandKind.PRINCIPAL_PUT,
            {"kind": principal.kind.value, **rights, "changed": changes},
            target=principal.name,
            reason=reason or None,
        )
        if changes and not recorded.replayed:
            await table.put(session, name=principal.name, kind=principal.kind.value, **rights)
            await _tell(session)
        return recorded.command


async def set_disabled(
    engine: AsyncEngine, caller: Caller, name: str, disabled: bool, *, reason: str | None = None
) -> Command:
    """Let the principal do nothing from now on (its keys, streams and decisions that are under way too), or all that it may again.

    Raises NotFound, Conflict for the last administrator.
    """
    async with writing(engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        await policies_table.lock(session)
        row = await table.get(session, name)
        if row is None:
            raise NotFound("principal", name)
        if disabled:
            await _keep_an_administrator(session, without=name)
        kind = CommandKind.PRINCIPAL_DISABLE if disabled else CommandKind.PRINCIPAL_ENABLE
        changes = disabled != (row.disabled_at is not None)
        recorded = await commands.apply(session, caller, kind, {"changed": changes}, target=name, reason=reason)
        if changes and not recorded.replayed:
            await table.set_disabled(session, name, disabled)
            await _tell(session)
        return recorded.command


async def get(engine: AsyncEngine, name: str) -> Principal | None:
    """One principal."""
    async with reading(engine) as session:
        row = await table.get(session, name)
    return None if row is None else principal_of(row)


async def listed(engine: AsyncEngine) -> Sequence[Principal]:
    """Every principal, in the order of their names."""
    async with reading(engine) as session:
        return [principal_of(row) for row in await table.by_name(session)]


async def _tell(session: WriteSession) -> None:
    """Workers ask again who may decide just before an approved call has its effect; streams ask whether they may go on."""
    await policies.publish(session)
    await table.tell_access_changed(session)


async def _check_promotion(session: WriteSession, caller: Caller, name: str) -> None:
    if caller.principal.kind is PrincipalKind.SYSTEM:
        return
    if caller.principal.name == name:
        raise Forbidden("nobody makes themselves an approver")
    seen = await table.live_keys_seen_by_others(session, name)
    if seen:
        raise Conflict(
            f"whoever made a key of {name} could decide with it: revoke {', '.join(seen)} first, then have an approver's key "
            f"made on the database's side, by `agentgrid key create {name}`"
        )


async def _keep_an_administrator(session: WriteSession, *, without: str) -> None:
    admins = {row.name for row in await table.enabled(session) if _administers(row)}
    if admins == {without}:
        raise Conflict(f"{without} is the last administrator who is enabled: make another one first")


def _administers(row: PrincipalRow) -> bool:
    return principal_of(row).may(Permission.ADMINISTER)


def _check(principal: Principal) -> None:
    faults = []
    if not NAME.fullmatch(principal.name) or principal.name in RESERVED:
        faults.append(
            Fault(
                pointer="/name",
                message="lower-case letters, digits and . _ @ + -, at most 127; some words are reserved",
            )
        )
    if principal.kind is PrincipalKind.SYSTEM:
        faults.append(Fault(pointer="/kind", message="`system` is AgentGrid itself"))
    if principal.kind is not PrincipalKind.HUMAN and principal.roles & DECIDING:
        faults.append(Fault(pointer="/roles", message=f"a {principal.kind} never decides approvals"))
    if Role.ADMIN in principal.roles and principal.roles & DECIDING:
        faults.append(Fault(pointer="/roles", message="an administrator never decides approvals: make two principals"))
    for group in sorted(principal.groups):
        if not NAME.fullmatch(group) or group in RESERVED:
            faults.append(Fault(pointer="/groups", message=f"{group!r} is no name for a group"))
    wrong = [said for glob in sorted(principal.workflows) if (said := scopes.fault(glob)) is not None]
    faults += [Fault(pointer="/workflows", message=said) for said in wrong]
    if faults:
        raise InvalidInput("the principal is not acceptable", faults)
