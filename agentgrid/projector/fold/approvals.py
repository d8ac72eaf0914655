"""Approvals, as history records them.

Opened: by terms in the failure of the first call, or in the result of the local activity that opens an explicit approval. Terms that name
another execution are a reset's copy or a forgery: their row is marked inherited, and never listed, found or decided. Decidable: once the
timer named after the approval has started. Counted: the first valid decision signal in the first completed workflow task that saw it, if
that task started before the deadline. Closed: when the timer or the execution ends.
"""

from __future__ import annotations

from datetime import timedelta

from agentgrid.domain.approval_status import ApprovalStatus
from agentgrid.domain.approvals import ApprovalKind, Decision, Terms, judge, read_signal
from agentgrid.domain.commands import CommandKind, CommandStatus
from agentgrid.domain.policies import Risk
from agentgrid.domain.steps import StepKind, StepStatus
from agentgrid.projector import history_events
from agentgrid.projector.fold.columns import ApprovalColumns, StepColumns
from agentgrid.projector.fold.passing import Pass, iso, when
from agentgrid.projector.fold.row_changes import ClaimedSender, Settlement
from agentgrid.projector.fold.state import CLOSED_APPROVALS_KEPT, ExpiryTimer, FoldedApproval, IdleTimer, Signalled
from agentgrid.protocol import TIMER_APPROVAL, ErrorType
from agentgrid.temporal.payloads import ARGUMENTS_BYTES, store_value

MAX_NAME = 255
"""An agent's name in terms is truncated to this: index entries are limited in size, and history may contain anything."""

MAX_TURN = 10**9

RISKS = frozenset(Risk)


def open_approval(
    fold: Pass, event: history_events.DecodedEvent, *, step: int, terms: Terms, shown: history_events.Stored | None
) -> None:
    """The worker asks for an approval: the step waits."""
    bare = terms.model_copy(update={"shown": None}).wire()
    own = _is_own(fold, terms)
    fold.state.approvals[terms.approval_id] = FoldedApproval(step=step, terms=bare, foreign=not own)
    fold.move_step(step, StepStatus.WAITING, approval_id=terms.approval_id if own else None)
    fold.changes.approvals.open(
        terms.approval_id,
        {
            "approval_id": terms.approval_id,
            "step_event_id": step,
            "opened_event_id": event.event_id,
            "kind": terms.kind.value,
            "title": terms.title,
            "tool": terms.tool,
            "tool_version": terms.tool_version,
            "risk": terms.risk if terms.risk in RISKS else None,
            "agent": (terms.agent or "")[:MAX_NAME] or None,
            "agent_version": terms.agent_version,
            "turn": terms.turn if terms.turn is not None and 0 < terms.turn <= MAX_TURN else None,
            "digest": terms.digest,
            "policy": terms.policy,
            "approvers": list(terms.approvers),
            "initiator": terms.initiator,
            "terms": bare,
            "payload": shown,
            "status": ApprovalStatus.PENDING.value,
            "inherited": not own,
            "opened_at": event.at,
            **_refused_change(fold, step),
        },
    )


def _refused_change(fold: Pass, step: int) -> ApprovalColumns:
    refused = fold.state.steps[step].refused if step in fold.state.steps else None
    return {} if refused is None else {"change_refused": refused}


def _is_own(fold: Pass, terms: Terms) -> bool:
    """Whether the terms belong to this execution. Terms without a call key don't: no decision could count under them."""
    state = fold.state
    return (
        terms.execution_id == state.execution_id
        and (state.workflow_id is None or terms.workflow_id == state.workflow_id)
        and terms.key is not None
    )


def cancel_undecidable(fold: Pass, event: history_events.DecodedEvent, step: int) -> None:
    """Cancel the step's approvals that never became decidable, because its call is made again."""
    for approval_id in [
        key for key, approval in fold.state.approvals.items() if approval.step == step and approval.timer is None
    ]:
        _leave(fold, event, approval_id, ApprovalStatus.CANCELLED)


def timer_started(fold: Pass, event: history_events.TimerStarted) -> bool:
    """Whether the timer belongs to an approval, which is decidable from now on."""
    if event.summary is None or not event.summary.startswith(TIMER_APPROVAL):
        return False
    approval_id = event.summary.removeprefix(TIMER_APPROVAL)
    approval = fold.state.approvals.get(approval_id)
    if approval is None or approval.timer is not None:
        return False
    expires_at = event.at + timedelta(seconds=event.seconds)
    completed = fold.state.task_completed
    begun = when(completed.began_at) if completed is not None else None
    approval.timer = event.event_id
    approval.expires_at = iso(expires_at)
    # The workflow uses its own clock: the start of the task whose completion started the timer.
    approval.until = iso((begun or event.at) + timedelta(seconds=approval.terms["expires_seconds"]))
    fold.state.timers[event.event_id] = ExpiryTimer(approval=approval_id)
    fold.changes.approvals.patch(approval_id, {"decidable": True, "expires_at": expires_at})
    if approval.step in fold.state.steps:
        fold.move_step(approval.step, StepStatus.WAITING, due_at=expires_at)
    return True


