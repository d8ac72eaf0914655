"""An in-memory policy, with an approver who decides a workflow's approvals.

    governance = Governance(rules=[ag.Rule(rule_id="r", tool="post_reply", effect=ag.Effect.REQUIRE_APPROVAL)])
    async with Worker(client, task_queue="test", plugins=[governance.plugin(grid)]):
        handle = await client.start_workflow("support_triage", ticket, id="t-1", task_queue="test")
        await governance.approve(handle)
        assert await handle.result() == ...

Needs Temporal's dev server or test environment, but no control plane and no database.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Sequence, Set
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError
from temporalio.api.common.v1 import Payloads
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowExecutionDescription, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import RawValue

from agentgrid.domain.approvals import Decision, SignedDecision, Terms, Verdict, changed_digest, judge, sign
from agentgrid.domain.ids import new_id
from agentgrid.domain.policies import Rule, Snapshot
from agentgrid.domain.principals import entries_of
from agentgrid.errors import Conflict, Forbidden
from agentgrid.protocol import SIGNAL_DECIDE, TIMER_APPROVAL, ErrorType, to_payload
from agentgrid.sdk.grid import Grid
from agentgrid.settings import Settings
from agentgrid.worker.agents import Models
from agentgrid.worker.governor import distrust
from agentgrid.worker.plugin import AgentGridPlugin
from agentgrid.worker.policy import FixedPolicy

KEY_ID = "test"
POLL_SECONDS = 0.05
OPEN = frozenset({WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW})


class Governance:
    """An in-memory policy with one signing key and one approver.

    rules: the rules in force; with none, destructive tools require approval. approver: the name of the person who decides. groups: the
    approver's groups. expires: an upper limit for the expiry of every approval, even if its rule or `ag.approval` allows longer, to test what
    a workflow does when one expires.
    """

    def __init__(
        self,
        *,
        rules: Sequence[Rule] = (),
        approver: str = "reviewer",
        groups: Iterable[str] = (),
        expires: timedelta | None = None,
    ) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.approver = approver
        self._answered: set[str] = set()
        """The approvals that `approve` and `reject` have decided. Each stays open until the workflow receives its decision."""
        public = base64.b64encode(self.key.public_key().public_bytes_raw()).decode()
        self.policy = FixedPolicy(
            Snapshot(
                version=1,
                made_at=datetime.now(UTC),
                rules=tuple(rules),
                public_keys={KEY_ID: public},
                approver_entries={approver: entries_of(approver, groups)},
            ),
            most_expiry_seconds=None if expires is None else expires.total_seconds(),
        )

    @property
    def snapshot(self) -> Snapshot:
        """The policy in force."""
        if self.policy.snapshot is None:
            raise RuntimeError("the fixed policy has no snapshot: set `policy.snapshot`")
        return self.policy.snapshot

    def change(self, **fields: Any) -> None:
        """Change the policy, from the next call on. Takes any field of `Snapshot`."""
        current = {name: getattr(self.snapshot, name) for name in Snapshot.model_fields}
        self.policy.snapshot = Snapshot.model_validate({**current, "version": self.snapshot.version + 1, **fields})

    def plugin(
        self, grid: Grid | None = None, *, settings: Settings | None = None, models: Models | None = None
    ) -> AgentGridPlugin:
        """A plugin under this policy. models: replaces the providers, such as `scripted(...)`."""
        return AgentGridPlugin(grid, settings=settings or Settings(), policy=self.policy, models=models)

    def decide(self, terms: Terms, verdict: Verdict = Verdict.APPROVED, **changed: Any) -> SignedDecision:
        """A signed decision under these terms, with changed `arguments` if given. Other fields in `changed` make it invalid; `key` signs with a
        different key.
        """
        key = changed.pop("key", self.key)
        entries = self.snapshot.approver_entries.get(self.approver, frozenset())
        fields: dict[str, Any] = {
            "namespace": terms.namespace,
            "workflow_id": terms.workflow_id,
            "execution_id": terms.execution_id,
            "approval_id": terms.approval_id,
            "digest": terms.digest,
            "key": terms.key or "",
            "policy": terms.policy,
            "verdict": verdict,
            "principal": self.approver,
            "approver": next((entry for entry in terms.approvers if entry in entries), self.approver),
            "decided_at": datetime.now(UTC),
            "nonce": new_id(),
            "key_id": KEY_ID,
        }
        if changed.get("arguments") is not None:
            fields |= {"original": terms.digest, "digest": changed_digest(terms, changed["arguments"])}
        return sign(Decision(**(fields | changed)), key)

    async def pending(
        self, handle: WorkflowHandle[Any, Any], *, at_least: int = 1, timeout_seconds: float = 20.0
    ) -> list[Terms]:
        """The terms of the workflow's pending approvals, oldest first, once there are at least this many.

        Raises WorkflowFailureError if the workflow fails first, Conflict if it ends in another way, and TimeoutError if it goes on without
        requesting approval.
        """
        return await self._pending(handle, at_least, timeout_seconds, answered=frozenset())

    async def send(self, handle: WorkflowHandle[Any, Any], decision: SignedDecision) -> None:
        """Send the decision as a signal, as the API does."""
        await handle.signal(SIGNAL_DECIDE, RawValue(to_payload(decision)))

    async def approve(
        self,
        handle: WorkflowHandle[Any, Any],
        *,
        timeout_seconds: float = 20.0,
        comment: str | None = None,
        arguments: dict[str, Any] | None = None,
    ) -> Terms:
        """Approve the workflow's oldest undecided approval, waiting for one if necessary. `arguments` replace those of a tool's call.

        Raises Forbidden, with the reason, if the approver may not decide it, and whatever `pending` raises if there is none.
        """
        return await self._answer(handle, Verdict.APPROVED, timeout_seconds, comment=comment, arguments=arguments)

    async def reject(
        self, handle: WorkflowHandle[Any, Any], *, timeout_seconds: float = 20.0, comment: str | None = None
    ) -> Terms:
        """Reject the workflow's oldest undecided approval, waiting for one if necessary.

        Raises Forbidden, with the reason, if the approver may not decide it, and whatever `pending` raises if there is none.
        """
        return await self._answer(handle, Verdict.REJECTED, timeout_seconds, comment=comment)

    async def _answer(
        self, handle: WorkflowHandle[Any, Any], verdict: Verdict, timeout_seconds: float, **options: Any
    ) -> Terms:
        terms = (await self._pending(handle, 1, timeout_seconds, answered=self._answered))[0]
        signed = self.decide(terms, verdict, **options)
        if (refusal := self._refusal(terms, signed)) is not None:
            raise Forbidden(f"{self.approver} can't decide {terms.title!r}: {refusal}")
        await self.send(handle, signed)
        self._answered.add(terms.approval_id)
        return terms

    def _refusal(self, terms: Terms, signed: SignedDecision) -> str | None:
        """Why the decision would have no effect: the workflow would ignore it and go on waiting. None if it counts."""
        entries = self.snapshot.approver_entries.get(self.approver, frozenset())
        if entries.isdisjoint(terms.approvers):
            return (
                f"this approval is for {', '.join(terms.approvers)}, and {self.approver} is {', '.join(sorted(entries - {self.approver}))}; "
                f"give the approver its group with Governance(groups=[{terms.approvers[0]!r}])"
            )
        judgement = judge(terms, signed.model_dump_json().encode())
        if judgement.verdict is None:
            return f"the decision would be {judgement.reason}"
        return distrust(signed.decision, self.snapshot)

    async def _pending(
        self, handle: WorkflowHandle[Any, Any], at_least: int, timeout_seconds: float, *, answered: Set[str]
    ) -> list[Terms]:
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    described = await handle.describe()
                    undecided = [terms for terms in await open_approvals(handle) if terms.approval_id not in answered]
                    if len(undecided) >= at_least:
                        return undecided
                    if described.status not in OPEN:
                        await handle.result()  # raises the failure if the workflow failed
                        raise Conflict(f"the workflow {handle.id} completed without a pending approval")
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            described = await handle.describe()
            raise TimeoutError(
                f"after {timeout_seconds:g} s the workflow {handle.id} has no undecided approval{_obstacle(described)}"
            ) from None


def _obstacle(described: WorkflowExecutionDescription) -> str:
    """What blocks the workflow, if Temporal knows."""
    raw = described.raw_description
    for pending in raw.pending_activities:
        if pending.HasField("last_failure"):
            return f"; its activity {pending.activity_type.name} fails: {pending.last_failure.message}"
    if raw.HasField("pending_workflow_task"):
        return "; its workflow task hasn't completed: no worker is running, or the workflow's code fails (see the worker's log)"
    return ""


async def open_approvals(handle: WorkflowHandle[Any, Any]) -> list[Terms]:
    """The workflow's approvals whose expiry timers are running, from its history, oldest first."""
    converter = handle._client.data_converter
    opened: dict[str, Terms] = {}
    waiting: dict[int, str] = {}
    async for event in handle.fetch_history_events():
        for value in await _candidates(event, converter.decode):
            try:
                terms = Terms.model_validate(value)
            except ValidationError:
                continue
            opened[terms.approval_id] = terms
        if event.HasField("timer_started_event_attributes"):
            summary = (
                await converter.decode([event.user_metadata.summary])
                if event.user_metadata.HasField("summary")
                else [""]
            )
            if str(summary[0]).startswith(TIMER_APPROVAL):
                waiting[event.event_id] = str(summary[0]).removeprefix(TIMER_APPROVAL)
        elif event.HasField("timer_fired_event_attributes"):
            waiting.pop(event.timer_fired_event_attributes.started_event_id, None)
        elif event.HasField("timer_canceled_event_attributes"):
            waiting.pop(event.timer_canceled_event_attributes.started_event_id, None)
    return [opened[approval_id] for approval_id in waiting.values() if approval_id in opened]


async def _candidates(event: HistoryEvent, decode: Any) -> list[Any]:
    """Possible terms in this event: the details of a refusal, or the result of a local activity."""
    payloads: list[Payloads] = []
    if event.HasField("activity_task_failed_event_attributes"):
        failure = event.activity_task_failed_event_attributes.failure
        if failure.application_failure_info.type == ErrorType.APPROVAL_REQUIRED:
            payloads.append(failure.application_failure_info.details)
    if event.HasField("marker_recorded_event_attributes"):
        marker = event.marker_recorded_event_attributes
        if marker.marker_name == "core_local_activity":
            if "result" in marker.details:
                payloads.append(marker.details["result"])
            if marker.failure.application_failure_info.type == ErrorType.APPROVAL_REQUIRED:
                payloads.append(marker.failure.application_failure_info.details)
    return [value for group in payloads for value in await decode(group.payloads)]
