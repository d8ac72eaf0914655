"""Approvals as history tells them.

Opened: the terms, in the failure of the first call or the result of the local activity that opens an explicit approval. Terms that name another
execution are a reset's copy or a forgery: their row is marked inherited, and so is never listed, found or decided. Decidable: the timer
named after it has started. Counted: the first valid decision signal in the first completed workflow task that saw it, if that task started
before the deadline. Closed: the timer's end, or the execution's.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from agentgrid.domain.approvals import ApprovalKind, ApprovalStatus, Judgement, SignedDecision, Terms, judge
from agentgrid.domain.commands import CommandStatus
from agentgrid.domain.steps import StepKind, StepStatus
from agentgrid.projector import events
from agentgrid.projector.fold.changes import Settlement
from agentgrid.projector.fold.passing import Pass, iso, when
from agentgrid.projector.fold.state import CLOSED_GATES_KEPT, Gate, Signalled
from agentgrid.protocol import TIMER_APPROVAL, ErrorType
from agentgrid.temporal.payloads import store_value


def open_gate(fold: Pass, event: events.Event, *, step: int, terms: Terms, shown: events.Stored | None) -> None:
    """The worker asks for people: the step waits."""
    bare = terms.model_copy(update={"shown": None}).wire()
    own = _own(fold, terms)
    fold.state.gates[terms.approval_id] = Gate(step=step, terms=bare, foreign=not own)
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
            "digest": terms.digest,
            "policy": terms.policy,
            "approvers": list(terms.approvers),
            "initiator": terms.initiator,
            "terms": bare,
            "payload": shown,
            "status": ApprovalStatus.PENDING.value,
            "inherited": not own,
            "opened_at": event.at,
        },
    )


def _own(fold: Pass, terms: Terms) -> bool:
    """Whether the terms are about this execution. Without a call's key no decision could count under them."""
    state = fold.state
    return (
        terms.execution_id == state.execution_id
        and (state.workflow_id is None or terms.workflow_id == state.workflow_id)
        and terms.key is not None
    )


def called_again(fold: Pass, event: events.Event, step: int) -> None:
    """The call of this step is made again: a gate that it asked for and never waited at is cancelled."""
    for approval_id in [key for key, gate in fold.state.gates.items() if gate.step == step and gate.timer is None]:
        _leave(fold, event, approval_id, ApprovalStatus.CANCELLED)


def timer_started(fold: Pass, event: events.TimerStarted) -> bool:
    """Whether the timer is an approval's; from here on it can be decided."""
    if event.summary is None or not event.summary.startswith(TIMER_APPROVAL):
        return False
    approval_id = event.summary.removeprefix(TIMER_APPROVAL)
    gate = fold.state.gates.get(approval_id)
    if gate is None or gate.timer is not None:
        return False
    expires_at = event.at + timedelta(seconds=event.seconds)
    completed = fold.state.task_completed
    begun = when(completed[1]) if completed is not None else None
    gate.timer = event.event_id
    gate.expires_at = iso(expires_at)
    # The workflow counts from its own clock: the start of the task whose completion started the timer.
    gate.until = iso((begun or event.at) + timedelta(seconds=gate.terms["expires_seconds"]))
    fold.state.timers[event.event_id] = f"gate:{approval_id}"
    fold.changes.approvals.patch(approval_id, decidable=True, expires_at=expires_at)
    if gate.step in fold.state.steps:
        fold.move_step(gate.step, StepStatus.WAITING, due_at=expires_at)
    return True


