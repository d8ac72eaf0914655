"""Deciding an approval: every check that can be made here, then a signed decision, sent as a signal to exactly one execution.

This module only checks whether this caller may make the decision. `judge` in the workflow decides whether it counts: the command becomes
`applied` or `superseded` when the projector sees the outcome.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from agentgrid.control import changes, commands
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.control.rpc import call_temporal
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
    """Changed arguments for the tool call; only with an approval."""


@dataclass(frozen=True, kw_only=True)
class DecisionCommand:
    """A decision's command, created now or earlier under the same idempotency key."""

    command: Command
    facts: db_approvals.ApprovalFacts | None = None
    """The approval at the time of the decision; None for a replay, since the approval may have changed since."""


def signer_for(plane: ControlPlane, facts: db_approvals.ApprovalFacts) -> Signer | None:
    """The key that would sign a decision on the approval, or None if none of this API's keys counts."""
    return plane.signer.under(facts.terms, revoked=facts.revoked_keys)


def no_approver(caller: Caller, facts: db_approvals.ApprovalFacts) -> Forbidden | None:
    """Why this caller may never decide this approval, or None if they may. Ignores the approval's current state."""
    approval, principal = facts.approval, caller.principal
    if (why := no_decider(principal)) is not None:
        return Forbidden(why)
    terms = facts.terms
    starters = {approval.initiator, facts.run.initiator}
    if principal.name in starters:
        return Forbidden(f"{principal.name} started the run, so they can't decide its approvals")
    if principal.name in {*terms.issuers, *facts.run.issuers}:
        return Forbidden(f"{principal.name} issued the key that started the run, so they can't decide its approvals")
    # Checked after the permanent obstacles: the role would not help the people who started the run.
    if not principal.may(Permission.DECIDE):
        return Forbidden("deciding an approval requires the role approver")
    if shared := sorted(caller.persons & {*starters, *terms.issuers, *facts.run.issuers}):
        return Forbidden(
            f"the key of {principal.name} was issued by {', '.join(shared)}, who took part in starting the run: use a key created on the "
            f"database's machine with `agentgrid key create {principal.name}`"
        )
    if caller.persons & terms.changers:
        key = f" with a key that {', '.join(terms.changed_issuers)} issued" if terms.changed_issuers else ""
        return Forbidden(
            f"{terms.changed_by} changed the arguments of this call{key}, and the rule requires a second person for changes: another approver must "
            "decide"
        )
    if principal.approver_entry(tuple(approval.approvers)) is None:
        return Forbidden(f"this approval is for {', '.join(approval.approvers)}")
    return None


def obstacle(caller: Caller, facts: db_approvals.ApprovalFacts, signer: Signer | None) -> AgentGridError | None:
    """Why this caller can't decide the approval now, or None if they can. All checks are here."""
    approval = facts.approval
    if (forbidden := no_approver(caller, facts)) is not None:
        return forbidden
    if approval.status != ApprovalStatus.PENDING:
        return Conflict(f"the approval is {approval.status}; only a pending one can be decided", status=approval.status)
    if approval.expires_at is not None and approval.expires_at <= facts.now:
        return Conflict("the approval has expired", status=ApprovalStatus.EXPIRED)
    if facts.run.initiator not in (approval.initiator, UNKNOWN_INITIATOR):
        return Conflict(
            f"the approval names {approval.initiator or 'nobody'} as the run's initiator, but {facts.run.initiator} started it, so the approval "
            "can't be decided: cancel the run",
            status=approval.status,
        )
    if not approval.decidable:
        return Conflict("the approval is not open for decisions yet; try again in a moment", status=approval.status)
    if signer is None:
        return Conflict(
            "this API has no signing key that is valid for this approval: append the key that was in use when the approval opened to "
            "AGENTGRID_SIGNING_KEY_FILE (unless that key was revoked), or cancel the run",
            status=approval.status,
        )
    return None


def shown_exactly(approval: Approval) -> bool:
    """Whether the signed digest, recomputed from the payload that people see, covers exactly that payload."""
    payload, terms = approval.payload, Terms.model_validate(approval.terms)
    if not isinstance(payload, dict) or not payload.keys() & {"value", "values"}:
        return False
    value = payload.get("value")
    if terms.kind is ApprovalKind.EXPLICIT:
        candidates: list[Any] = [[terms.title, value]]
    else:
        candidates = [[terms.tool, terms.tool_version, value]]
        if terms.tool_version is None:
            # A plain activity's digest covers the list of its arguments; history may show a single argument without the list.
            candidates.append([terms.tool, None, payload.get("values", [value])])
    try:
        return any(digest(candidate) == terms.digest for candidate in candidates)
    except ValueError:
        return False


