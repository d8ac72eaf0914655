"""Approvals and their decisions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from agentgrid.api.schemas.commands import CommandSummary
from agentgrid.api.schemas.common import Action, In, Name, Out, StoredPayload
from agentgrid.api.schemas.service import Count
from agentgrid.domain.approval_status import ApprovalStatus
from agentgrid.domain.approvals import MAX_COMMENT, ApprovalKind, Changes, Judged, Verdict
from agentgrid.domain.policies import Risk
from agentgrid.domain.runs import RunStatus
from agentgrid.domain.steps import StepKind, StepStatus

Scalar = str | int | float | bool | None

Comment = Annotated[str, StringConstraints(max_length=MAX_COMMENT)]


class DecisionIn(In):
    """Decide an approval."""

    verdict: Verdict
    digest: Name = Field(description="The digest shown with the approval; it must match the current one.")
    comment: Comment | None = Field(
        None,
        description="Passed to the workflow's code or to the agent that made the call, and shown with the decision.",
    )
    arguments: dict[str, Any] | None = Field(
        None,
        description="With `approved`, for a tool call: call the tool with these arguments instead. They must match the tool's input schema. Send "
        "all arguments, not only the changed ones.",
    )


class ProposedChange(Out):
    """Changed arguments proposed by an approver, where the rule requires a second person for changes."""

    command_id: str
    principal: str
    digest: str
    arguments: dict[str, Any] | None = Field(description="Null unless the caller may read payloads.")
    comment: str | None
    created_at: datetime


class ApprovalSummary(Out):
    """An approval in a list, without its payload."""

    approval_id: str
    run_id: str
    execution_id: str
    workflow: str
    kind: ApprovalKind
    title: str = Field(
        description="`An approval` for an explicit approval if the caller may not read its payload, because such titles can quote values."
    )
    tool: str | None
    tool_version: str | None
    risk: Risk | None = Field(
        description="The tool's risk in the worker that requested the approval; null for an explicit approval and for a plain activity."
    )
    shape: str | None = Field(
        description="A short hash of the tool, its version and the argument names: approvals that ask for the same thing with other values share "
        "it. Null for an explicit approval if the caller may not read its payload."
    )
    agent: str | None = Field(description="The agent that made the call; null if workflow code made it.")
    agent_version: str | None
    turn: int | None = Field(description="The agent's model turn that requested the call.")
    status: ApprovalStatus
    decidable: bool = Field(
        description="Whether a decision would be accepted now, that is, whether its expiry timer is running."
    )
    approvers: list[str]
    initiator: str = Field(
        description="Who started the run and therefore may not decide; `unknown` for a run started outside AgentGrid."
    )
    claimed_initiator: str | None = Field(
        description="The initiator named by the worker, if it differs from `initiator`. Unverified."
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


class ApprovalRow(ApprovalSummary):
    """An approval in a list, with what this caller may see and do."""

    tool_title: str | None
    workflow_title: str
    agent_title: str | None
    reach: list[str] = Field(description="What a call affects, in the words of the tool's author; at most 6 phrases.")
    undoable: bool | None = Field(
        description="Whether the tool's effect can be undone; null if its author doesn't say."
    )
    expires_soon: bool = Field(description="Whether it is pending and expires within the hour.")
    payloads_visible: bool = Field(
        description="Whether the caller may read this approval's payload. If so, `title` includes the values named in the tool's template."
    )
    arguments: dict[str, Scalar] | None = Field(
        description="Its scalar arguments: at most 16, with strings truncated at 120 characters. Null if the caller may not read its payload."
    )
    actions: list[Action]


class ApproverCount(Out):
    """The number of pending approvals that name one approver entry."""

    approver: str = Field(description="A principal, a group or `role:approver`.")
    mine: bool = Field(description="Whether the caller may decide under this entry.")
    count: int
    href: str


class ApprovalCounts(Out):
    """Counts of pending approvals, each with a link to its list."""

    mine: Count = Field(description="Approvals that this caller can decide now; `approvals_for_me` in the overview.")
    soon: int = Field(description="How many of `mine` expire within the hour.")
    groups: list[ApproverCount] = Field(description="By approver entry, highest count first; at most 100.")
    all: Count = Field(description="All pending approvals that this caller may see.")


class DecisionOut(Out):
    """One decision signal and its outcome. Includes refused signals, and signals that named no approval but arrived while this one was open."""

    execution_id: str
    event_id: int
    judged: Judged
    reason: str | None
    verdict: Verdict | None
    principal: str | None = Field(description="Who made the decision; null if it is unattributed.")
    attributed: bool = Field(description="Whether a registered signing key and a matching command confirm who made it.")
    unattributed_because: str | None
    claimed_principal: str | None = Field(description="The principal named by an unattributed signal. Unverified.")
    identity: str | None = Field(description="The client identity that the sender reported to Temporal. Unverified.")
    approver: str | None
    key_id: str | None
    decided_at: datetime | None
    signalled_at: datetime
    command_id: str | None
    comment: str | None = None


class ApprovalDetail(ApprovalSummary):
    """An approval with its payload: exactly the arguments that the digest covers."""

    run_status: RunStatus
    reason: str | None = Field(description="The rule's reason at the time the approval opened.")
    call_key: str | None
    expires_seconds: float
    parameters: list[str] = Field(
        description="Parameter names of a plain activity's positional arguments in its code, in payload order. Not covered by the signature."
    )
    payloads_visible: bool
    payload: StoredPayload | None
    changed: StoredPayload | None = Field(description="The changed arguments that were approved; null if unchanged.")
    proposed_by: str | None = Field(
        description="The other approver, who proposed the changed arguments; null if nobody did or the decision is unattributed."
    )
    comment: str | None = Field(description="The comment on the decision that took effect.")
    takes: list[str] = Field(
        description="What a decision on this approval may carry to the workflow: `comment`, `arguments` and `issuers` (who issued the approver's "
        "key). Older workers support fewer of these."
    )
    changes: Changes = Field(description="How many people must approve changed arguments, according to the rule.")
    change_refused: str | None = Field(
        description="Why the worker refused the changed arguments of an earlier decision and requested a new approval."
    )
    proposals: list[ProposedChange] = Field(
        description="Proposed changes to the arguments, newest first; at most 50. If there are more, only the newest of each approver."
    )
    decisions: list[DecisionOut] = Field(description="Oldest first; at most 200, including the one that took effect.")
    actions: list[Action]


class RuleOfApproval(Out):
    """The rule that required the approval, in the version that did."""

    rule: str = Field(description="`id@version`; ids that begin with `default:` are built-in rules.")
    rule_id: str
    title: str
    reason: str = Field(description="The rule's reason at the time the approval opened.")
    created_by: str | None = Field(description="Null for a built-in rule.")
    created_at: datetime | None


class StepOfApproval(Out):
    """The waiting step, by its ids in `GET /api/v1/runs/{run_id}/steps`."""

    execution_id: str
    event_id: int


class ProseOut(Out):
    """The text that the model wrote beside the tool calls in the turn that made the call. Model output: show it as a quotation."""

    agent: str
    agent_title: str
    version: str | None
    model: str | None
    turn: int
    text: str = Field(description="At most 8,000 characters.")
    truncated: bool


class LookedAt(Out):
    """An earlier call made by the same agent within its current invocation by workflow code."""

    execution_id: str
    event_id: int
    kind: StepKind
    name: str
    title: str
    label: str | None = Field(description="Its first short arguments.")
    status: StepStatus
    took_ms: int | None


class PreviousApproval(Out):
    """The most recently decided approval of the same shape."""

    approval_id: str
    run_id: str
    reference: str | None
    arguments: dict[str, Any] | None = Field(
        description="The arguments as decided, including changes; only the short ones if all together are over 8 KiB. Null if the caller may not "
        "read them."
    )
    verdict: Verdict
    decided_by: str | None
    decided_at: datetime


class ShapeCounts(Out):
    """Outcomes of the approvals of one shape."""

    approved: int
    rejected: int
    expired: int


class RefusedApprover(Out):
    """A principal who may not decide, and why."""

    principal: str
    why: str


class WhoMayDecide(Out):
    approvers: list[str] = Field(description="Principals, groups or `role:approver`.")
    needed: int = Field(description="How many people must approve the call with its original arguments.")
    needed_to_change: int | None = Field(
        description="How many people must approve changed arguments; null if the arguments can't be changed."
    )
    refused: list[RefusedApprover] = Field(description="At most 20.")
    text: str = Field(description="A summary of all this in plain text.")


class ApprovalLetter(ApprovalDetail, ApprovalRow):
    """An approval with everything a person needs to decide it. Fields that hold payloads are null or empty if the caller may not read them."""

    input_schema: dict[str, Any] | None = Field(
        description="The input schema of the tool version that the approval is for, with units as `x-unit` and `x-currency`; null if that version "
        "isn't registered."
    )
    rule: RuleOfApproval | None = Field(description="Null for an explicit approval, which workflow code requests.")
    step: StepOfApproval
    authored: list[str] | None = Field(
        description="The names of the arguments that are or contain text, if an agent's model wrote the call; empty if workflow code made it."
    )
    prose: ProseOut | None
    looked_at: list[LookedAt] | None = Field(description="The agent's last 8 calls, oldest first.")
    previous: PreviousApproval | None
    same_shape_30d: ShapeCounts | None = Field(
        description="Approvals of this shape that ended in the last 30 days, in the runs that the caller may see; counting stops at 10,000. Null "
        "for an explicit approval if the caller may not read its payload."
    )
    who: WhoMayDecide


class ApprovalAccepted(ApprovalDetail):
    """An approval, and the command that delivers the decision. The command soon becomes `applied` or `superseded`."""

    command: CommandSummary
