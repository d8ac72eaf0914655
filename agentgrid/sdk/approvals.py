"""Explicit approvals: workflow code requests an approval and waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from temporalio.exceptions import ApplicationError

from agentgrid.domain.approvals import MAX_EXPIRY_SECONDS, Terms
from agentgrid.domain.canonical import sorted_json
from agentgrid.domain.principals import ANY_APPROVER
from agentgrid.protocol import ACTIVITY_CONFIRM_APPROVAL, ACTIVITY_OPEN_APPROVAL, Confirmation, ErrorType
from agentgrid.sdk.recorded import recorded_with_policy
from agentgrid.sdk.schema import to_json_value
from agentgrid.sdk.state import Outcome, current_state


class ApprovalRejected(ApplicationError):
    """The approval was rejected. Raised by the waiting call. The message and the details contain the comment, if there is one."""

    def __init__(self, terms: Terms, principal: str, comment: str | None = None) -> None:
        details = {} if comment is None else {"comment": comment}
        super().__init__(
            f"{terms.title}: rejected by {principal}{f': {comment}' if comment else ''}",
            {"approval_id": terms.approval_id, "principal": principal} | details,
            type=ErrorType.APPROVAL_REJECTED,
            non_retryable=True,
        )

    @property
    def comment(self) -> str | None:
        """The approver's comment, or None."""
        comment: str | None = self.details[0].get("comment")
        return comment


class ApprovalExpired(ApplicationError):
    """Nobody decided in time. Raised by the waiting call."""

    def __init__(self, terms: Terms) -> None:
        super().__init__(
            f"{terms.title}: nobody decided within {timedelta(seconds=terms.expires_seconds)}",
            {"approval_id": terms.approval_id},
            type=ErrorType.APPROVAL_EXPIRED,
            non_retryable=True,
        )


@dataclass(frozen=True, kw_only=True)
class ApprovalRequest:
    """Input of the local activity that opens an approval. A plain dataclass, because every JSON data converter supports those."""

    title: str
    shown: Any
    approvers: list[str]
    expires_seconds: float
    initiator: str | None = None
    issuers: list[str] = field(default_factory=list)
    key: str | None = None
    """The call key, which other calls carry in a header."""


@dataclass(frozen=True, kw_only=True)
class DecidedApproval:
    """Input of the local activity that checks authority again: the terms without `shown`, and the signed decision."""

    terms: dict[str, Any]
    decision: str


@dataclass(frozen=True, kw_only=True)
class Approved:
    """Who approved, when, and with which comment."""

    approval_id: str
    principal: str
    decided_at: datetime
    comment: str | None = None


def refusal(terms: Terms, outcome: Outcome) -> ApplicationError:
    """The error for an approval that was rejected or expired."""
    if outcome.decision is None:
        return ApprovalExpired(terms)
    return ApprovalRejected(terms, outcome.decision.principal, outcome.decision.comment)


async def approval(
    title: str,
    *,
    show: Any = None,
    approvers: Sequence[str] = (ANY_APPROVER,),
    expires: timedelta = timedelta(days=7),
) -> Approved:
    """Request an approval and wait durably for the decision, for at most `expires`.

    show: what approvers see, covered by the digest that they sign; anything that pydantic can serialise to JSON.
    approvers: principals, groups or `role:approver`; the initiator of the run can't decide.

    After an approval, the worker checks the approver's authority again before this returns (in a paused run, after resume). If the approver no
    longer has it, the approval is requested again, under new terms with a new expiry.

    A worker without a policy yet opens the approval once it receives one. Raises ApprovalRejected and ApprovalExpired (both non-retryable
    `ApplicationError`s) and `asyncio.CancelledError`.
    """
    state = current_state()
    if state is None:
        raise ApplicationError(
            "this worker runs without AgentGridPlugin, so approvals can't be requested: add the plugin to the worker",
            type=ErrorType.APPROVAL_UNSUPPORTED,
            non_retryable=True,
        )
    seconds = expires.total_seconds()
    if not approvers or isinstance(approvers, str):
        raise ApplicationError(
            "approvers must be a non-empty sequence of names", type=ErrorType.APPROVAL_UNSUPPORTED, non_retryable=True
        )
    if not 0 < seconds <= MAX_EXPIRY_SECONDS:
        raise ApplicationError(
            f"expires is {expires}; it must be positive, and at most {timedelta(seconds=MAX_EXPIRY_SECONDS).days} days",
            type=ErrorType.APPROVAL_UNSUPPORTED,
            non_retryable=True,
        )
    shown = to_json_value(show)
    request = ApprovalRequest(
        title=title,
        shown=shown,
        approvers=list(approvers),
        expires_seconds=seconds,
        initiator=state.header.initiator,
        issuers=list(state.header.issuers),
        key=state.next_key(ACTIVITY_OPEN_APPROVAL, sorted_json([title, shown])),
    )
    while True:
        terms = Terms.model_validate(await recorded_with_policy(state, ACTIVITY_OPEN_APPROVAL, request, dict, title))
        outcome = await state.wait(terms)
        if outcome.void:
            continue
        accepted = outcome.approval
        if accepted is None:
            raise refusal(terms, outcome)
        decided = DecidedApproval(terms=terms.model_copy(update={"shown": None}).wire(), decision=outcome.raw)
        confirmation = await recorded_with_policy(state, ACTIVITY_CONFIRM_APPROVAL, decided, Confirmation, title)
        if confirmation.holds:
            return Approved(
                approval_id=terms.approval_id,
                principal=accepted.principal,
                decided_at=accepted.decided_at,
                comment=accepted.comment,
            )