def decided(fold: Pass, event: events.Decided) -> None:
    """A decision signal: kept until a task sees it, or refused with the reason."""
    if event.problem is not None:
        _record(fold, event, judged="refused", reason=event.problem)
        return
    named = _approval_named(event.raw)
    gate = fold.state.gates.get(named or "")
    late = fold.state.closed_gates.get(named or "")
    known = gate or late
    if known is None:
        reason = "for an approval that is not open here" if named else "not a signed decision"
        _record(fold, event, judged="refused", reason=reason, judgement=_parsed(event.raw))
        return
    judgement = judge(Terms.model_validate(known.terms), event.raw)
    if judgement.verdict is None:
        _record(fold, event, judged="refused", approval_id=named, reason=judgement.reason, judgement=judgement)
    elif gate is None:
        reason = f"the approval had been {known.closed}"
        _record(fold, event, judged="superseded", approval_id=named, reason=reason, judgement=judgement)
    elif gate.timer is None:
        reason = "before the approval was open"
        _record(fold, event, judged="refused", approval_id=named, reason=reason, judgement=judgement)
    else:
        assert judgement.decision is not None
        gate.signalled.append(
            Signalled(
                event_id=event.event_id,
                at=event.at.isoformat(),
                verdict=judgement.verdict.value,
                decision=judgement.decision.model_dump(mode="json"),
                identity=event.identity,
                request_id=event.request_id,
            )
        )


def task_saw(fold: Pass, *, started_event_id: int, started_at: str | None) -> None:
    """Judge what this workflow task was the first to see: the first valid decision counts, if it isn't too late."""
    begun = when(started_at)
    for approval_id, gate in fold.state.gates.items():
        until = when(gate.until)
        seen = [signal for signal in gate.signalled if signal.event_id < started_event_id]
        for signal in seen:
            gate.signalled.remove(signal)
            if gate.counted is None and begun is not None and until is not None and begun < until:
                gate.counted = signal
                _judged(fold, approval_id, signal, judged="counted", reason=None)
            else:
                reason = "after its deadline" if gate.counted is None else "another decision came first"
                _judged(fold, approval_id, signal, judged="superseded", reason=reason)


def timer_ended(fold: Pass, event: events.TimerEnded, approval_id: str) -> None:
    """The gate closes: decided, expired, or its call was cancelled."""
    gate = fold.state.gates.get(approval_id)
    if gate is None:
        return
    if gate.counted is not None:
        _close(fold, event, approval_id, ApprovalStatus(gate.counted.verdict))
    elif event.fired:
        _close(fold, event, approval_id, ApprovalStatus.EXPIRED)
    else:
        _close(fold, event, approval_id, ApprovalStatus.CANCELLED)


def _close(fold: Pass, event: events.Event, approval_id: str, status: ApprovalStatus) -> None:
    gate = _leave(fold, event, approval_id, status)
    explicit = gate.terms["kind"] == ApprovalKind.EXPLICIT.value
    if gate.step not in fold.state.steps:
        return
    if status is ApprovalStatus.APPROVED:
        # The call is made again under the decision, or the worker confirms it: at once or after resume.
        columns = {}
        if explicit and gate.counted is not None:
            fold.state.steps[gate.step].confirms = approval_id
            columns["output"] = store_value({"approved_by": gate.counted.decision["principal"]})
        fold.move_step(gate.step, StepStatus.SCHEDULED, due_at=None, **columns)
    elif status is ApprovalStatus.REJECTED:
        who = gate.counted.decision["principal"] if gate.counted else "somebody"
        fold.close_step(
            gate.step, event, StepStatus.FAILED, error=_error(ErrorType.APPROVAL_REJECTED, f"rejected by {who}")
        )
    elif status is ApprovalStatus.EXPIRED:
        fold.close_step(
            gate.step, event, StepStatus.TIMED_OUT, error=_error(ErrorType.APPROVAL_EXPIRED, "nobody decided in time")
        )
    else:
        fold.close_step(gate.step, event, StepStatus.CANCELLED)


def _leave(fold: Pass, event: events.Event, approval_id: str, status: ApprovalStatus, **columns: Any) -> Gate:
    """Take the gate out of the open ones and write its end."""
    gate = fold.state.gates.pop(approval_id)
    for signal in gate.signalled:
        _judged(fold, approval_id, signal, judged="superseded", reason=f"the approval had been {status.value}")
    gate.signalled = []
    gate.closed = status.value
    kept = [*fold.state.closed_gates.items(), (approval_id, gate)][-CLOSED_GATES_KEPT:]
    fold.state.closed_gates = dict(kept)
    if gate.counted is not None and status.value == gate.counted.verdict:
        columns["decided_by"] = gate.counted.decision["principal"]
        columns["decision_event_id"] = gate.counted.event_id
        columns["command_id"] = gate.counted.decision["nonce"]
    fold.changes.approvals.patch(approval_id, status=status.value, decidable=False, closed_at=event.at, **columns)
    return gate


