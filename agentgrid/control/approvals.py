"""Deciding an approval: every check that can be made here, then a signed decision, sent as a signal to exactly one execution.

This module decides only whether the decision may be made and by whom. `judge` in the workflow decides whether it counts: the command becomes
`applied` or `superseded` when the projector has seen the outcome.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from agentgrid.control import changes, commands
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.control.rpc import asked
from agentgrid.control.signing import Signer
from agentgrid.db import approvals as db_approvals
from agentgrid.db import commands as db_commands
from agentgrid.db.pool import direct
from agentgrid.db.session import writing
from agentgrid.db.tables import Approval, Command
from agentgrid.domain.approval_status import ApprovalStatus
from agentgrid.domain.approvals import (
    COMMENT,
    ISSUERS,
    MAX_DECISION_BYTES,
    ApprovalKind,
    Decision,
    SignedDecision,
    Terms,
    Verdict,
)
from agentgrid.domain.canonical import digest
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.principals import UNKNOWN_INITIATOR, Permission, no_decider
from agentgrid.domain.scopes import EVERY_WORKFLOW
from agentgrid.errors import AgentGridError, Conflict, Forbidden, InvalidInput, InvalidPlace, NotFound, Unavailable
from agentgrid.protocol import SIGNAL_DECIDE, to_payload
from agentgrid.temporal import rpc


@dataclass(frozen=True, kw_only=True)
class DecisionRequest:
    """One person's verdict, and the digest that they were shown."""

    verdict: Verdict
    digest: str
    comment: str | None = None
    arguments: dict[str, Any] | None = None
    """The arguments to call the tool with instead; only with an approval."""


@dataclass(frozen=True, kw_only=True)
class DecisionCommand:
    """A decision's command, created now or earlier under the same idempotency key."""

    command: Command
    found: db_approvals.ApprovalFacts | None = None
    """The approval at the time of the decision; None for a replay, since the approval may have changed since."""


def signer_for(plane: ControlPlane, found: db_approvals.ApprovalFacts) -> Signer | None:
    """The key that would sign a decision on the approval, or None if this API has none that counts."""
    return plane.signer.under(found.terms, revoked=found.revoked_keys)


def no_approver(caller: Caller, found: db_approvals.ApprovalFacts) -> Forbidden | None:
    """Why this caller may never decide this approval, or None if they may. Ignores the approval's current state."""
    approval, principal = found.approval, caller.principal
    if (why := no_decider(principal)) is not None:
        return Forbidden(why)
    terms = found.terms
    starters = {approval.initiator, found.run.initiator}
    if principal.name in starters:
        return Forbidden(f"{principal.name} started the run, and so can't decide its approvals")
    if principal.name in {*terms.issuers, *found.run.issuers}:
        return Forbidden(f"{principal.name} issued the key that started the run, and so can't decide its approvals")
    # After what nothing can change: the role would not help those who started the run.
    if not principal.may(Permission.DECIDE):
        return Forbidden("deciding requires the role approver")
    if shared := sorted(caller.persons & {*starters, *terms.issuers, *found.run.issuers}):
        return Forbidden(
            f"the key of {principal.name} was issued by {', '.join(shared)}, who took part in starting the run: use a key created on the "
            f"machine that owns the database, by `agentgrid key create {principal.name}`"
        )
    if caller.persons & terms.changers:
        key = f" with a key that {', '.join(terms.changed_issuers)} issued" if terms.changed_issuers else ""
        return Forbidden(
            f"{terms.changed_by} changed the arguments of this call{key}, and the rule wants a second person for changes: another approver decides"
        )
    if principal.approver_entry(tuple(approval.approvers)) is None:
        return Forbidden(f"this approval is for {', '.join(approval.approvers)}")
    return None


