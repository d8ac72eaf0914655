"""Deciding an approval: every check that can be made here, then a signed decision, sent as a signal to exactly one execution.

What is decided here is only that the decision may be made and by whom. Whether it counts is for `judge` in the workflow: the command ends
`applied` or `superseded` when the projector has seen that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentgrid.control import commands
from agentgrid.control.plane import Caller, ControlPlane, principal_of
from agentgrid.control.rpc import asked
from agentgrid.control.signing import Signer
from agentgrid.db import approvals as table
from agentgrid.db import commands as commands_table
from agentgrid.db import principals
from agentgrid.db.pool import direct
from agentgrid.db.session import reading, writing
from agentgrid.db.tables import Approval, Command
from agentgrid.domain.approvals import ApprovalKind, ApprovalStatus, Decision, SignedDecision, Terms, Verdict
from agentgrid.domain.canonical import digest
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.principals import UNKNOWN_INITIATOR, Permission, Principal, PrincipalKind
from agentgrid.domain.scopes import EVERY_WORKFLOW
from agentgrid.errors import AgentGridError, Conflict, Forbidden, NotFound, Unavailable
from agentgrid.protocol import SIGNAL_DECIDE, to_payload
from agentgrid.temporal import rpc


@dataclass(frozen=True, kw_only=True)
class DecisionRequest:
    """One person's answer, and the digest of what was shown to them."""

    verdict: Verdict
    digest: str
    comment: str | None = None


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What a decision made, now or before under the same idempotency key."""

    command: Command
    found: table.Found | None = None
    """The approval as it was when it was decided; None where that was before, and it may be anything by now."""


def signer_for(plane: ControlPlane, found: table.Found) -> Signer | None:
    """The key with which a decision on the approval would be signed here, or None where this API has none that counts."""
    return plane.signer.under(Terms.model_validate(found.approval.terms), revoked=found.revoked_keys)


def no_approver(caller: Caller, found: table.Found) -> Forbidden | None:
    """Why this approval is not for this caller to decide, whenever that is; or None where it is."""
    approval, principal = found.approval, caller.principal
    if principal.kind is not PrincipalKind.HUMAN:
        return Forbidden(f"only people decide approvals; {principal.name} is a {principal.kind}")
    if not principal.may(Permission.DECIDE):
        return Forbidden("deciding needs the role approver")
    terms = Terms.model_validate(approval.terms)
    starters = {approval.initiator, found.run.initiator}
    if principal.name in starters:
        return Forbidden("who started the run can't decide its approvals")
    if principal.name in {*terms.issuers, *found.run.issuers}:
        return Forbidden("who issued the key that started the run can't decide its approvals")
    if shared := sorted(caller.persons & {*starters, *terms.issuers, *found.run.issuers}):
        return Forbidden(
            f"the key that you use was issued by {', '.join(shared)}, who stands behind the start of the run: use one that was made on the "
            f"machine that owns the database, by `agentgrid key create {principal.name}`"
        )
    if principal.approver_entry(tuple(approval.approvers)) is None:
        return Forbidden(f"this approval is for {', '.join(approval.approvers)}")
    return None


def obstacle(caller: Caller, found: table.Found, signer: Signer | None) -> AgentGridError | None:
    """Why this caller can't decide the approval now, or None if they can. The one place that says so."""
    approval = found.approval
    if (forbidden := no_approver(caller, found)) is not None:
        return forbidden
    if approval.status != ApprovalStatus.PENDING:
        return Conflict(f"the approval is {approval.status}; only a pending one can be decided", status=approval.status)
    if approval.expires_at is not None and approval.expires_at <= found.now:
        return Conflict("the approval has expired", status=ApprovalStatus.EXPIRED)
    if found.run.initiator not in (approval.initiator, UNKNOWN_INITIATOR):
        return Conflict(
            f"{found.run.initiator} started the run, but what waits says that {approval.initiator or 'nobody'} did: it can't be decided; "
            "cancel the run",
            status=approval.status,
        )
    if not approval.decidable:
        return Conflict("the gate is not open yet; try again in a moment", status=approval.status)
    if signer is None:
        return Conflict(
            "this API has no signing key that counts for this approval: append the key of the time when it opened to "
            "AGENTGRID_SIGNING_KEY_FILE, unless that was revoked, or cancel the run",
            status=approval.status,
        )
    return None


def shown_exactly(approval: Approval) -> bool:
    """Whether the digest that is signed covers exactly the payload that people are shown, computed anew from that payload."""
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


