"""Proposed commands: carried out when a second administrator confirms them, or withdrawn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from agentgrid.control import api_keys, commands, policies, principals
from agentgrid.control.confirmation import is_person_administrator, proposer
from agentgrid.control.plane import Caller
from agentgrid.db import commands as db_commands
from agentgrid.db import policies as db_policies
from agentgrid.db import principals as db_principals
from agentgrid.db.session import WriteSession, writing
from agentgrid.db.tables import Command
from agentgrid.domain.commands import PROPOSAL_LIFETIME, CommandKind, CommandStatus
from agentgrid.errors import Conflict, Forbidden, NotFound


@dataclass(frozen=True, kw_only=True)
class SettledProposal:
    """The command after it was confirmed or withdrawn."""

    command: Command
    secret: str = field(default="", repr=False)
    """The full API key, if the proposal created one. It can't be read again."""


Carrier = Callable[[WriteSession, Caller, Command], Awaitable[str]]
"""Carries out one kind of proposal for the confirming administrator. Returns a secret to show, or ""."""

CARRIERS: dict[CommandKind, Carrier] = {
    CommandKind.PRINCIPAL_PUT: principals.carry_out,
    CommandKind.PRINCIPAL_ENABLE: principals.carry_out,
    CommandKind.KEY_CREATE: api_keys.carry_out,
    CommandKind.POLICY_PUT: policies.carry_out,
    CommandKind.TOOL_POLICY: policies.carry_out,
    CommandKind.AGENT_POLICY: policies.carry_out,
    CommandKind.POLICY_WITHDRAW: policies.carry_out,
}


async def confirm(engine: AsyncEngine, caller: Caller, command_id: str, *, reason: str | None) -> SettledProposal:
    """Confirm the proposal as a second person, and carry it out.

    Raises NotFound; Forbidden if the caller isn't a second person; Conflict if it was withdrawn, has expired, or its target has changed.
    """
    async with writing(engine) as session:
        proposal, earlier = await _proposal(session, caller, command_id)
        if earlier:
            return SettledProposal(command=proposal)
        confirmed_by_caller = (proposal.outcome or {}).get("confirmed_by") == caller.principal.name
        if not confirmed_by_caller:
            _check_open(proposal)
            if proposal.created_at + PROPOSAL_LIFETIME <= await db_commands.clock(session):
                raise Conflict("the proposal has expired: make a new one", status="expired")
            await _check_second(session, caller, proposal)
        about = {"command_id": command_id, "kind": proposal.kind, "changed": not confirmed_by_caller}
        await commands.apply(session, caller, CommandKind.COMMAND_CONFIRM, about, target=command_id, reason=reason)
        if confirmed_by_caller:
            return SettledProposal(command=proposal)
        secret = await CARRIERS[CommandKind(proposal.kind)](session, caller, proposal)
        carried_out = await db_commands.get(session, command_id)
        assert carried_out is not None
        return SettledProposal(command=carried_out, secret=secret)


async def withdraw(engine: AsyncEngine, caller: Caller, command_id: str, *, reason: str | None) -> SettledProposal:
    """Withdraw the proposal. Raises NotFound, Conflict if it was already confirmed."""
    async with writing(engine) as session:
        proposal, earlier = await _proposal(session, caller, command_id)
        if earlier:
            return SettledProposal(command=proposal)
        changes = "withdrawn_by" not in (proposal.outcome or {})
        if changes:
            _check_open(proposal)
        about = {"command_id": command_id, "kind": proposal.kind, "changed": changes}
        await commands.apply(session, caller, CommandKind.COMMAND_WITHDRAW, about, target=command_id, reason=reason)
        if changes:
            who = caller.principal.name
            outcome = {
                "proposal": proposal.outcome["proposal"],
                "code": "withdrawn",
                "message": f"withdrawn by {who}",
                "withdrawn_by": who,
            }
            proposal = await db_commands.settle_proposal(
                session, command_id, status=CommandStatus.REFUSED, outcome=outcome
            )
        return SettledProposal(command=proposal)


async def _proposal(session: WriteSession, caller: Caller, command_id: str) -> tuple[Command, bool]:
    """The proposal, and whether the caller's request is a replay. Raises NotFound."""
    # Lock first, so that the second of two concurrent identical requests finds the first one's command.
    await db_policies.lock(session)
    earlier = await commands.replayed(session, caller)
    proposal = await db_commands.locked(session, command_id)
    if proposal is None or "proposal" not in (proposal.outcome or {}):
        raise NotFound("proposed command", command_id)
    return proposal, earlier is not None


def _check_open(proposal: Command) -> None:
    if proposal.status != CommandStatus.PROPOSED:
        why = (proposal.outcome or {}).get("message") or f"its status is {proposal.status}"
        raise Conflict(f"the proposal is closed: {why}", status=proposal.status)


async def _check_second(session: WriteSession, caller: Caller, proposal: Command) -> None:
    """Raise unless the caller and the proposer are two people, and the proposer is still an administrator."""
    me = caller.principal
    if not is_person_administrator(me):
        raise Forbidden(f"only a person with the role admin can confirm a proposal; {me.name} is not one")
    if me.name == proposal.principal:
        raise Forbidden("you made this proposal: another administrator must confirm it")
    first = await proposer(session, proposal)
    if shared := sorted(caller.persons & first.persons):
        raise Forbidden(
            f"{', '.join(shared)} issued your key or the proposer's, so both could be the same person: use a key created on the database's "
            f"machine with `agentgrid key create {me.name}`"
        )
    if programs := await db_principals.programs(session, caller.persons | first.persons):
        raise Forbidden(
            f"your key or the proposer's was issued by a program ({', '.join(programs)}), so you could be the same person"
        )
