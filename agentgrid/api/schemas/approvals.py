"""Approvals and their decisions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from agentgrid.api.schemas.commands import CommandSummary
from agentgrid.api.schemas.common import Action, In, Name, Out, StoredPayload
from agentgrid.domain.approvals import MAX_COMMENT, ApprovalKind, ApprovalStatus, Changes, Judged, Verdict
from agentgrid.domain.runs import RunStatus

Comment = Annotated[str, StringConstraints(max_length=MAX_COMMENT)]


class DecisionIn(In):
    """Decide an approval."""

    verdict: Verdict
    digest: Name = Field(description="The digest that was shown; it must match the approval's.")
    comment: Comment | None = Field(
        None, description="Passed to the workflow's code, or to the agent that asked, and shown with the decision."
    )
    arguments: dict[str, Any] | None = Field(
        None,
        description="With `approved`, for a tool's call: call the tool with these arguments instead. They must fit the tool's input schema. All "
        "arguments are given, not only the changed ones.",
    )


class ProposedChange(Out):
    """Changed arguments that an approver proposed, where the rule wants a second person for changes."""

    command_id: str
    principal: str
    digest: str
    arguments: dict[str, Any] | None = Field(description="Null for callers who may not see payloads.")
    comment: str | None
    created_at: datetime


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
    changed_digest: str | None = Field(
        description="The digest of the call that was approved, if the approver changed its arguments; otherwise null."
    )


class DecisionOut(Out):
    """One decision signal and its outcome. Includes refused signals, and signals that named no approval while this one was open."""

    execution_id: str
    event_id: int
    judged: Judged
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
    changed: StoredPayload | None = Field(description="The arguments that were approved instead; null if unchanged.")
    proposed_by: str | None = Field(
        description="The other approver, who proposed the changed arguments; null if nobody did or if the decision is unattributed."
    )
    comment: str | None = Field(description="The comment on the decision that took effect.")
    takes: list[str] = Field(
        description="What a decision on this approval may carry to the workflow: `comment`, `arguments`. Fewer with an older worker."
    )
    changes: Changes = Field(
        description="How many people it takes to approve changed arguments, by the rule that asked."
    )
    change_refused: str | None = Field(
        description="Why the worker found the changed arguments of an earlier decision invalid, so that it asked again."
    )
    proposals: list[ProposedChange] = Field(
        description="Changed arguments that were proposed; newest first, at most 50."
    )
    decisions: list[DecisionOut] = Field(description="Oldest first; at most 200, including the one that took effect.")
    actions: list[Action]


class ApprovalAccepted(ApprovalDetail):
    """An approval, and the command that carries the decision. The command soon becomes `applied` or `superseded`."""

    command: CommandSummary
