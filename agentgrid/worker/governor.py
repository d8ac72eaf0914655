"""The gate's decision in the worker: applies the current policy to one call. No I/O.

Every attempt of every tool call passes through here. The answer is allow, deny, wait (the policy is unknown, too old to allow writes, or names
no signing key), or require approval, with its terms. A decision presented by the call counts only if it is valid for exactly this Temporal run,
call, tool, digest and rule, its signing key and principal are still trusted, it is recent, and it has admitted no other call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pydantic import ValidationError

from agentgrid.domain.activities import ActivityKind
from agentgrid.domain.agents import AgentHeader
from agentgrid.domain.approvals import (
    ARGUMENTS,
    COMMENT,
    ISSUERS,
    ApprovalKind,
    Changes,
    Decision,
    SignedDecision,
    Terms,
    Verdict,
    judge,
    out_of_date,
    read_signal,
)
from agentgrid.domain.canonical import digest
from agentgrid.domain.effects import Effect
from agentgrid.domain.ids import new_id
from agentgrid.domain.policies import Risk, Rule, Snapshot
from agentgrid.domain.steps import StepKind
from agentgrid.domain.switches import SwitchKind, Thing
from agentgrid.protocol import RunHeader
from agentgrid.worker.admissions import Admissions, Scheduled


class SnapshotSource(Protocol):
    """Where a governor gets its snapshot from."""

    @property
    def snapshot(self) -> Snapshot | None:
        """The newest known snapshot."""

    @property
    def age_seconds(self) -> float:
        """Seconds since the snapshot was last confirmed."""

    def expiry_seconds(self, requested: float) -> float:
        """The expiry to use for an approval that requests this one. A test's policy may shorten it."""

    async def caught_up(self) -> None:
        """Return at once if the snapshot was confirmed recently; after the process was suspended, wait for a new check."""


@dataclass(frozen=True, kw_only=True)
class CallAttempt:
    """One attempt of one call, as seen by the activity half of the gate."""

    kind: ActivityKind
    """What is called: a tool or a plain activity."""
    subject: str
    """The name that rules match: a tool's name or an activity type."""
    title: str
    version: str | None
    risk: Risk | None
    """None for a plain activity, which declares no risk."""
    arguments: Callable[[], Any]
    """Returns the JSON that conditions check and a decision covers; called only if needed. Raises ValueError if JSON can't represent it exactly."""
    parameters: Callable[[], tuple[str, ...]] = tuple
    """Returns the names of a plain activity's positional arguments; called only if approval is required."""
    local: bool
    """A local activity: history doesn't store its arguments, so the terms must include them."""
    namespace: str
    workflow_id: str
    execution_id: str
    workflow: str
    scheduled: Scheduled
    key: str | None
    run: Callable[[], RunHeader | None]
    """Reads the header that names the run and its initiator; called only if approval is required."""
    presented: str | None
    """The signed decision from the header, if any."""
    now: datetime
    agent: AgentHeader | None = None
    """The agent that makes the call, if any."""
    standalone: bool = False
    """Started by a client outside any workflow, so it belongs to no run."""

    @property
    def things(self) -> tuple[Thing, ...]:
        """What this call uses. A kill switch on any of these stops it."""
        own = (Thing(self.kind.switch, self.subject), Thing(SwitchKind.WORKFLOW, self.workflow))
        return own if self.agent is None else (*own, Thing(SwitchKind.AGENT, self.agent.agent))

    @property
    def writes(self) -> bool:
        """Whether this is a tool that writes; False for plain activities, which declare no risk."""
        return self.risk is not None and self.risk.writes


@dataclass(frozen=True, kw_only=True)
class Allow:
    """The call may proceed."""


@dataclass(frozen=True, kw_only=True)
class Deny:
    """The call is denied and must not be retried."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Stale:
    """The call must wait: the policy is unknown, too old to allow writes, or names no signing key."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class ApprovalNeeded:
    """Approval is required, under these terms."""

    terms: Terms


@dataclass(frozen=True, kw_only=True)
class Unsupported:
    """Approval is required but can't be requested."""

    reason: str


Answer = Allow | Deny | Stale | ApprovalNeeded | Unsupported