async def decide(plane: ControlPlane, caller: Caller, approval_id: str, request: DecisionRequest) -> Decided:
    """Record, sign and send a decision. Raises NotFound, Forbidden, Conflict, Unavailable."""
    async with direct(plane.pool) as connection:
        asked_before = await commands_table.is_asked_before(
            connection, principal=caller.principal.name, route=caller.route, key=caller.idempotency_key
        )
        found = await table.get(connection, approval_id, scope=caller.principal.workflows)
    if asked_before:
        async with writing(plane.engine) as session:
            if (earlier := await commands.replayed(session, caller)) is not None:
                return Decided(command=earlier)
    if found is None:
        raise NotFound("approval", approval_id)
    approval, signer = found.approval, signer_for(plane, found)
    if (error := obstacle(caller, found, signer)) is not None:
        raise error
    assert signer is not None  # else there was an obstacle
    if request.digest != approval.digest:
        raise Conflict("the digest is not that of what waits; read the approval again", status=approval.status)
    if request.verdict is Verdict.APPROVED and not shown_exactly(approval):
        raise Conflict(
            "what is shown here is not exactly what the worker's digest covers, so it can only be rejected; "
            "a plain activity whose arguments change when they are converted must be made a tool",
            status=approval.status,
        )
    command = commands.made(
        caller,
        CommandKind.APPROVAL_DECIDE,
        found.now,
        run_id=approval.run_id,
        execution_id=approval.execution_id,
        approval_id=approval_id,
        reason=request.comment,
    )
    signed = _signed(signer, caller.principal, approval, request.verdict, command)
    command.body = {
        "verdict": request.verdict.value,
        "digest": request.digest,
        "workflow_id": found.run.workflow_id,
        "signed": signed.model_dump(mode="json"),
    }
    async with plane.changing() as connection:
        recorded = await commands_table.record(connection, command)
    if not recorded:
        async with writing(plane.engine) as session:
            return Decided(command=await commands.first_of_equals(session, caller))
    return Decided(command=await commands.deliver(plane, command, deliver_decision), found=found)


def _signed(
    signer: Signer, principal: Principal, approval: Approval, verdict: Verdict, command: Command
) -> SignedDecision:
    terms = Terms.model_validate(approval.terms)
    entry = principal.approver_entry(terms.approvers)
    if entry is None:
        raise Forbidden(f"this approval is for {', '.join(terms.approvers)}")
    decision = Decision(
        namespace=terms.namespace,
        workflow_id=terms.workflow_id,
        execution_id=terms.execution_id,
        approval_id=terms.approval_id,
        digest=terms.digest,
        key=terms.key or "",
        policy=terms.policy,
        verdict=verdict,
        principal=principal.name,
        approver=entry,
        decided_at=command.created_at,
        nonce=command.command_id,
        key_id=signer.key_id,
    )
    return signer.decision(decision)


async def deliver_late_decision(plane: ControlPlane, command: Command) -> dict[str, Any]:
    """Send a decision that waited, if its principal may still make it. The fold decides whether the approval is still open."""
    async with direct(plane.pool) as connection:
        found = await table.get(connection, command.approval_id or "", scope=EVERY_WORKFLOW)
    async with reading(plane.engine) as session:
        row = await principals.get(session, command.principal)
        key = await principals.key(session, command.key_id or "")
    if found is None or row is None:
        raise Unavailable("the approval is not mirrored at the moment", outcome_unknown=True)
    if row.disabled_at is not None:
        raise Forbidden(f"{row.name} was disabled before the decision could be delivered")
    if key is None or key.revoked_at is not None:
        raise Forbidden(f"the key that {row.name} used was revoked before the decision could be delivered")
    caller = Caller(principal=principal_of(row), key_id=key.key_id, issuers=tuple(key.issuers))
    if not caller.principal.sees(found.run.workflow):
        raise Forbidden(f"{row.name} may no longer see the runs of {found.run.workflow}")
    if isinstance(error := obstacle(caller, found, signer_for(plane, found)), Forbidden):
        raise error
    return await deliver_decision(plane, command)


async def deliver_decision(plane: ControlPlane, command: Command) -> dict[str, Any]:
    """Signal the decision to exactly the execution that it names; said twice, it is one event."""
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
        # A run that has ended, or was reset: nothing waits there any more.
        raise Conflict(
            "the execution that asked has ended, so nothing waits for this decision", status=ApprovalStatus.CANCELLED
        ) from None
    return {"verdict": signed.decision.verdict.value}
