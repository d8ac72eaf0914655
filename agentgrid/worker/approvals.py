"""The two local activities of an explicit approval: one opens it, the other rechecks authority after a decision.

History records their results, so a replay sees what the worker answered then, whatever the policy is now.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from agentgrid.domain.approvals import COMMENT, ApprovalKind, Terms
from agentgrid.domain.backoff import backoff
from agentgrid.domain.canonical import digest
from agentgrid.domain.ids import new_id
from agentgrid.protocol import ACTIVITY_CONFIRM_APPROVAL, ACTIVITY_OPEN_APPROVAL, Confirmation, ErrorType, PolicyWait
from agentgrid.sdk.approvals import ApprovalRequest, DecidedApproval
from agentgrid.worker.governor import Governor

MAX_STALE_RETRY_SECONDS = 60.0
"""Maximum retry delay for a caller without a call key, which can't wait in its workflow. The delay doubles with each attempt."""


def approval_activities(governor: Governor, *, policy_wait_seconds: float) -> list[Any]:
    """The local activities that a worker with workflows registers."""

    @activity.defn(name=ACTIVITY_OPEN_APPROVAL)
    async def open_approval(request: ApprovalRequest) -> dict[str, Any]:
        info = activity.info()
        snapshot = governor.policy.snapshot
        if snapshot is None or not snapshot.keys_in_force:
            reason = "no policy with signing keys has reached this worker yet"
            raise stale_policy(reason, request.key, info.attempt, policy_wait_seconds)
        try:
            bound = digest([request.title, request.shown])
        except ValueError as error:
            raise ApplicationError(
                f"{request.title}: the shown value can't be signed exactly: {error}",
                type=ErrorType.APPROVAL_UNSUPPORTED,
                non_retryable=True,
            ) from None
        terms = Terms(
            approval_id=new_id(),
            kind=ApprovalKind.EXPLICIT,
            title=request.title,
            namespace=info.namespace,
            workflow_id=info.workflow_id or "",
            execution_id=info.workflow_run_id or "",
            digest=bound,
            key=request.key,
            shown=request.shown,
            approvers=tuple(request.approvers),
            initiator=request.initiator,
            issuers=tuple(request.issuers),
            expires_seconds=governor.policy.expiry_seconds(request.expires_seconds),
            keys=snapshot.keys_in_force,
            takes=(COMMENT,),
        )
        return terms.wire()

    @activity.defn(name=ACTIVITY_CONFIRM_APPROVAL)
    async def confirm_approval(decided: DecidedApproval) -> Confirmation:
        info = activity.info()
        terms = Terms.model_validate(decided.terms)
        await governor.policy.caught_up()
        snapshot = governor.policy.snapshot
        stale = governor.stale(snapshot, writes=True)
        if stale is not None:
            raise stale_policy(stale.reason, terms.key, info.attempt, policy_wait_seconds)
        assert snapshot is not None  # a missing snapshot is stale
        here = {
            "namespace": info.namespace,
            "workflow_id": info.workflow_id or "",
            "execution_id": info.workflow_run_id or "",
        }
        refusal = governor.confirms(terms.model_copy(update=here), decided.decision, snapshot, datetime.now(UTC))
        return Confirmation(approval_id=terms.approval_id, holds=refusal is None, reason=refusal)

    return [open_approval, confirm_approval]


def stale_policy(reason: str, key: str | None, attempt: int, wait_seconds: float) -> ApplicationError:
    """The error for a stale policy. Callers under the plugin wait and call again without using up the tool's retries; others can only retry."""
    if key is not None:
        return ApplicationError(
            reason,
            PolicyWait(key=key, first_seconds=wait_seconds).model_dump(mode="json"),
            type=ErrorType.POLICY_STALE,
            non_retryable=True,
            category=ApplicationErrorCategory.BENIGN,
        )
    delay = backoff(wait_seconds, MAX_STALE_RETRY_SECONDS, tries=attempt - 1)
    return ApplicationError(reason, type=ErrorType.POLICY_STALE, next_retry_delay=timedelta(seconds=delay))
