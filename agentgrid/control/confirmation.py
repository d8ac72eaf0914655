"""Changes that need two administrators: granting the power to decide, and relaxing a rule that requires approval.

    proposed ── another administrator confirms it ──▶ applied
        └────── withdrawn, or not confirmed in time ─▶ refused

The first administrator's request is only recorded, as a command. `control/proposals.py` carries it out when a second one confirms it.
The two administrators must be two people: programs don't count, nor does anybody who issued the other's key. The command line on the
database's machine acts alone: its user could change every table anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentgrid.control import commands
from agentgrid.control.plane import Caller, principal_of
from agentgrid.db import commands as db_commands
from agentgrid.db import principals
from agentgrid.db.session import WriteSession
from agentgrid.db.tables import Command
from agentgrid.domain.commands import PROPOSAL_LIFETIME, CommandKind, CommandStatus
from agentgrid.domain.principals import SYSTEM, Permission, Principal, PrincipalKind
from agentgrid.errors import Conflict, Forbidden, SecondPersonNeeded

ALONE = "relaxed by one administrator alone: there was no second administrator to confirm it"

ADD_ADMINISTRATOR = (
    "create a second administrator, with their own key, on the database's machine "
    "(`agentgrid key create NAME --role admin`); there, one person can also grant roles, groups and keys"
)


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A change that needs two administrators."""

    kind: CommandKind
    target: str
    wish: dict[str, Any]
    """Everything needed to carry it out."""
    basis: Any
    """The state it was checked against, as JSON. If the state has changed, the proposal is not carried out."""
    shown: dict[str, Any]
    """What the second administrator sees before confirming."""
    reason: str | None = None


def acts_alone(caller: Caller) -> bool:
    """Whether this caller's changes need no confirmation."""
    return caller.principal.kind is PrincipalKind.SYSTEM


def is_person_administrator(principal: Principal) -> bool:
    """Whether the principal is a person with the role admin, who may confirm proposals."""
    return principal.kind is PrincipalKind.HUMAN and principal.may(Permission.ADMINISTER)


async def propose(session: WriteSession, caller: Caller, proposal: Proposal) -> Command:
    """Record a proposal for another administrator to confirm. Raises Forbidden for programs, SecondPersonNeeded if there is no other."""
    people = await _administrators(session)
    if caller.principal.kind is not PrincipalKind.HUMAN:
        raise Forbidden(f"this change requires two people, and {caller.principal.name} is a {caller.principal.kind}")
    if not people - {caller.principal.name}:
        raise SecondPersonNeeded(f"this change requires a second administrator, and there is none: {ADD_ADMINISTRATOR}")
    command = await commands.new(
        session,
        caller,
        proposal.kind,
        target=proposal.target,
        reason=proposal.reason,
        body={"wish": proposal.wish, "basis": proposal.basis},
        status=CommandStatus.PROPOSED.value,
        next_attempt_at=None,
    )
    expires_at = command.created_at + PROPOSAL_LIFETIME
    command.outcome = {
        "proposal": proposal.shown,
        "expires_at": expires_at.isoformat(),
        "message": f"nothing has changed yet: another administrator must confirm by {expires_at:%Y-%m-%d %H:%M} UTC, "
        f"with `agentgrid proposal confirm {command.command_id}`",
    }
    return (await commands.record(session, caller, command)).command


async def propose_unless_alone(session: WriteSession, caller: Caller, proposal: Proposal) -> Command | None:
    """Like `propose`, but returns None if there is no second administrator, in which case the caller may act alone.

    An administrator removed through the API still counts for the lifetime of a proposal: otherwise one could disable the other and act alone.
    """
    people = await _administrators(session)
    alone = not people - {caller.principal.name} or (
        caller.principal.kind is not PrincipalKind.HUMAN and len(people) < 2
    )
    if not alone:
        return await propose(session, caller, proposal)
    if await db_commands.administrator_removed_since(session, PROPOSAL_LIFETIME):
        raise SecondPersonNeeded(
            f"this change requires a second administrator, and the last one was disabled or lost the role less than "
            f"{PROPOSAL_LIFETIME.days} days ago: {ADD_ADMINISTRATOR}"
        )
    return None


async def record(
    session: WriteSession,
    caller: Caller,
    kind: CommandKind,
    outcome: dict[str, Any],
    *,
    confirmed: Command | None,
    target: str,
    reason: str | None,
) -> commands.Recorded:
    """Record a command that the session's transaction carries out: a new command, or the proposal that the caller has confirmed."""
    if confirmed is None:
        return await commands.apply(session, caller, kind, outcome, target=target, reason=reason)
    final = {"proposal": confirmed.outcome["proposal"], **outcome, "confirmed_by": caller.principal.name}
    applied = await db_commands.settle_proposal(
        session, confirmed.command_id, status=CommandStatus.APPLIED, outcome=final
    )
    return commands.Recorded(command=applied, replayed=False)


async def proposer(session: WriteSession, proposal: Command) -> Caller:
    """The proposer, with everybody who issued their key. Raises Conflict if they are no longer an administrator."""
    row = await principals.get(session, proposal.principal)
    key = None if proposal.key_id is None else await principals.key(session, proposal.key_id)
    may_propose = row is not None and row.disabled_at is None and is_person_administrator(principal_of(row))
    if row is None or not may_propose or (key is not None and key.revoked_at is not None):
        raise Conflict(
            f"{proposal.principal}, who made this proposal, is no longer an administrator, or their key was revoked: withdraw the proposal",
            status=proposal.status,
        )
    issuers = (SYSTEM,) if key is None else tuple(key.issuers)
    return Caller(principal=principal_of(row), key_id=proposal.key_id, issuers=issuers)


def check_basis(confirmed: Command | None, basis: Any) -> None:
    """Raise Conflict if the target has changed since the command was proposed."""
    if confirmed is not None and confirmed.body["basis"] != basis:
        raise Conflict(
            f"{confirmed.target} has changed since this was proposed: withdraw the proposal and make a new one",
            status=confirmed.status,
        )


async def _administrators(session: WriteSession) -> frozenset[str]:
    """The enabled administrators, people only."""
    people = [principal_of(row) for row in await principals.enabled(session)]
    return frozenset(person.name for person in people if is_person_administrator(person))
