"""The gate's judgement in the worker: what policy says about one call at this moment. No I/O.

Whatever calls a tool passes here, attempt by attempt: allow, deny, not now (the policy is too old to write under, or names no key to ask
under), or ask people, with the terms under which they are asked. A decision that is presented counts only if it holds for this very
Temporal run, tool, digest and rule, its signer and principal are still trusted, and it is fresh.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pydantic import ValidationError

from agentgrid.domain.approvals import ApprovalKind, SignedDecision, Terms, Verdict, judge, too_old
from agentgrid.domain.canonical import digest
from agentgrid.domain.ids import new_id
from agentgrid.domain.policies import Effect, Risk, Rule, Snapshot
from agentgrid.protocol import RunHeader


class Policy(Protocol):
    """Where the snapshot comes from."""

    @property
    def snapshot(self) -> Snapshot | None:
        """The newest snapshot known."""

    @property
    def age_seconds(self) -> float:
        """Seconds since it was confirmed."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One attempt of one call, as the activity half sees it."""

    subject: str
    """What rules name: a tool's name or an activity type."""
    title: str
    version: str | None
    risk: Risk | None
    """None for a plain activity, whose risk nobody declared."""
    arguments: Callable[[], Any]
    """Makes the JSON that a decision binds, where people are asked; raises ValueError where it can't be said exactly."""
    local: bool
    """A local activity: history keeps none of its arguments, so the terms must show them."""
    namespace: str
    workflow_id: str
    execution_id: str
    workflow: str
    attempt: int
    key: str | None
    run: Callable[[], RunHeader | None]
    """Reads what the call says of its run, and of who started that, where people are asked."""
    presented: str | None
    """The signed decision in the header, if any."""
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Allow:
    """Go ahead."""


@dataclass(frozen=True, kw_only=True)
class Deny:
    """Not allowed; final."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Stale:
    """Not now: the policy is too old to write under, or names no key under which people could be asked."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Ask:
    """People must be asked, under these terms."""

    terms: Terms


@dataclass(frozen=True, kw_only=True)
class Unsupported:
    """People would have to be asked, but can't be."""

    reason: str


Answer = Allow | Deny | Stale | Ask | Unsupported


@dataclass(frozen=True, kw_only=True)
class Governor:
    """Judges calls under the policy of the moment."""

    policy: Policy
    max_age_seconds: float = 60.0
    valid_for_seconds: float = 3600.0

    def judge(self, call: Call) -> Answer:
        """What policy says about this attempt."""
        snapshot = self.policy.snapshot
        stale = self._stale(call, snapshot)
        if stale is not None:
            return stale
        if snapshot is None:
            return Allow()
        if call.subject in snapshot.disabled_tools:
            return Deny(reason=f"{call.subject} is disabled by its kill switch")
        if call.workflow in snapshot.disabled_workflows:
            return Deny(reason=f"the workflow {call.workflow} is disabled by its kill switch")
        rule = snapshot.rule_for(call.subject, call.risk or Risk.READ)
        if rule.effect is Effect.ALLOW:
            return Allow()
        if rule.effect is Effect.DENY:
            return Deny(
                reason=f"{call.subject} is denied by the rule {rule.reference}{': ' + rule.reason if rule.reason else ''}"
            )
        return self._approval(call, rule, snapshot)

    def _stale(self, call: Call, snapshot: Snapshot | None) -> Stale | None:
        if call.risk is None or not call.risk.writes:
            return None
        if snapshot is None:
            return Stale(reason="no policy has reached this worker yet")
        if self.policy.age_seconds > self.max_age_seconds:
            return Stale(
                reason=f"the policy was last confirmed {self.policy.age_seconds:.0f} s ago, over the limit of {self.max_age_seconds:.0f} s"
            )
        return None

    def _approval(self, call: Call, rule: Rule, snapshot: Snapshot) -> Answer:
        try:
            arguments = call.arguments()
            bound = digest([call.subject, call.version, arguments])
        except ValueError as error:
            return Unsupported(reason=f"its arguments can't be shown exactly ({error}): make it a tool")
        run = call.run()
        if call.key is not None and run is None:
            # The workflow half always sends both. Without it nobody could be kept from deciding what they have started.
            return Unsupported(reason="it doesn't say whose run it is")
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
            key=call.key,
            shown=arguments if call.local else None,
            approvers=rule.approvers,
            initiator=None if run is None else run.initiator,
            issuers=() if run is None else run.issuers,
            expires_seconds=rule.expires_seconds,
            policy=rule.reference,
            reason=rule.reason or None,
            keys=snapshot.keys_in_force,
        )
        if call.presented is not None and self.holds(call, terms, snapshot):
            return Allow()
        if call.key is None:
            return Unsupported(
                reason="its caller is no workflow, or one that began before the AgentGrid plugin or without it, and can't wait"
            )
        if not terms.keys:
            return Stale(reason="no signing key is in force, so nobody could decide its approval")
        return Ask(terms=terms)

    def holds(self, call: Call, terms: Terms, snapshot: Snapshot) -> bool:
        """Whether the decision that the call presents lets it through now, under terms made for it now.

        Retired keys count here although new terms don't name them: the approval may have opened while they were in force. That its own
        terms named the key was judged by the workflow half, which has them.
        """
        try:
            presented = SignedDecision.model_validate_json(call.presented or "")
        except ValidationError:
            return False
        decision = presented.decision
        asked = terms.model_copy(update={"approval_id": decision.approval_id, "keys": snapshot.keys_that_count})
        judgement = judge(asked, (call.presented or "").encode())
        return (
            judgement.verdict is Verdict.APPROVED
            and decision.principal not in snapshot.revoked_principals
            and decision.approver in snapshot.approver_entries.get(decision.principal, frozenset())
            and not (call.attempt == 1 and too_old(decision, call.now, self.valid_for_seconds))
        )
