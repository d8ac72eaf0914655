"""Approvals and their decisions."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from agentgrid.api.schemas.commands import CommandSummary
from agentgrid.api.schemas.common import Action, In, Name, Out, Prose, StoredPayload
from agentgrid.domain.approvals import ApprovalKind, ApprovalStatus, Verdict
from agentgrid.domain.runs import RunStatus


class DecisionIn(In):
    """Decide an approval."""

    verdict: Verdict
    digest: Name = Field(description="The digest that was shown; it must match the approval's.")
    comment: Prose | None = None


class ApprovalSummary(Out):
    """An approval in a list, without its payload."""

    approval_id: str
    run_id: str
    execution_id: str
    workflow: str
    kind: ApprovalKind
    title: str
    tool: str | None
    agent: str | None = Field(description="The agent that asks; null if workflow code does.")
    agent_version: str | None
    turn: int | None = Field(description="The agent's model turn that asked for the call.")
    status: ApprovalStatus
    decidable: bool = Field(description="Whether a decision would be accepted now: its expiry timer is running.")
    approvers: list[str]
    initiator: str = Field(
        description="Who started the run, and therefore may not decide; `unknown` for a run started outside AgentGrid."
    )
    claimed_initiator: str | None = Field(
        description="The initiator that the worker names, if it differs from `initiator`. Unverified."
    )
    policy: str | None = Field(description="The rule that required the approval, as `id@version`.")
    digest: str
    opened_at: datetime
    expires_at: datetime | None
    closed_at: datetime | None
    decided_by: str | None = Field(description="Null if undecided or if the decision is unattributed.")
    attributed: bool | None = Field(
        description="Whether a registered signing key and a matching command confirm who decided; null if undecided."
    )
    unattributed_because: str | None
    reference: str | None = Field(description="The run's reference.")


class DecisionOut(Out):
    """One decision signal and its outcome. Includes refused signals, and signals that named no approval while this one was open."""

    execution_id: str
    event_id: int
    judged: str = Field(description="`counted`, `superseded` or `refused`.")
    reason: str | None
    verdict: Verdict | None
    principal: str | None = Field(description="Who made the decision; null if it is unattributed.")
    attributed: bool = Field(description="Whether a registered signing key and a matching command confirm who made it.")
    unattributed_because: str | None
    claimed_principal: str | None = Field(description="The principal that an unattributed signal names. Unverified.")
    identity: str | None = Field(description="The client identity that the sender gave to Temporal. Unverified.")
    approver: str | None
    key_id: str | None
    decided_at: datetime | None
    signalled_at: datetime
    command_id: str | None
    comment: str | None = None


class ApprovalDetail(ApprovalSummary):
    """An approval with its payload: exactly the arguments that the digest covers."""

    run_status: RunStatus
    reason: str | None = Field(description="The rule's reason, as it was when the approval opened.")
    tool_version: str | None
    call_key: str | None
    expires_seconds: float
    parameters: list[str] = Field(
        description="What a plain activity's positional arguments are called in its code, in the payload's order. No part of what is signed."
    )
    payloads_visible: bool
    payload: StoredPayload | None
    decisions: list[DecisionOut] = Field(description="Oldest first; at most 200, including the one that took effect.")
    actions: list[Action]


class ApprovalAccepted(ApprovalDetail):
    """An approval, and the command that carries the decision. The command soon becomes `applied` or `superseded`."""

    command: CommandSummary
