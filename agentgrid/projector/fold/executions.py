"""The execution itself: its start, workflow tasks, a reset's fork, controls, and its end."""

from __future__ import annotations

from datetime import timedelta

from agentgrid.domain.commands import CommandKind, CommandStatus
from agentgrid.domain.runs import ExecutionKind, ExecutionStatus
from agentgrid.domain.steps import StepStatus
from agentgrid.projector import history_events
from agentgrid.projector.fold import approvals, governed
from agentgrid.projector.fold.passing import Pass, iso
from agentgrid.projector.fold.row_changes import ClaimedSender, Fork, Settlement
from agentgrid.projector.fold.state import INTERRUPTS_KEPT, CompletedTask, StartedTask
from agentgrid.protocol import SENDER_PREFIX, ControlSignal


def started(fold: Pass, event: history_events.Started) -> None:
    """The execution starts (event 1)."""
    state = fold.state
    fold.changes.started = event
    state.kind = event.kind.value
    state.started_at = iso(event.at)
    state.workflow = event.workflow
    state.workflow_id = event.workflow_id
    state.task_queue = event.task_queue
    state.first_execution_id = event.first_execution_id
    state.parent_execution_id = event.parent_execution_id
    state.paused = event.header is not None and event.header.paused
    if event.backoff_seconds:
        state.first_task_at = iso(event.at + timedelta(seconds=event.backoff_seconds))


def task_scheduled(fold: Pass, event: history_events.TaskScheduled) -> None:
    """A workflow task waits for a worker."""
    fold.state.task = iso(event.at)
    fold.state.first_task_at = None


def task_started(fold: Pass, event: history_events.TaskStarted) -> None:
    """A worker took the task. The start time is `now` for the workflow's code."""
    fold.state.task = fold.state.task or iso(event.at)
    fold.state.task_started = StartedTask(event_id=event.event_id, at=event.at.isoformat(), build=event.build)


def task_completed(fold: Pass, event: history_events.TaskCompleted) -> None:
    """The completed task is the first to have seen the events before its start."""
    state = fold.state
    begun = event.at.isoformat()
    if state.task_started is not None and state.task_started.event_id == event.started_event_id:
        begun = state.task_started.at
    state.task_completed = CompletedTask(event_id=event.event_id, began_at=begun)
    state.task = None
    state.problem, state.misfit = None, False
    state.build = event.build or state.build
    governed.task_completed(fold, event)
    approvals.judge_seen(fold, started_event_id=event.started_event_id, started_at=begun)


def task_failed(fold: Pass, event: history_events.TaskFailed) -> None:
    """Temporal retries at once without recording it in history, so the task counts as scheduled until one completes."""
    if event.fork:
        _forked(fold, event)
        return
    fold.state.task = fold.state.task or iso(event.at)
    if event.cause != "unhandled_command":
        # An unhandled command isn't a failure: an event arrived while the task ran, so the task is run again.
        fold.state.problem, fold.state.misfit = _problem(fold, event), event.misfit


def _problem(fold: Pass, event: history_events.TaskFailed) -> str:
    """Describes the failure, the worker and its build."""
    error = event.error or {}
    text = error.get("message") or event.cause.replace("_", " ")
    # Only completed tasks carry a deployment. Without one the SDK still sends a build id, which identifies no user version.
    started = fold.state.task_started
    build = started.build if started is not None and fold.state.build is not None else None
    worker = f"worker {event.worker or 'unknown'}" + (f" (build {build})" if build else "")
    if event.misfit:
        return f"non-determinism: the code of {worker} doesn't match the run's history: {text}"[:500]
    return f"its workflow task fails on {worker}: {error.get('type') or event.cause}: {text}"[:500]


def _forked(fold: Pass, event: history_events.TaskFailed) -> None:
    """A reset created this execution: everything that ended before is a copy, and open approvals are void."""
    state = fold.state
    state.kind = ExecutionKind.RESET.value
    state.started_at = iso(event.at)
    state.task = None
    state.problem, state.misfit = None, False
    fold.state.usage = {}
    fold.changes.fork = Fork(
        event_id=event.event_id, base_execution_id=event.base_execution_id, reason=event.reason or None
    )
    inherit(fold)
    approvals.void_all(fold, event)


def inherit(fold: Pass) -> None:
    """Mark rows that ended in this pass as copies; the store marks those that ended in earlier passes."""
    steps, approvals = fold.changes.steps, fold.changes.approvals
    for step in (*steps.opened.values(), *steps.patched.values()):
        if step.get("closed_event_id") is not None:
            step["inherited"] = True
    for approval in (*approvals.opened.values(), *approvals.patched.values()):
        if approval.get("closed_at") is not None:
            approval["inherited"] = True
    for decision in fold.changes.decisions.values():
        decision["inherited"] = True
    for control in fold.changes.controls.values():
        control["inherited"] = True