@dataclass(frozen=True, kw_only=True)
class Governor:
    """Judges calls under the current policy."""

    policy: SnapshotSource
    max_age_seconds: float = 60.0
    valid_for_seconds: float = 3600.0
    policy_required: bool = True
    """Whether reads and plain activities also wait for the first policy, because one of its rules could deny them."""
    admissions: Admissions = field(default_factory=Admissions)
    allowed_to: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The tools that each of the grid's agents may call, from the worker's own code, whatever workflow code requests."""

    def judge(self, call: CallAttempt) -> Answer:
        """Apply the current policy to this attempt."""
        if call.standalone and call.writes:
            return Deny(
                reason=f"{call.subject} writes, but a client started it outside a workflow, so there is no run in which people could see "
                "and approve the call. Start a workflow that calls it"
            )
        if (refusal := self._agent_refusal(call)) is not None:
            return Deny(reason=refusal)
        snapshot = self.policy.snapshot
        stale = self.stale(snapshot, writes=call.writes)
        if stale is not None:
            return stale
        if snapshot is None:
            return Allow()
        if (refusal := snapshot.refusal(*call.things)) is not None:
            return Deny(reason=refusal)
        caller = None if call.agent is None else call.agent.agent
        rule = snapshot.rule_for(
            call.subject, call.risk or Risk.READ, call.kind.step, agent=caller, arguments=call.arguments
        )
        if rule.effect is Effect.ALLOW:
            return Allow()
        if rule.effect is Effect.DENY:
            return Deny(
                reason=f"{call.subject} is denied by the rule {rule.reference}{': ' + rule.reason if rule.reason else ''}"
            )
        return self._approval(call, rule, snapshot)

    def _agent_refusal(self, call: CallAttempt) -> str | None:
        """Why an agent may not make this call whatever the policy, or None."""
        if call.agent is None:
            return "the model turn names no agent" if call.kind.step is StepKind.MODEL else None
        tools = self.allowed_to.get(call.agent.agent)
        if tools is None:
            return f"the agent {call.agent.agent} is not registered on this worker"
        allowed = call.subject == call.agent.agent if call.kind.step is StepKind.MODEL else call.subject in tools
        if not allowed:
            return f"the agent {call.agent.agent} may not use {call.subject}"
        if call.agent.barred:
            return f"the version {call.agent.version} of the agent {call.agent.agent} may not use {call.subject}"
        return None

    def stale(self, snapshot: Snapshot | None, *, writes: bool) -> Stale | None:
        """The reason to wait if the snapshot is missing or too old for this call, else None."""
        if snapshot is None:
            required = self.policy_required or writes
            return Stale(reason="no policy has reached this worker yet") if required else None
        age = self.policy.age_seconds
        if writes and age > self.max_age_seconds:
            ago = f"was last confirmed {age:.0f} s ago" if math.isfinite(age) else "was never confirmed by the database"
            return Stale(reason=f"this worker's policy {ago}; the limit is {self.max_age_seconds:.0f} s")
        return None

    def _approval(self, call: CallAttempt, rule: Rule, snapshot: Snapshot) -> Answer:
        try:
            arguments = call.arguments()
            bound = digest([call.subject, call.version, arguments])
        except ValueError as error:
            return Unsupported(reason=f"its arguments can't be shown exactly ({error}). Make the activity a tool")
        run = call.run()
        if call.key is not None and run is None:
            # The workflow half always sends both. Without the header, the initiator couldn't be barred from deciding.
            return Unsupported(reason="the call carries no run header, so its initiator is unknown")
        terms = Terms(
            approval_id=new_id(),
            kind=ApprovalKind.TOOL,
            title=call.title,
            namespace=call.namespace,
            workflow_id=call.workflow_id,
            execution_id=call.execution_id,
            digest=bound,
            tool=call.subject,
            tool_version=call.version,
            risk=None if call.risk is None else call.risk.value,
            key=call.key,
            shown=arguments if call.local else None,
            parameters=call.parameters(),
            approvers=rule.approvers,
            initiator=None if run is None else run.initiator,
            issuers=() if run is None else run.issuers,
            expires_seconds=self.policy.expiry_seconds(rule.expires_seconds),
            policy=rule.reference,
            reason=rule.reason or None,
            keys=snapshot.keys_in_force,
            **_agent_fields(call.agent),
            # A tool's arguments have names and a schema. The arguments of plain activities and of malformed calls don't.
            takes=(COMMENT, ARGUMENTS, ISSUERS)
            if call.version is not None and isinstance(arguments, dict)
            else (COMMENT,),
            changes=rule.changes,
            **(_changer_fields(call.presented, bound) if rule.changes is Changes.SECOND_PERSON else {}),
        )
        if call.presented is not None and self._admits(call, terms, snapshot):
            return Allow()
        if call.key is None:
            return Unsupported(
                reason="its caller can't wait for one: only workflows that began under the AgentGrid plugin can"
            )
        if not terms.keys:
            return Stale(reason="no signing key is in force, so nobody could decide the approval")
        return ApprovalNeeded(terms=terms)

    def _admits(self, call: CallAttempt, terms: Terms, snapshot: Snapshot) -> bool:
        """Whether the presented decision admits this call now, under newly built terms.

        The decision's date is checked the first time this process admits an activity under it, whatever the attempt number: this process doesn't
        know about attempts that another process admitted, or that policy allowed without the decision.
        """
        judged = judge(_as_trusted(terms, snapshot, call.presented or ""), (call.presented or "").encode())
        decision = judged.decision
        if judged.verdict is not Verdict.APPROVED or decision is None or decision.digest != terms.digest:
            return False
        if distrust(decision, snapshot) is not None or distrust_proposer(decision, terms, snapshot) is not None:
            return False
        if self.admissions.refusal(decision, call.scheduled) is not None:
            return False
        if not self.admissions.admitted(decision) and out_of_date(decision, call.now, self.valid_for_seconds):
            return False
        self.admissions.admit(decision, call.scheduled)
        return True

    def confirms(self, terms: Terms, presented: str, snapshot: Snapshot, now: datetime) -> str | None:
        """Why a decision on an explicit approval no longer holds under these terms, or None if it does.

        terms: the approval's terms with the current execution. After a reset, the decision belongs to a different execution.
        """
        trusted = terms.model_copy(update={"keys": snapshot.keys_that_count})
        judged = judge(trusted, presented.encode())
        if judged.decision is None or judged.verdict is not Verdict.APPROVED:
            return judged.reason or "the verdict is not an approval"
        return distrust(judged.decision, snapshot) or out_of_date(judged.decision, now, self.valid_for_seconds)


def _agent_fields(agent: AgentHeader | None) -> dict[str, Any]:
    """The terms' fields for the agent that makes the call."""
    return {} if agent is None else {"agent": agent.agent, "agent_version": agent.version, "turn": agent.turn or None}


