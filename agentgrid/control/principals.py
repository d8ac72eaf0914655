"""Principals, created and changed by administrators or by the installation's owner.

Those who grant authority must not be able to use it: administrators never decide approvals, nobody can make themselves an approver, and
nobody becomes one while somebody else has seen one of their keys. Granting the power to decide requires two administrators
(`confirmation.py`); removing it requires one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from agentgrid.control import commands, confirmation, snapshots
from agentgrid.control.confirmation import Proposal
from agentgrid.control.plane import Caller, principal_of
from agentgrid.db import policies
from agentgrid.db import principals as db_principals
from agentgrid.db.session import WriteSession, reading, writing
from agentgrid.db.tables import Command, PrincipalRow
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.principals import Permission, Principal, PrincipalKind, Role, faults_of
from agentgrid.errors import Conflict, Forbidden, InvalidInput, NotFound


async def put(
    engine: AsyncEngine, caller: Caller, principal: Principal, *, keep_scope: bool = False, reason: str = ""
) -> Command:
    """Create the principal, or replace its roles, groups and scope. `disabled` is unchanged, as is the scope with `keep_scope`.

    If the principal could decide more than before, the command is `proposed`, for another administrator to confirm. Raises InvalidInput;
    Forbidden if the caller would become an approver or there is no other administrator; Conflict for a different kind, a name that is both
    principal and group, keys that others have seen, and the last administrator.
    """
    _check(principal)
    async with writing(engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        await policies.lock(session)
        if keep_scope and (row := await db_principals.get(session, principal.name)) is not None:
            principal = replace(principal, workflows=principal_of(row).workflows)
        return await _put(session, caller, principal, reason=reason or None)


async def _put(
    session: WriteSession,
    caller: Caller,
    principal: Principal,
    *,
    reason: str | None,
    confirmed: Command | None = None,
) -> Command:
    await _check_names(session, principal)
    row = await db_principals.get(session, principal.name)
    before = None if row is None else principal_of(row)
    if before is not None and before.kind != principal.kind:
        raise Conflict(f"{principal.name} is a {before.kind}; a principal's kind can't be changed", status=before.kind)
    gains = sorted(principal.gains_over(before))
    if gains:
        await _check_promotion(session, caller, principal, before)
    if not principal.may(Permission.ADMINISTER):
        await _keep_an_administrator(session, without=principal.name)
    basis = _as_json(row)
    confirmation.check_basis(confirmed, basis)
    wish: dict[str, Any] = {
        "kind": principal.kind.value,
        "roles": sorted(role.value for role in principal.roles),
        "groups": sorted(principal.groups),
        "workflows": sorted(principal.workflows),
    }
    if gains and confirmed is None and not confirmation.acts_alone(caller):
        return await confirmation.propose(
            session,
            caller,
            Proposal(
                kind=CommandKind.PRINCIPAL_PUT,
                target=principal.name,
                wish=wish,
                basis=basis,
                shown={**wish, "before": basis, "gains": gains},
                reason=reason,
            ),
        )
    changes = before != principal
    removed = _removes_administrator(row) if changes and not principal.may(Permission.ADMINISTER) else {}
    recorded = await confirmation.record(
        session,
        caller,
        CommandKind.PRINCIPAL_PUT,
        {**wish, "changed": changes, **removed},
        confirmed=confirmed,
        target=principal.name,
        reason=reason,
    )
    if changes and not recorded.replayed:
        await db_principals.put(session, name=principal.name, **wish)
        await _notify(session)
    return recorded.command


async def set_disabled(
    engine: AsyncEngine, caller: Caller, name: str, disabled: bool, *, reason: str | None = None
) -> Command:
    """Disable or enable the principal, including its keys, streams and pending decisions.

    Enabling a principal who may decide requires another administrator: the command is `proposed`. Raises NotFound, Forbidden if there
    is no other administrator, Conflict for the last administrator.
    """
    async with writing(engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        await policies.lock(session)
        return await _set_disabled(session, caller, name, disabled, reason=reason)


async def _set_disabled(
    session: WriteSession,
    caller: Caller,
    name: str,
    disabled: bool,
    *,
    reason: str | None,
    confirmed: Command | None = None,
) -> Command:
    row = await db_principals.get(session, name)
    if row is None:
        raise NotFound("principal", name)
    if disabled:
        await _keep_an_administrator(session, without=name)
    kind = CommandKind.PRINCIPAL_DISABLE if disabled else CommandKind.PRINCIPAL_ENABLE
    changes = disabled != (row.disabled_at is not None)
    gains = [] if disabled else sorted(principal_of(row).approver_entries)
    basis = _as_json(row)
    confirmation.check_basis(confirmed, basis)
    if changes and gains and confirmed is None and not confirmation.acts_alone(caller):
        shown = {"before": basis, "gains": gains}
        return await confirmation.propose(
            session, caller, Proposal(kind=kind, target=name, wish={}, basis=basis, shown=shown, reason=reason)
        )
    removed = _removes_administrator(row) if changes and disabled else {}
    recorded = await confirmation.record(
        session, caller, kind, {"changed": changes, **removed}, confirmed=confirmed, target=name, reason=reason
    )
    if changes and not recorded.replayed:
        await db_principals.set_disabled(session, name, disabled)
        await _notify(session)
    return recorded.command


async def carry_out(session: WriteSession, caller: Caller, proposal: Command) -> str:
    """Carry out a proposal on the caller's confirmation. It is checked again, like a new request."""
    name, wish = proposal.target or "", proposal.body["wish"]
    if proposal.kind == CommandKind.PRINCIPAL_ENABLE:
        await _set_disabled(session, caller, name, False, reason=proposal.reason, confirmed=proposal)
        return ""
    principal = Principal(
        name=name,
        kind=PrincipalKind(wish["kind"]),
        roles=frozenset(Role(role) for role in wish["roles"]),
        groups=frozenset(wish["groups"]),
        workflows=frozenset(wish["workflows"]),
    )
    _check(principal)
    await _put(session, caller, principal, reason=proposal.reason, confirmed=proposal)
    return ""