def obstacle(caller: Caller, found: db_approvals.ApprovalFacts, signer: Signer | None) -> AgentGridError | None:
    """Why this caller can't decide the approval now, or None if they can. Every check is made here."""
    approval = found.approval
    if (forbidden := no_approver(caller, found)) is not None:
        return forbidden
    if approval.status != ApprovalStatus.PENDING:
        return Conflict(f"the approval is {approval.status}; only a pending one can be decided", status=approval.status)
    if approval.expires_at is not None and approval.expires_at <= found.now:
        return Conflict("the approval has expired", status=ApprovalStatus.EXPIRED)
    if found.run.initiator not in (approval.initiator, UNKNOWN_INITIATOR):
        return Conflict(
            f"{found.run.initiator} started the run, but the approval names {approval.initiator or 'nobody'} as its initiator, and so can't be "
            "decided: cancel the run",
            status=approval.status,
        )
    if not approval.decidable:
        return Conflict("the gate is not open yet; try again in a moment", status=approval.status)
    if signer is None:
        return Conflict(
            "this API has no signing key that is valid for this approval: append the key that was in use when it opened to "
            "AGENTGRID_SIGNING_KEY_FILE, unless it was revoked, or cancel the run",
            status=approval.status,
        )
    return None


def shown_exactly(approval: Approval) -> bool:
    """Whether the signed digest covers exactly the payload that people are shown, recomputed from that payload."""
    payload, terms = approval.payload, Terms.model_validate(approval.terms)
    if not isinstance(payload, dict) or not payload.keys() & {"value", "values"}:
        return False
    value = payload.get("value")
    if terms.kind is ApprovalKind.EXPLICIT:
        candidates: list[Any] = [[terms.title, value]]
    else:
        candidates = [[terms.tool, terms.tool_version, value]]
        if terms.tool_version is None:
            # A plain activity's digest covers the list of its arguments; history may show a single one by itself.
            candidates.append([terms.tool, None, payload.get("values", [value])])
    try:
        return any(digest(candidate) == terms.digest for candidate in candidates)
    except ValueError:
        return False


async def decide(plane: ControlPlane, caller: Caller, approval_id: str, request: DecisionRequest) -> DecisionCommand:
    """Record, sign and send a decision. Raises NotFound, Forbidden, Conflict, Unavailable."""
    async with direct(plane.pool) as connection:
        asked_before = await db_commands.is_asked_before(
            connection, principal=caller.principal.name, route=caller.route, key=caller.idempotency_key
        )
        found = await db_approvals.get(connection, approval_id, scope=caller.principal.workflows)
    if asked_before:
        async with writing(plane.engine) as session:
            if (earlier := await commands.replayed(session, caller)) is not None:
                return DecisionCommand(command=earlier)
    if found is None:
        raise NotFound("approval", approval_id)
    approval, signer = found.approval, signer_for(plane, found)
    if (error := obstacle(caller, found, signer)) is not None:
        raise error
    assert signer is not None  # otherwise there was an obstacle
    if request.digest != approval.digest:
        raise Conflict(
            "the digest does not match the pending approval; read the approval again", status=approval.status
        )
    if request.verdict is Verdict.APPROVED and not shown_exactly(approval):
        raise Conflict(
            "the shown payload is not exactly what the worker's digest covers, so the approval can only be rejected; "
            "if a plain activity's arguments change in conversion, make it a tool",
            status=approval.status,
        )
    change = await _change(plane, caller, found, request)
    proposes = change is not None and change.proposes
    command = commands.made(
        caller,
        CommandKind.APPROVAL_PROPOSE if proposes else CommandKind.APPROVAL_DECIDE,
        found.now,
        run_id=approval.run_id,
        execution_id=approval.execution_id,
        approval_id=approval_id,
        reason=request.comment,
    )
    signed = _signed(signer, caller, approval, request, command, change)
    command.body = {
        "verdict": request.verdict.value,
        "digest": request.digest,
        "workflow_id": found.run.workflow_id,
        # Of a proposal nothing is kept that could be sent.
        **({} if proposes else {"signed": signed.model_dump(mode="json")}),
        **({} if change is None else {"changed": asdict(change.change)}),
    }
    if proposes:
        command = commands.applied(command, {"message": "another approver must approve exactly these arguments"})
    async with plane.changing() as connection:
        recorded = await db_commands.record(connection, command)
    if not recorded:
        async with writing(plane.engine) as session:
            return DecisionCommand(command=await commands.first_of_equals(session, caller))
    if proposes:
        return DecisionCommand(command=command, found=found)
    return DecisionCommand(command=await commands.deliver(plane, command, deliver_decision), found=found)


