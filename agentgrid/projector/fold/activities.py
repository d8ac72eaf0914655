"""Activities, remote and local. A call that is made again after an approval stays one step: its calls share a call key."""

from __future__ import annotations

from agentgrid.domain.approvals import ApprovalKind, Terms
from agentgrid.domain.steps import StepKind, StepStatus
from agentgrid.projector import history_events
from agentgrid.projector.fold import agents, approvals, governed
from agentgrid.projector.fold.columns import StepColumns
from agentgrid.projector.fold.passing import LIVE_CLEARED, Pass, iso
from agentgrid.projector.fold.state import Backoff
from agentgrid.protocol import ACTIVITY_CONFIRM_APPROVAL, ACTIVITY_OPEN_APPROVAL, Confirmation, ErrorType
from agentgrid.temporal.payloads import ARGUMENTS_BYTES, store_value


def scheduled(fold: Pass, event: history_events.ActivityScheduled) -> None:
    """A new call, or the same call again after an approval, a wait for policy or a reset."""
    governed.called(fold, headed=event.headed)
    waiting = _step_waiting_for_call(fold, event.call_key)
    fold.state.activity_ids[event.event_id] = event.activity_id
    if waiting is not None:
        approvals.cancel_undecidable(fold, event, waiting)
        step = fold.state.steps[waiting]
        step.since = iso(event.at)
        fold.state.calls[event.event_id] = waiting
        columns: StepColumns = {"activity_id": event.activity_id, "due_at": None, "error": None}
        if step.changed is not None:
            columns["changed_input"] = step.changed = event.input
        fold.move_call(waiting, StepStatus.SCHEDULED, **columns)
        return
    fold.state.calls[event.event_id] = event.event_id
    position = agents.position(fold, event.agent)
    fold.open_step(
        event,
        event.kind,
        event.name or event.activity_type,
        StepStatus.SCHEDULED,
        title=event.title,
        parent=position.step,
        turn=position.turn,
        attempts=0,
        activity_id=event.activity_id,
        task_queue=event.task_queue,
        call_key=event.call_key,
        tool_version=event.tool_version,
        governed=event.call_key is not None,
        input=event.input,
    )


def _step_waiting_for_call(fold: Pass, call_key: str | None) -> int | None:
    """The open step with this call key that has no call in flight."""
    if call_key is None:
        return None
    running = set(fold.state.calls.values())
    steps = fold.state.steps.items()
    return next((key for key, step in steps if step.call_key == call_key and key not in running), None)


def started(fold: Pass, event: history_events.ActivityStarted) -> None:
    """An attempt starts. History records that only once the attempt ends or is cancelled."""
    key = fold.state.calls.get(event.scheduled_event_id)
    if key is None:
        agents.abandoned_started(fold, event)
        return
    step = fold.state.steps[key]
    step.attempts = step.attempts_before + event.attempt
    fold.move_call(key, StepStatus.RUNNING, attempts=step.attempts, started_at=event.at, worker=event.worker)


def closed(fold: Pass, event: history_events.ActivityClosed) -> None:
    """A call ends, and with it its step, unless the call will be made again: after an approval, or for policy or changed arguments."""
    key = fold.state.calls.pop(event.scheduled_event_id, None)
    fold.state.activity_ids.pop(event.scheduled_event_id, None)
    if key is None:
        agents.abandoned_closed(fold, event)
        return
    step = fold.state.steps[key]
    if event.terms is not None and step.call_key is not None:
        # An attempt that only asked for an approval doesn't count.
        step.attempts_before = step.attempts = max(step.attempts - 1, 0)
        fold.changes.steps.patch(key, {"attempts": step.attempts, "started_at": None, "worker": None, **LIVE_CLEARED})
        approvals.open_approval(fold, event, step=key, terms=event.terms, shown=_shown(event.terms) or step.changed)
        return
    if _drops_change(fold, event, key):
        return
    if _waits_for_policy(fold, event, key):
        return
    if event.turn is not None and step.kind == StepKind.MODEL.value:
        agents.answered(fold, key, event, event.turn)
        return
    fold.close_step(key, event, event.status, output=event.output, error=event.error)


def _drops_change(fold: Pass, event: history_events.ActivityClosed | history_events.LocalActivity, key: int) -> bool:
    """Whether the worker found an approver's arguments invalid, so that the call is made with the original ones. That attempt doesn't count."""
    step, error = fold.state.steps[key], event.error or {}
    if step.changed is None or error.get("type") != ErrorType.TOOL_INPUT:
        return False
    step.changed, step.refused = None, str(error.get("message") or "the arguments are invalid")
    _call_again(fold, key, StepStatus.SCHEDULED, error)
    fold.changes.steps.patch(key, {"changed_input": None})
    return True


def _waits_for_policy(
    fold: Pass, event: history_events.ActivityClosed | history_events.LocalActivity, key: int
) -> bool:
    """Whether the call was denied because of a stale policy and is made again later. That attempt doesn't count."""
    wait, step = event.policy_wait, fold.state.steps[key]
    if wait is None or wait.over(step.policy_tries):
        return False
    step.policy_tries += 1
    step.call_key = wait.key
    _call_again(fold, key, StepStatus.WAITING, event.error)
    return True


def _call_again(fold: Pass, key: int, status: StepStatus, error: history_events.Stored | None) -> None:
    """Take back the denied attempt and let the step wait for its next call."""
    step = fold.state.steps[key]
    step.attempts_before = step.attempts = max(step.attempts - 1, 0)
    fold.move_call(key, status, attempts=step.attempts, started_at=None, worker=None, error=error)


