"""Principals: who may ask, made and changed by an administrator or by the one who set the installation up."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from agentgrid.control import commands, policies
from agentgrid.control.keys import principal_of
from agentgrid.control.plane import Caller
from agentgrid.db import commands as commands_table
from agentgrid.db import principals as table
from agentgrid.db.session import reading, writing
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.principals import ANY_APPROVER, UNKNOWN_INITIATOR, Principal, PrincipalKind, Role
from agentgrid.errors import Conflict, Fault, InvalidInput

NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,126}")
RESERVED = frozenset({UNKNOWN_INITIATOR, ANY_APPROVER, "system"})
DECIDING = frozenset({Role.APPROVER})
"""Roles that only people may have."""


async def put(engine: AsyncEngine, caller: Caller, principal: Principal, *, disabled: bool = False) -> Principal:
    """Make the principal or change its roles and groups. Raises InvalidInput, Conflict for another kind than it has."""
    _check(principal)
    async with writing(engine) as session:
        before = await table.get(session, principal.name)
        if before is not None and before.kind != principal.kind:
            raise Conflict(f"{principal.name} is a {before.kind}; a principal's kind never changes", status=before.kind)
        await table.put(
            session,
            name=principal.name,
            kind=principal.kind.value,
            roles=sorted(principal.roles),
            groups=sorted(principal.groups),
            disabled=disabled,
        )
        wire = {
            "kind": principal.kind.value,
            "roles": sorted(principal.roles),
            "groups": sorted(principal.groups),
            "disabled": disabled,
        }
        command = await commands.new(session, caller, CommandKind.PRINCIPAL_PUT, target=principal.name, body=wire)
        await commands_table.insert_once(session, commands.applied(command))
        # Workers ask again who may decide, just before an approved call has its effect.
        await policies.publish(session)
    return principal


def _check(principal: Principal) -> None:
    faults = []
    if not NAME.fullmatch(principal.name) or principal.name in RESERVED:
        faults.append(
            Fault(
                pointer="/name",
                message="lower-case letters, digits and . _ @ + -, at most 127; some words are reserved",
            )
        )
    if principal.kind is not PrincipalKind.HUMAN and principal.roles & DECIDING:
        faults.append(Fault(pointer="/roles", message=f"a {principal.kind} never decides approvals"))
    for group in sorted(principal.groups):
        if not NAME.fullmatch(group) or group in RESERVED:
            faults.append(Fault(pointer="/groups", message=f"{group!r} is no name for a group"))
    if faults:
        raise InvalidInput("the principal is not acceptable", faults)


async def listed(engine: AsyncEngine) -> Sequence[Principal]:
    """Every principal, in the order of their names."""
    async with reading(engine) as session:
        return [principal_of(row) for row in await table.by_name(session)]