def close_all(fold: Pass, event: events.Closed) -> None:
    """The execution ends: what was decided stays decided, the rest is cancelled."""
    for approval_id in sorted(fold.state.gates):
        counted = fold.state.gates[approval_id].counted
        if counted is not None:
            _close(fold, event, approval_id, ApprovalStatus(counted.verdict))
        else:
            _leave(fold, event, approval_id, ApprovalStatus.CANCELLED)


def void_all(fold: Pass, event: events.TaskFailed) -> None:
    """A reset forked here: the copies of open gates are void, and policy is asked again under the same key."""
    for approval_id in sorted(fold.state.gates):
        gate = fold.state.gates[approval_id]
        _leave(fold, event, approval_id, ApprovalStatus.CANCELLED, inherited=True)
        if gate.timer is not None:
            fold.state.timers[gate.timer] = "void"
        if gate.step not in fold.state.steps:
            continue
        if fold.state.steps[gate.step].kind == StepKind.APPROVAL.value:
            fold.close_step(gate.step, event, StepStatus.CANCELLED, inherited=True)
            fold.state.steps_done -= 1
            fold.state.step_count -= 1
        else:
            fold.move_step(gate.step, StepStatus.SCHEDULED, due_at=None, approval_id=None)


def _judged(fold: Pass, approval_id: str, signal: Signalled, *, judged: str, reason: str | None) -> None:
    _write(
        fold,
        event_id=signal.event_id,
        signalled_at=when(signal.at),
        approval_id=approval_id,
        judged=judged,
        reason=reason,
        decision=signal.decision,
        identity=signal.identity,
        request_id=signal.request_id,
    )


def _record(
    fold: Pass,
    event: events.Decided,
    *,
    judged: str,
    reason: str | None,
    approval_id: str | None = None,
    judgement: Judgement | None = None,
) -> None:
    decision = judgement.decision if judgement is not None else None
    _write(
        fold,
        event_id=event.event_id,
        signalled_at=event.at,
        approval_id=approval_id,
        judged=judged,
        reason=reason,
        decision=decision.model_dump(mode="json") if decision is not None else {},
        identity=event.identity,
        request_id=event.request_id,
    )


def _write(
    fold: Pass,
    *,
    event_id: int,
    signalled_at: Any,
    approval_id: str | None,
    judged: str,
    reason: str | None,
    decision: dict[str, Any],
    identity: str | None,
    request_id: str | None,
) -> None:
    fold.changes.decisions[event_id] = {
        "event_id": event_id,
        "approval_id": approval_id,
        "judged": judged,
        "reason": reason,
        "verdict": decision.get("verdict"),
        "principal": decision.get("principal"),
        "approver": decision.get("approver"),
        "key_id": decision.get("key_id"),
        "decided_at": when(decision.get("decided_at")),
        "signalled_at": signalled_at,
        "identity": identity,
        "command_id": request_id,
    }
    # A copy of the signal in a reset's history, or one that a reset applied again, says nothing of the command.
    if request_id is not None and decision.get("execution_id") == fold.state.execution_id:
        status = CommandStatus.APPLIED if judged == "counted" else CommandStatus.SUPERSEDED
        outcome = {"event_id": event_id, "judged": judged, "reason": reason}
        fold.changes.settlements.append(Settlement(command_id=request_id, status=status, outcome=outcome))


def _approval_named(raw: bytes) -> str | None:
    parsed = _parsed(raw)
    return parsed.decision.approval_id if parsed is not None and parsed.decision is not None else None


def _parsed(raw: bytes) -> Judgement | None:
    try:
        return Judgement(decision=SignedDecision.model_validate_json(raw).decision)
    except (ValidationError, ValueError):
        return None


def _error(kind: str, message: str) -> events.Stored:
    return {"type": kind, "message": message, "retryable": False}