async def _change(
    plane: ControlPlane, caller: Caller, found: db_approvals.ApprovalFacts, request: DecisionRequest
) -> changes.ChangeRequest | None:
    if request.arguments is None:
        return None
    if request.verdict is not Verdict.APPROVED:
        fault = InvalidPlace(pointer="/arguments", message="only an approval can change arguments")
        raise InvalidInput("a rejection changes nothing", [fault])
    return await changes.asked(
        plane, caller, found.approval, request.arguments, no_approver=lambda proposer: no_approver(proposer, found)
    )


def _signed(
    signer: Signer,
    caller: Caller,
    approval: Approval,
    request: DecisionRequest,
    command: Command,
    asked: changes.ChangeRequest | None,
) -> SignedDecision:
    """The signed decision. Raises InvalidInput if it is too long for the signal that carries it."""
    terms = Terms.model_validate(approval.terms)
    entry = caller.principal.approver_entry(terms.approvers)
    if entry is None:
        raise Forbidden(f"this approval is for {', '.join(terms.approvers)}")
    proposal = None if asked is None else asked.proposal
    alone = asked is not None and proposal is None
    issuers = tuple(sorted(caller.persons - {caller.principal.name})) if alone else ()
    decision = Decision(
        namespace=terms.namespace,
        workflow_id=terms.workflow_id,
        execution_id=terms.execution_id,
        approval_id=terms.approval_id,
        digest=terms.digest if asked is None else asked.change.digest,
        key=terms.key or "",
        policy=terms.policy,
        verdict=request.verdict,
        principal=caller.principal.name,
        approver=entry,
        decided_at=command.created_at,
        nonce=command.command_id,
        key_id=signer.key_id,
        # An older worker would ignore a decision that carries a comment. The command keeps it in any case.
        comment=(request.comment or None) if COMMENT in terms.takes else None,
        arguments=None if asked is None else asked.change.arguments,
        original=None if asked is None else terms.digest,
        proposer=None if proposal is None else proposal.principal,
        proposal=None if proposal is None else proposal.command_id,
        issuers=issuers if ISSUERS in terms.takes else (),
    )
    signed = signer.decision(decision)
    over = len(to_payload(signed).data) - MAX_DECISION_BYTES
    if over > 0:
        message = f"{over:,} bytes too long: a decision with its comment and arguments has at most {MAX_DECISION_BYTES:,} bytes"
        fault = InvalidPlace(pointer="/comment" if asked is None else "/arguments", message=message)
        raise InvalidInput("the decision is too long", [fault])
    return signed


async def deliver_late_decision(plane: ControlPlane, command: Command) -> dict[str, Any]:
    """Send a decision that waited, if its principal may still make it. The fold decides whether the approval is still open."""
    async with direct(plane.pool) as connection:
        found = await db_approvals.get(connection, command.approval_id or "", scope=EVERY_WORKFLOW)
    if found is None:
        raise Unavailable("the approval is not in the projection at the moment", outcome_unknown=True)
    caller = await commands.asker(plane, command)
    if not caller.principal.sees(found.run.workflow):
        raise Forbidden(f"{command.principal} may no longer see the runs of {found.run.workflow}")
    if isinstance(error := obstacle(caller, found, signer_for(plane, found)), Forbidden):
        raise error
    return await deliver_decision(plane, command)


async def deliver_decision(plane: ControlPlane, command: Command) -> dict[str, Any]:
    """Signal the decision to exactly the execution that it names. Idempotent."""
    signed = SignedDecision.model_validate(command.body["signed"])
    try:
        await asked(
            rpc.signal(
                plane.temporal,
                workflow_id=signed.decision.workflow_id,
                execution_id=signed.decision.execution_id,
                name=SIGNAL_DECIDE,
                payloads=[to_payload(signed)],
                request_id=command.command_id,
            ),
            identifier=command.run_id or "",
        )
    except (Conflict, NotFound):
        # The run has ended or was reset: nothing waits there any more.
        raise Conflict(
            "the execution that requested the approval has ended, so nothing waits for this decision",
            status=ApprovalStatus.CANCELLED,
        ) from None
    return {"verdict": signed.decision.verdict.value}