def cancel_requested(fold: Pass, event: history_events.CancelRequested) -> None:
    """Cancellation requested; the workflow decides how to stop."""
    fold.state.cancel_requested = True
    settle(fold, CommandKind.RUN_CANCEL, _sender(event.identity), {"event_id": event.event_id})


def controlled(fold: Pass, event: history_events.Controlled) -> None:
    """Pause, resume or interrupt. A malformed control signal has no effect, neither here nor in the workflow."""
    if event.control is None:
        return
    control = event.control
    if control.action == "interrupt":
        _interrupted(fold, event)
        return
    fold.state.paused = control.action == "pause"
    fold.state.resumed_since |= not fold.state.paused
    fold.state.hold = fold.state.hold_detail = None
    kind = CommandKind.RUN_PAUSE if fold.state.paused else CommandKind.RUN_RESUME
    _control(fold, event, control, kind)
    settle(fold, kind, event.request_id, {"event_id": event.event_id})


def _interrupted(fold: Pass, event: history_events.Controlled) -> None:
    """An interruption. It takes effect once the worker records that the run has paused for it; older workers ignore the signal."""
    assert event.control is not None
    state = fold.state
    state.resumed_since = False
    _control(fold, event, event.control, CommandKind.RUN_INTERRUPT)
    if event.request_id is not None:
        state.interrupts = [*state.interrupts, event.request_id][-INTERRUPTS_KEPT:]
    if not state.agents:
        supersede_interrupts(fold, event, "no agent was running")


def apply_interrupts(fold: Pass, event: history_events.DecodedEvent) -> None:
    """Settle the interruptions so far as applied: the agents have stopped for them."""
    for command_id in fold.state.interrupts:
        settle(fold, CommandKind.RUN_INTERRUPT, command_id, {"event_id": event.event_id})
    fold.state.interrupts = []


def supersede_interrupts(fold: Pass, event: history_events.DecodedEvent, reason: str) -> None:
    """Settle the interruptions so far as superseded: they can no longer stop an agent."""
    outcome: dict[str, object] = {"event_id": event.event_id, "reason": reason}
    for command_id in fold.state.interrupts:
        settle(fold, CommandKind.RUN_INTERRUPT, command_id, outcome, CommandStatus.SUPERSEDED)
    fold.state.interrupts = []


def _control(fold: Pass, event: history_events.Controlled, control: ControlSignal, kind: CommandKind) -> None:
    fold.changes.controls[event.event_id] = {
        "event_id": event.event_id,
        "action": control.action,
        "principal": control.principal,
        "identity": event.identity,
        "signalled_at": event.at,
    }
    fold.changes.claims[event.event_id] = ClaimedSender(
        kind=kind, principal=control.principal, command_id=control.command_id, request_id=event.request_id
    )


def temporal_paused(fold: Pass, event: history_events.TemporalPaused) -> None:
    """Temporal's own pause."""
    fold.state.temporal_paused = event.paused


def _sender(identity: str | None) -> str | None:
    """The command behind a cancel or a termination: history records it only in the sender's identity."""
    if identity is None or not identity.startswith(SENDER_PREFIX):
        return None
    return identity.removeprefix(SENDER_PREFIX)


def settle(
    fold: Pass,
    kind: CommandKind,
    request_id: str | None,
    outcome: dict[str, object],
    status: CommandStatus = CommandStatus.APPLIED,
) -> None:
    """Settle the command whose id Temporal recorded with the event."""
    if request_id is not None:
        fold.changes.settlements.append(
            Settlement(command_id=request_id, kind=kind, status=status, outcome=dict(outcome))
        )


def closed(fold: Pass, event: history_events.Closed) -> None:
    """The last event: steps that are still open are abandoned."""
    state = fold.state
    fold.changes.closed = event
    state.status = event.status.value
    if event.status is ExecutionStatus.TERMINATED:
        settle(fold, CommandKind.RUN_TERMINATE, _sender(event.identity), {"event_id": event.event_id})
    approvals.close_all(fold, event)
    supersede_interrupts(fold, event, "the execution ended before its agents stopped")
    for key in sorted(state.steps):
        if event.continued_to is not None:
            # The run goes on (continue-as-new, retry or cron), but this update doesn't. If the run ends, the store settles every open command.
            outcome = {"execution_id": state.execution_id, "event_id": key}
            settle(fold, CommandKind.RUN_UPDATE, state.steps[key].update_id, outcome, CommandStatus.SUPERSEDED)
        fold.close_step(key, event, StepStatus.ABANDONED)
    state.task = state.problem = state.first_task_at = None
    state.misfit = False
    state.task_started = state.task_completed = state.backoff = None
    state.calls, state.activity_ids, state.local, state.timers, state.updates = {}, {}, {}, {}, {}
    state.given_up = {}
    state.closed_approvals = {}
