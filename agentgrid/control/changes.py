"""Approving a tool call with changed arguments: every check that can be made here before anything is signed.

The tool's schema is in the catalog. Its own `check` is code, so it runs only in the worker, which refuses invalid arguments and requests approval
again. If the rule requires a second person, an approver's changed arguments are recorded as a proposal: a command that signs and sends nothing.
Another approver then approves exactly these arguments, and the decision names both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agentgrid.control import commands
from agentgrid.control.inputs import InputPlace
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import approvals, principals, tools
from agentgrid.db.pool import direct
from agentgrid.db.session import reading
from agentgrid.db.tables import Approval, Command
from agentgrid.domain.approvals import ARGUMENTS, ApprovalKind, Changes, Terms, changed_digest
from agentgrid.errors import AgentGridError, Conflict, Forbidden, InvalidInput, InvalidPlace

PLACE = InputPlace(pointer="/arguments", subject="the arguments", whose="the tool's", verb="do")


@dataclass(frozen=True, kw_only=True)
class ChangedCall:
    """Arguments that fit the tool's schema, and the digest of the call with them."""

    arguments: dict[str, Any]
    digest: str


async def checked(plane: ControlPlane, approval: Approval, arguments: dict[str, Any]) -> ChangedCall:
    """Check an approver's arguments. Raises InvalidInput, with a JSON pointer for each fault; Conflict if the approval doesn't take any."""
    terms = Terms.model_validate(approval.terms)
    if terms.kind is not ApprovalKind.TOOL or terms.tool is None or terms.tool_version is None:
        raise Conflict(
            "only the arguments of a tool call can be changed: approve or reject this request as it is",
            status=approval.status,
        )
    if ARGUMENTS not in terms.takes:
        raise Conflict(
            "the worker that requested this approval is too old for changed arguments: update it, or approve or reject the call as it is",
            status=approval.status,
        )
    async with reading(plane.engine) as session:
        tool = await tools.get(session, terms.tool)
    if tool is None or tool.version != terms.tool_version:
        raise Conflict(
            f"the catalog has another version of {terms.tool} than the worker that requested this approval, so changed arguments can't be "
            "checked: approve or reject the call as it is",
            status=approval.status,
        )
    await plane.checker.check(f"tool:{tool.name}", tool.version, tool.input_schema, arguments, place=PLACE)
    digest = changed_digest(terms, arguments)
    if digest is None:
        message = "contains an integer that is too large to sign exactly: the maximum is 2^53"
        raise InvalidInput("the arguments can't be signed", [InvalidPlace(pointer="/arguments", message=message)])
    if digest == approval.digest:
        message = "same as the call's own arguments: omit `arguments` to approve the call unchanged"
        raise InvalidInput("the arguments are unchanged", [InvalidPlace(pointer="/arguments", message=message)])
    return ChangedCall(arguments=arguments, digest=digest)


@dataclass(frozen=True, kw_only=True)
class ChangeRequest:
    """A change that an approver requests, and the other approver's proposal that it confirms, if any."""

    change: ChangedCall
    proposal: Command | None = None
    proposes: bool = False
    """The rule requires a second person, and nobody else has proposed these arguments: this request is the proposal."""


Refusal = Callable[[Caller], AgentGridError | None]
"""Why a caller may never decide the approval, or None."""


async def requested(
    plane: ControlPlane, caller: Caller, approval: Approval, arguments: dict[str, Any], *, no_approver: Refusal
) -> ChangeRequest:
    """The checked change. Raises InvalidInput, Conflict and, if these arguments were proposed but no proposal counts, Forbidden."""
    change = await checked(plane, approval, arguments)
    if Terms.model_validate(approval.terms).changes is not Changes.SECOND_PERSON:
        return ChangeRequest(change=change)
    async with direct(plane.pool) as connection:
        proposals = await approvals.proposals_of(
            connection, approval.approval_id, digest=change.digest, but_by=caller.principal.name
        )
    reasons: list[str] = []
    for proposal in proposals:
        reason = await _why_not(plane, caller, proposal, no_approver)
        if reason is None:
            return ChangeRequest(change=change, proposal=proposal)
        reasons.append(reason)
    if reasons:
        raise Forbidden(reasons[0])
    return ChangeRequest(change=change, proposes=True)


async def _why_not(plane: ControlPlane, caller: Caller, proposal: Command, no_approver: Refusal) -> str | None:
    """Why the proposal doesn't count for this caller, or None. Two people are required, and both must be able to decide the approval now."""
    try:
        proposer = await commands.current_caller(plane, proposal)
    except Forbidden as error:
        return f"the proposal of these arguments doesn't count: {error.message}"
    if (refused := no_approver(proposer)) is not None:
        return f"{proposal.principal}, who proposed these arguments, may not decide this approval: {refused.message}"
    if shared := sorted(caller.persons & proposer.persons):
        return (
            f"{', '.join(shared)} issued your key or the proposer's, so both could be the same person: use a key created on the database's "
            f"machine with `agentgrid key create {caller.principal.name}`"
        )
    async with reading(plane.engine) as session:
        programs = await principals.programs(session, caller.persons | proposer.persons)
    if programs:
        return f"your key or the proposer's was issued by a program ({', '.join(programs)}), so you could be the same person"
    return None