async def decide(plane: ControlPlane, caller: Caller, approval_id: str, request: DecisionRequest) -> DecisionCommand:
    """Record, sign and send a decision. Raises NotFound, Forbidden, Conflict, Unavailable."""
    async with direct(plane.pool) as connection:
        is_repeated = await db_commands.is_repeated(
            connection, principal=caller.principal.name, route=caller.route, key=caller.idempotency_key
        )
        facts = await db_approvals.get(connection, approval_id, scope=caller.principal.workflows)
    if is_repeated:
        async with writing(plane.engine) as session:
            if (earlier := await commands.replayed(session, caller)) is not None:
                return DecisionCommand(command=earlier)
    if facts is None:
        raise NotFound("approval", approval_id)
    approval, signer = facts.approval, signer_for(plane, facts)
    if (error := obstacle(caller, facts, signer)) is not None:
        raise error
    assert signer is not None  # a missing signer is an obstacle
    if request.digest != approval.digest:
        raise Conflict(
            "the digest does not match the pending approval; read the approval again", status=approval.status
        )
    if request.verdict is Verdict.APPROVED and not shown_exactly(approval):
        raise Conflict(
            "the payload shown does not match the worker's digest, so the approval can only be rejected; "
            "if a plain activity's arguments change in conversion, make it a tool",
            status=approval.status,
        )
    change = await _change(plane, caller, facts, request)
    proposes = change is not None and change.proposes
    command = commands.new_at(
        caller,
        CommandKind.APPROVAL_PROPOSE if proposes else CommandKind.APPROVAL_DECIDE,
        facts.now,
        run_id=approval.run_id,
        execution_id=approval.execution_id,
        approval_id=approval_id,
        reason=request.comment,
    )
    signed = _signed(signer, caller, approval, request, command, change)
    command.body = {
        "verdict": request.verdict.value,
        "digest": request.digest,
        "workflow_id": facts.run.workflow_id,
        # A proposal stores nothing that could be sent.
        **({} if proposes else {"signed": signed.model_dump(mode="json")}),
        **({} if change is None else {"changed": asdict(change.change)}),
    }
    if proposes:
        command = commands.applied(command, {"message": "another approver must approve exactly these arguments"})
    async with plane.changing() as connection:
        recorded = await db_commands.record(connection, command)
    if not recorded:
        async with writing(plane.engine) as session:
            return DecisionCommand(command=await commands.first_of_identical(session, caller))
    if proposes:
        return DecisionCommand(command=command, facts=facts)
    return DecisionCommand(command=await commands.deliver(plane, command, deliver_decision), facts=facts)


async def _change(
    plane: ControlPlane, caller: Caller, facts: db_approvals.ApprovalFacts, request: DecisionRequest
) -> changes.ChangeRequest | None:
    if request.arguments is None:
        return None
    if request.verdict is not Verdict.APPROVED:
        fault = InvalidPlace(pointer="/arguments", message="only allowed with the verdict `approved`")
        raise InvalidInput("a rejection can't change arguments", [fault])
    return await changes.requested(
        plane, caller, facts.approval, request.arguments, no_approver=lambda proposer: no_approver(proposer, facts)
    )


def _signed(
    signer: Signer,
    caller: Caller,
    approval: Approval,
    request: DecisionRequest,
    command: Command,
    change: changes.ChangeRequest | None,
) -> SignedDecision:
    """The signed decision. Raises InvalidInput if it is too long for the signal that carries it."""
    terms = Terms.model_validate(approval.terms)
    entry = caller.principal.approver_entry(terms.approvers)
    if entry is None:
        raise Forbidden(f"this approval is for {', '.join(terms.approvers)}")
    proposal = None if change is None else change.proposal
    alone = change is not None and proposal is None
    issuers = tuple(sorted(caller.persons - {caller.principal.name})) if alone else ()
    decision = Decision(
        namespace=terms.namespace,
        workflow_id=terms.workflow_id,
        execution_id=terms.execution_id,
        approval_id=terms.approval_id,
        digest=terms.digest if change is None else change.change.digest,
        key=terms.key or "",
        policy=terms.policy,
        verdict=request.verdict,
        principal=caller.principal.name,
        approver=entry,
        decided_at=command.created_at,
        nonce=command.command_id,
        key_id=signer.key_id,
        # An older worker would ignore a decision with a comment. The command always keeps the comment.
        comment=(request.comment or None) if COMMENT in terms.takes else None,
        arguments=None if change is None else change.change.arguments,
        original=None if change is None else terms.digest,
        proposer=None if proposal is None else proposal.principal,
        proposal=None if proposal is None else proposal.command_id,
        issuers=issuers if ISSUERS in terms.takes else (),
    )
    signed = signer.decision(decision)
    over = len(to_payload(signed).data) - MAX_DECISION_BYTES
    if over > 0:
        message = f"{over:,} bytes too long: the maximum for a decision with its comment and arguments is {MAX_DECISION_BYTES:,} bytes"
        fault = InvalidPlace(pointer="/comment" if change is None else "/arguments", message=message)
        raise InvalidInput("the decision is too long", [fault])
    return signed


async def deliver_late_decision(plane: ControlPlane, command: Command) -> dict[str, Any]:
    """Send a queued decision, if its principal may still make it. The fold decides whether the approval is still open."""
    async with direct(plane.pool) as connection:
        facts = await db_approvals.get(connection, command.approval_id or "", scope=EVERY_WORKFLOW)
    if facts is None:
        raise Unavailable("the approval is currently missing from the projection", outcome_unknown=True)
    caller = await commands.current_caller(plane, command)
    if not caller.principal.sees(facts.run.workflow):
        raise Forbidden(f"{command.principal} may no longer see the runs of {facts.run.workflow}")
    if isinstance(error := obstacle(caller, facts, signer_for(plane, facts)), Forbidden):
        raise error
    return await deliver_decision(plane, command)


async def deliver_decision(plane: ControlPlane, command: Command) -> dict[str, Any]:
    """Signal the decision to the execution that it names. Idempotent."""
    signed = SignedDecision.model_validate(command.body["signed"])
    try:
        await call_temporal(
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
        # The run has ended or was reset: nothing waits there anymore.
        raise Conflict(
            "the execution that requested the approval has ended, so nothing waits for this decision",
            status=ApprovalStatus.CANCELLED,
        ) from None
    return {"verdict": signed.decision.verdict.value}