def decided(fold: Pass, event: history_events.Decided) -> None:
    """A decision signal: kept until a workflow task sees it, or refused with a reason."""
    if event.problem is not None:
        _write(fold, _signal(event), judged="refused", reason=event.problem)
        return
    signed = read_signal(event.raw)
    parsed = signed.decision if signed is not None else None
    approval_id = parsed.approval_id if parsed is not None else None
    approval = fold.state.approvals.get(approval_id or "")
    named = approval or fold.state.closed_approvals.get(approval_id or "")
    if named is None:
        reason = "for an approval that is not open here" if approval_id else "not a signed decision"
        _write(fold, _signal(event, parsed), judged="refused", reason=reason)
        return
    terms = Terms.model_validate(named.terms)
    judgement = judge(terms, event.raw)
    if judgement.verdict is None:
        _write(
            fold, _signal(event, judgement.decision), judged="refused", reason=judgement.reason, approval_id=approval_id
        )
        return
    signal = _signal(event, judgement.decision, terms)
    if approval is None:
        reason = f"the approval was already {named.closed}"
        _write(fold, signal, judged="superseded", reason=reason, approval_id=approval_id)
    elif approval.timer is None:
        _write(fold, signal, judged="refused", reason="before the approval was open", approval_id=approval_id)
    else:
        approval.signalled.append(signal)


def _signal(event: history_events.Decided, decision: Decision | None = None, terms: Terms | None = None) -> Signalled:
    """The signal with its content. terms: the terms under which its signature is valid."""
    return Signalled(
        event_id=event.event_id,
        at=event.at.isoformat(),
        decision=decision.model_dump(mode="json") if decision is not None else {},
        public_key=terms.keys.get(decision.key_id) if terms is not None and decision is not None else None,
        identity=event.identity,
        request_id=event.request_id,
    )


def judge_seen(fold: Pass, *, started_event_id: int, started_at: str | None) -> None:
    """Judge the decisions that this workflow task was the first to see: the first valid one counts, unless it is too late."""
    begun = when(started_at)
    for approval_id, approval in fold.state.approvals.items():
        until = when(approval.until)
        seen = [signal for signal in approval.signalled if signal.event_id < started_event_id]
        for signal in seen:
            approval.signalled.remove(signal)
            if approval.counted is None and begun is not None and until is not None and begun < until:
                approval.counted = signal
                _write(fold, signal, judged="counted", reason=None, approval_id=approval_id)
            else:
                reason = "after its deadline" if approval.counted is None else "another decision came first"
                _write(fold, signal, judged="superseded", reason=reason, approval_id=approval_id)


def timer_ended(fold: Pass, event: history_events.TimerEnded, approval_id: str) -> None:
    """The approval closes: decided, expired, or cancelled with its call."""
    approval = fold.state.approvals.get(approval_id)
    if approval is None:
        return
    if approval.counted is not None:
        _close(fold, event, approval_id, ApprovalStatus(approval.counted.decision["verdict"]))
    elif event.fired:
        _close(fold, event, approval_id, ApprovalStatus.EXPIRED)
    else:
        _close(fold, event, approval_id, ApprovalStatus.CANCELLED)


def _close(fold: Pass, event: history_events.DecodedEvent, approval_id: str, status: ApprovalStatus) -> None:
    approval = _leave(fold, event, approval_id, status)
    explicit = approval.terms["kind"] == ApprovalKind.EXPLICIT.value
    if approval.step not in fold.state.steps:
        return
    if status is ApprovalStatus.APPROVED:
        # The call is made again with the decision, or the worker confirms the decision: immediately, or after a resume.
        if explicit:
            fold.state.steps[approval.step].confirms = approval_id
        fold.move_step(approval.step, StepStatus.SCHEDULED, **_changed_arguments(fold, approval))
    elif status is ApprovalStatus.REJECTED:
        # The error doesn't name the approver: the approval shows who decided, if the decision is attributed.
        error = _error(ErrorType.APPROVAL_REJECTED, "its approval was rejected")
        fold.close_step(approval.step, event, StepStatus.FAILED, error=error)
    elif status is ApprovalStatus.EXPIRED:
        fold.close_step(
            approval.step,
            event,
            StepStatus.TIMED_OUT,
            error=_error(ErrorType.APPROVAL_EXPIRED, "nobody decided in time"),
        )
    else:
        fold.close_step(approval.step, event, StepStatus.CANCELLED)