def local(fold: Pass, event: history_events.LocalActivity) -> None:
    """The marker of a local activity, recorded when it ends or when its backoff outlasts the workflow task."""
    if event.hold is not None:
        agents.hold(fold, event)
        return
    if isinstance(event.agent, history_events.AgentOpened):
        agents.opened(fold, event, event.agent)
        return
    if isinstance(event.agent, history_events.AgentClosed):
        agents.closed(fold, event, event.agent)
        return
    state = fold.state
    thread = _thread(fold, event)
    key = state.local.pop(thread, None)
    if key is None:
        key = _earlier_local_step(fold, event)
    if key is None:
        key = event.event_id
        _open_local(fold, event)
    step = state.steps[key]
    if step.confirms is None:
        step.attempts = step.attempts_before + event.attempt
    if event.backs_off:
        state.local[thread] = key
        state.backoff = Backoff(step=key, seconds=event.backoff_seconds)
        fold.move_step(key, StepStatus.SCHEDULED, attempts=step.attempts, error=event.error)
    elif event.terms is not None:
        _open_local_approval(fold, event, key)
    elif _drops_change(fold, event, key) or _waits_for_policy(fold, event, key):
        step.local_type = event.activity_type
    elif event.confirmation is not None and step.confirms is not None:
        _confirmed(fold, event, key, event.confirmation)
    else:
        status = StepStatus.COMPLETED if event.error is None else StepStatus.FAILED
        if event.cancelled:
            status = StepStatus.CANCELLED
        fold.close_step(key, event, status, attempts=step.attempts, output=event.output, error=event.error)


def _thread(fold: Pass, event: history_events.LocalActivity) -> str:
    """The key shared by the markers of one call with backoff: the type and the time it was first scheduled.

    If the SDK doesn't record that time, the marker belongs to the oldest call of this type that is in backoff with fewer attempts.
    """
    if event.first_scheduled_at is not None:
        return f"{event.activity_type}@{iso(event.first_scheduled_at)}"
    backing_off = sorted((key, thread) for thread, key in fold.state.local.items())
    for key, thread in backing_off:
        if thread.startswith(f"{event.activity_type}#") and fold.state.steps[key].attempts < event.attempt:
            return thread
    return f"{event.activity_type}#{event.event_id}"


def _confirmed(fold: Pass, event: history_events.LocalActivity, key: int, confirmation: Confirmation) -> None:
    """Complete the step if the decision on its explicit approval is valid; otherwise the step waits for a new decision."""
    step = fold.state.steps[key]
    step.confirms = None
    if confirmation.holds:
        fold.close_step(key, event, StepStatus.COMPLETED)
    else:
        step.local_type = ACTIVITY_OPEN_APPROVAL
        fold.move_step(key, StepStatus.SCHEDULED, approval_id=None)


def _open_local(fold: Pass, event: history_events.LocalActivity) -> None:
    opens_approval = event.activity_type == ACTIVITY_OPEN_APPROVAL
    name = event.name or event.activity_type
    kind, title = event.kind, event.title
    if opens_approval:
        kind = StepKind.APPROVAL
        name = event.terms.title if event.terms is not None else event.title or "approval"
        title = None
    fold.open_step(
        event,
        kind,
        name,
        StepStatus.RUNNING,
        title=title,
        scheduled_at=event.first_scheduled_at or event.at,
        activity_id=event.activity_id,
        local=not opens_approval and kind is not StepKind.AGENT,
        input=event.input,
        call_key=event.terms.key if event.terms is not None else None,
        governed=event.terms is not None or opens_approval,
    )


def _open_local_approval(fold: Pass, event: history_events.LocalActivity, key: int) -> None:
    assert event.terms is not None
    step = fold.state.steps[key]
    step.attempts_before = step.attempts = 0 if event.explicit else max(step.attempts - 1, 0)
    step.local_type = None if event.explicit else event.activity_type
    step.call_key = event.terms.key
    step.policy_tries = 0 if event.explicit else step.policy_tries
    fold.changes.steps.patch(key, {"attempts": step.attempts, "error": None})
    shown = event.shown if event.explicit else _shown(event.terms)
    approvals.open_approval(fold, event, step=key, terms=event.terms, shown=shown)


def _earlier_local_step(fold: Pass, event: history_events.LocalActivity) -> int | None:
    """The step that the marker belongs to, if an earlier marker opened it.

    The call was approved, waited for policy, lost its approval in a reset, or has an approval that must be confirmed or requested again. Only
    some markers identify their call.
    """
    if event.activity_type == ACTIVITY_CONFIRM_APPROVAL:
        about = event.confirmation.approval_id if event.confirmation is not None else None
        waiting = (key for key, step in fold.state.steps.items() if step.confirms is not None)
        return next((key for key in waiting if about in (None, fold.state.steps[key].confirms)), None)
    requested = event.terms.key if event.terms is not None and event.explicit else None
    for key, step in fold.state.steps.items():
        if step.local_type != event.activity_type or step.status != StepStatus.SCHEDULED.value:
            continue
        if requested is None or step.call_key in (None, requested):
            step.local_type = None
            return key
    return None


def _shown(terms: Terms) -> history_events.Stored | None:
    """The arguments that the terms show. Those of a plain activity are stored as for a remote call: a single argument without a list."""
    if terms.shown is None:
        return None
    if terms.tool_version is not None or terms.kind is ApprovalKind.EXPLICIT or not isinstance(terms.shown, list):
        return store_value(terms.shown, limit=ARGUMENTS_BYTES)
    if len(terms.shown) == 1:
        return store_value(terms.shown[0], limit=ARGUMENTS_BYTES)
    stored = store_value(terms.shown, limit=ARGUMENTS_BYTES)
    if "value" not in stored:
        return stored
    return {"size": stored["size"], "arity": len(terms.shown), "values": stored["value"]}
