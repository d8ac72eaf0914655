"""Approvals: gates that wait for people, and what was said of them."""

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
    digest: Name = Field(description="The digest of what was shown: it must be the approval's.")
    comment: Prose | None = None


class ApprovalSummary(Out):
    """An approval in a list: not what it shows."""

    approval_id: str
    run_id: str
    execution_id: str
    workflow: str
    kind: ApprovalKind
    title: str
    tool: str | None
    status: ApprovalStatus
    decidable: bool = Field(description="Whether a decision would be taken now: its expiry timer runs.")
    approvers: list[str]
    initiator: str = Field(description="Who started the run, and so never decides; `unknown` for a run from outside.")
    claimed_initiator: str | None = Field(
        description="Whom the worker that asks names instead, where that is somebody else: nothing bears it out."
    )
    policy: str | None = Field(description="The rule that asked, `id@version`.")
    digest: str
    opened_at: datetime
    expires_at: datetime | None
    closed_at: datetime | None
    decided_by: str | None = Field(description="Null also where nothing bears out who has decided.")
    attributed: bool | None = Field(
        description="Whether a registered signing key and a command bear out who decided; null where nobody has."
    )
    unattributed_because: str | None
    reference: str | None = Field(description="The run's.")


class DecisionOut(Out):
    """One decision signal and what was made of it; refused ones too, also those that named no approval while this one was open."""

    execution_id: str
    event_id: int
    judged: str = Field(description="`counted`, `superseded` or `refused`.")
    reason: str | None
    verdict: Verdict | None
    principal: str | None = Field(description="Whose act it is; null where nothing bears that out.")
    attributed: bool = Field(description="Whether a registered signing key and a command bear out whose act it is.")
    unattributed_because: str | None
    claimed_principal: str | None = Field(description="Whom an unattributed signal names: anybody can say anything.")
    identity: str | None = Field(
        description="What its sender called itself to Temporal, where anybody can say anything."
    )
    approver: str | None
    key_id: str | None
    decided_at: datetime | None
    signalled_at: datetime
    command_id: str | None
    comment: str | None = None


class ApprovalDetail(ApprovalSummary):
    """An approval with what it shows: the very arguments that the digest covers."""

    run_status: RunStatus
    reason: str | None = Field(
        description="Why the rule asks, in its author's words, as it was when the approval opened."
    )
    tool_version: str | None
    call_key: str | None
    expires_seconds: float
    payloads_visible: bool
    payload: StoredPayload | None
    decisions: list[DecisionOut] = Field(description="Oldest first; at most 200, with the one that counted.")
    actions: list[Action]


class ApprovalAccepted(ApprovalDetail):
    """An approval, and the command that carries the decision: `applied` or `superseded` in a moment."""

    command: CommandSummary