def _changer_fields(presented: str | None, bound: str) -> dict[str, Any]:
    """The terms' fields for the person whose presented decision changed the arguments without a second person.

    The signature is not verified: a forged decision could only bar somebody from deciding.
    """
    signed = None if presented is None else read_signal(presented.encode())
    if signed is None or signed.decision.arguments is None or signed.decision.digest != bound:
        return {}
    if signed.decision.proposer is not None:
        return {}
    return {"changed_by": signed.decision.principal, "changed_issuers": signed.decision.issuers}


def distrust(decision: Decision, snapshot: Snapshot) -> str | None:
    """Why the principal's authority for this decision is gone, or None."""
    if decision.principal in snapshot.revoked_principals:
        return f"{decision.principal} is disabled"
    if decision.nonce in snapshot.revoked_decisions:
        return f"the key that {decision.principal} used was revoked"
    if decision.approver not in snapshot.approver_entries.get(decision.principal, frozenset()):
        return f"{decision.principal} may no longer decide as {decision.approver}"
    return None


def distrust_proposer(decision: Decision, terms: Terms, snapshot: Snapshot) -> str | None:
    """Why the person who proposed the changed arguments no longer counts as an approver, or None."""
    proposer = decision.proposer
    if proposer is None:
        return None
    if proposer in snapshot.revoked_principals:
        return f"{proposer}, who proposed the change, is disabled"
    if decision.proposal in snapshot.revoked_decisions:
        return f"the key with which {proposer} proposed the change was revoked"
    if not snapshot.approver_entries.get(proposer, frozenset()) & set(terms.approvers):
        return f"{proposer}, who proposed the change, may no longer decide"
    return None


def _as_trusted(terms: Terms, snapshot: Snapshot, presented: str) -> Terms:
    """The new terms, with the presented decision's approval id and every key that still counts.

    If the decision changes the arguments, its digest is that of the original call, which isn't known here; the caller compares the changed
    digest with the arguments sent.

    Retired keys count here even though new terms don't name them: the approval may have opened while they were in force. The workflow half,
    which has the original terms, has checked that they name the key.
    """
    update: dict[str, Any] = {"keys": snapshot.keys_that_count}
    try:
        decision = SignedDecision.model_validate_json(presented).decision
        update |= {"approval_id": decision.approval_id, "digest": decision.requested_digest}
    except ValidationError:
        pass
    return terms.model_copy(update=update)
