"""What takes two administrators: granting the power to decide, and lifting a rule that asks for approval.

    proposed ── another administrator confirms it ──▶ applied
        └────── withdrawn, or not confirmed in time ─▶ refused

The first one's request is recorded as a command, and nothing happens. `control/proposals.py` carries it out when a second one confirms it.
Two administrators are two people. Programs don't count, nor does anybody who issued the other's key. The command line on the database's
side acts alone: its user could change every table anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentgrid.control import commands
from agentgrid.control.plane import Caller, principal_of
from agentgrid.db import commands as commands_table
from agentgrid.db import principals
from agentgrid.db.session import WriteSession
from agentgrid.db.tables import Command
from agentgrid.domain.commands import PROPOSAL_LIFETIME, CommandKind, CommandStatus
from agentgrid.domain.principals import SYSTEM, Permission, Principal, PrincipalKind
from agentgrid.errors import Conflict, Forbidden, SecondPersonNeeded

ALONE = "lifted by one administrator alone: there was no second one who could have confirmed it"

HOW = (
    "have a second administrator made, with a key of their own, on the machine that owns the database "
    "(`agentgrid key create NAME --role admin`); roles, groups and keys can be given there by one person as well"
)


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What an administrator asks for that takes two."""

    kind: CommandKind
    target: str
    wish: dict[str, Any]
    """All that carrying it out needs."""
    basis: Any
    """The state that it was judged in, as JSON: in any other it is not carried out."""
    shown: dict[str, Any]
    """What the second administrator reads before they confirm."""
    reason: str | None = None


def acts_alone(caller: Caller) -> bool:
    """Whether nobody need confirm what this caller asks for."""
    return caller.principal.kind is PrincipalKind.SYSTEM


def is_person_administrator(principal: Principal) -> bool:
    """Whether this is somebody who may confirm."""
    return principal.kind is PrincipalKind.HUMAN and principal.may(Permission.ADMINISTER)


async def propose(session: WriteSession, caller: Caller, proposal: Proposal) -> Command:
    """Record what another administrator must confirm. Raises Forbidden for programs, SecondPersonNeeded where nobody could confirm it."""
    people = await _administrators(session)
    if caller.principal.kind is not PrincipalKind.HUMAN:
        raise Forbidden(f"this takes two people, and {caller.principal.name} is a {caller.principal.kind}")
    if not people - {caller.principal.name}:
        raise SecondPersonNeeded(f"this takes two administrators, and {caller.principal.name} is the only one: {HOW}")
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
        "message": f"nothing has changed yet: another administrator must confirm it before {expires_at:%Y-%m-%d %H:%M} UTC, "
        f"by `agentgrid proposal confirm {command.command_id}`",
    }
    return (await commands.record(session, caller, command)).command


async def propose_unless_alone(session: WriteSession, caller: Caller, proposal: Proposal) -> Command | None:
    """As `propose`; None where there is no second administrator, and the caller may act alone.

    An administrator who was taken away over the API counts for as long as a proposal lives: else one could first disable the other.
    """
    people = await _administrators(session)
    alone = not people - {caller.principal.name} or (
        caller.principal.kind is not PrincipalKind.HUMAN and len(people) < 2
    )
    if not alone:
        return await propose(session, caller, proposal)
    if await commands_table.administrator_removed_since(session, PROPOSAL_LIFETIME):
        raise SecondPersonNeeded(
            f"this takes two administrators, and the second one was disabled, or lost the role, in the last "
            f"{PROPOSAL_LIFETIME.days} days: {HOW}"
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
    """Record a command that the session's transaction carries out: a new one, or the proposed one that the caller has confirmed."""
    if confirmed is None:
        return await commands.apply(session, caller, kind, outcome, target=target, reason=reason)
    said = {"proposal": confirmed.outcome["proposal"], **outcome, "confirmed_by": caller.principal.name}
    applied = await commands_table.settle_proposal(
        session, confirmed.command_id, status=CommandStatus.APPLIED, outcome=said
    )
    return commands.Recorded(command=applied, replayed=False)


async def proposer(session: WriteSession, proposal: Command) -> Caller:
    """Who proposed it, with everybody who had a hand in their key. Raises Conflict where they may not administer any more."""
    row = await principals.get(session, proposal.principal)
    key = None if proposal.key_id is None else await principals.key(session, proposal.key_id)
    able = row is not None and row.disabled_at is None and is_person_administrator(principal_of(row))
    if row is None or not able or (key is not None and key.revoked_at is not None):
        raise Conflict(
            f"{proposal.principal}, who proposed it, is no administrator any more, or their key was revoked: withdraw it",
            status=proposal.status,
        )
    issuers = (SYSTEM,) if key is None else tuple(key.issuers)
    return Caller(principal=principal_of(row), key_id=proposal.key_id, issuers=issuers)


def check_basis(confirmed: Command | None, basis: Any) -> None:
    """Raise Conflict where what is to be carried out was proposed in another state."""
    if confirmed is not None and confirmed.body["basis"] != basis:
        raise Conflict(
            f"{confirmed.target} has changed since this was proposed: withdraw it, and propose it again",
            status=confirmed.status,
        )


async def _administrators(session: WriteSession) -> frozenset[str]:
    """The people who administer and are enabled."""
    people = [principal_of(row) for row in await principals.enabled(session)]
    return frozenset(person.name for person in people if is_person_administrator(person))