async def get(engine: AsyncEngine, name: str) -> Principal | None:
    """One principal."""
    async with reading(engine) as session:
        row = await db_principals.get(session, name)
    return None if row is None else principal_of(row)


async def listed(engine: AsyncEngine) -> Sequence[Principal]:
    """All principals, by name."""
    async with reading(engine) as session:
        return [principal_of(row) for row in await db_principals.by_name(session)]


async def _notify(session: WriteSession) -> None:
    """Notify workers, which check the decider again just before an approved call, and streams, which check their own access."""
    await snapshots.publish(session)
    await db_principals.notify_access_changed(session)


async def _check_promotion(
    session: WriteSession, caller: Caller, promoted: Principal, before: Principal | None
) -> None:
    if confirmation.acts_alone(caller):
        return
    name = promoted.name
    if name in caller.persons:
        raise Forbidden("nobody can make themselves an approver")
    if before is not None and before.may(Permission.DECIDE):
        return
    exposed = await db_principals.live_keys_seen_by_others(session, name)
    if exposed:
        raise Conflict(
            f"other people have seen keys of {name} and could decide with them: revoke {', '.join(exposed)} first; an approver's key must be "
            f"created by two administrators, or on the database's machine with `agentgrid key create {name}`"
        )


def _removes_administrator(row: PrincipalRow | None) -> dict[str, Any]:
    """Outcome fields that record the removal of an administrator, so that the remaining one can't act alone immediately."""
    if row is None or row.disabled_at is not None or not confirmation.is_person_administrator(principal_of(row)):
        return {}
    return {"administrator_removed": True}


def _as_json(row: PrincipalRow | None) -> dict[str, Any] | None:
    """The basis of a proposal about the principal."""
    if row is None:
        return None
    rights = {"roles": sorted(row.roles), "groups": sorted(row.groups), "workflows": sorted(row.workflows)}
    return {**rights, "disabled": row.disabled_at is not None}


async def _keep_an_administrator(session: WriteSession, *, without: str) -> None:
    admins = {row.name for row in await db_principals.enabled(session) if _administers(row)}
    if admins == {without}:
        raise Conflict(f"{without} is the last enabled administrator: create another one first")


async def _check_names(session: WriteSession, principal: Principal) -> None:
    """Approver lists name both principals and groups, so a name may not be both."""
    ambiguous = await db_principals.also_names(session, name=principal.name, groups=sorted(principal.groups))
    if ambiguous:
        raise Conflict(
            f"{', '.join(ambiguous)} can't be both a principal and a group, because approver lists name both: choose another name"
        )


def _administers(row: PrincipalRow) -> bool:
    return principal_of(row).may(Permission.ADMINISTER)


def _check(principal: Principal) -> None:
    if faults := faults_of(principal):
        raise InvalidInput("invalid principal", faults)