def _changed_arguments(fold: Pass, approval: FoldedApproval) -> StepColumns:
    """The step's columns for the arguments that the approver changed; the call sends these from now on."""
    arguments = approval.counted.decision.get("arguments") if approval.counted is not None else None
    step = fold.state.steps[approval.step]
    step.refused = None
    if arguments is None:
        return {"due_at": None}
    step.changed = store_value(arguments, limit=ARGUMENTS_BYTES)
    return {"due_at": None, "changed_input": step.changed}


def _leave(
    fold: Pass, event: history_events.DecodedEvent, approval_id: str, status: ApprovalStatus, *, inherited: bool = False
) -> FoldedApproval:
    """Remove the approval from the open ones and write its end."""
    approval = fold.state.approvals.pop(approval_id)
    for signal in approval.signalled:
        reason = f"the approval was already {status.value}"
        _write(fold, signal, judged="superseded", reason=reason, approval_id=approval_id)
    approval.signalled = []
    approval.closed = status.value
    kept = [*fold.state.closed_approvals.items(), (approval_id, approval)][-CLOSED_APPROVALS_KEPT:]
    fold.state.closed_approvals = dict(kept)
    columns: ApprovalColumns = {"status": status.value, "decidable": False, "closed_at": event.at}
    if inherited:
        columns["inherited"] = True
    if approval.counted is not None and status.value == approval.counted.decision["verdict"]:
        columns["decision_event_id"] = approval.counted.event_id
        if (arguments := approval.counted.decision.get("arguments")) is not None:
            columns["changed"] = store_value(arguments, limit=ARGUMENTS_BYTES)
            columns["changed_digest"] = approval.counted.decision["digest"]
            columns["proposed_by"] = approval.counted.decision.get("proposer")
        _claim(fold, approval.counted)
    fold.changes.approvals.patch(approval_id, columns)
    return approval


def close_all(fold: Pass, event: history_events.Closed) -> None:
    """The execution ends: decided approvals stay decided, the others are cancelled."""
    for approval_id in sorted(fold.state.approvals):
        counted = fold.state.approvals[approval_id].counted
        if counted is not None:
            _close(fold, event, approval_id, ApprovalStatus(counted.decision["verdict"]))
        else:
            _leave(fold, event, approval_id, ApprovalStatus.CANCELLED)


def void_all(fold: Pass, event: history_events.TaskFailed) -> None:
    """A reset forked here: the copies of open approvals are void, and policy is evaluated again under the same call key."""
    for approval_id in sorted(fold.state.approvals):
        approval = fold.state.approvals[approval_id]
        _leave(fold, event, approval_id, ApprovalStatus.CANCELLED, inherited=True)
        if approval.timer is not None:
            fold.state.timers[approval.timer] = IdleTimer()
        if approval.step not in fold.state.steps:
            continue
        if fold.state.steps[approval.step].kind == StepKind.APPROVAL.value:
            fold.close_step(approval.step, event, StepStatus.CANCELLED, inherited=True)
        else:
            fold.move_step(approval.step, StepStatus.SCHEDULED, due_at=None, approval_id=None)


def _write(fold: Pass, signal: Signalled, *, judged: str, reason: str | None, approval_id: str | None = None) -> None:
    decision = signal.decision
    fold.changes.decisions[signal.event_id] = {
        "event_id": signal.event_id,
        "approval_id": approval_id,
        "judged": judged,
        "reason": reason,
        "verdict": decision.get("verdict"),
        "principal": decision.get("principal"),
        "approver": decision.get("approver"),
        "key_id": decision.get("key_id"),
        "decided_at": when(decision.get("decided_at")),
        "signalled_at": when(signal.at),
        "identity": signal.identity,
    }
    _claim(fold, signal)
    # A copy of the signal in a reset's history, or one that a reset reapplied, proves nothing about the command.
    if signal.request_id is not None and decision.get("execution_id") == fold.state.execution_id:
        fold.changes.settlements.append(
            Settlement(
                command_id=signal.request_id,
                kind=CommandKind.APPROVAL_DECIDE,
                status=CommandStatus.APPLIED if judged == "counted" else CommandStatus.SUPERSEDED,
                outcome={"event_id": signal.event_id, "judged": judged, "reason": reason},
            )
        )


def _claim(fold: Pass, signal: Signalled) -> None:
    fold.changes.claims[signal.event_id] = ClaimedSender(
        kind=CommandKind.APPROVAL_DECIDE,
        principal=signal.decision.get("principal"),
        command_id=signal.decision.get("nonce"),
        request_id=signal.request_id,
        decision=signal.decision,
        public_key=signal.public_key,
    )


def _error(kind: str, message: str) -> history_events.Stored:
    return {"type": kind, "message": message, "retryable": False}
