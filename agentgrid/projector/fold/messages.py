"""Messages to the execution: signals and updates."""

from __future__ import annotations

from agentgrid.domain.commands import CommandKind, CommandStatus
from agentgrid.domain.steps import StepKind, StepStatus
from agentgrid.projector import history_events
from agentgrid.projector.fold.executions import settle
from agentgrid.projector.fold.passing import Pass
from agentgrid.projector.fold.state import Admitted


def signaled(fold: Pass, event: history_events.Signaled) -> None:
    """A signal is a step that ends as soon as it begins."""
    fold.open_step(
        event,
        StepKind.SIGNAL,
        event.name,
        StepStatus.COMPLETED,
        input=event.input,
        started_at=event.at,
    )
    fold.close_step(event.event_id, event, StepStatus.COMPLETED)
    settle(fold, CommandKind.RUN_SIGNAL, event.request_id, {"event_id": event.event_id})


def update_admitted(fold: Pass, event: history_events.UpdateAdmitted) -> None:
    """An update that a reset reapplied: its acceptance event won't repeat the request."""
    fold.state.updates[event.update_id] = Admitted(name=event.name, input=event.input)


def update_accepted(fold: Pass, event: history_events.UpdateAccepted) -> None:
    """The workflow accepted the update and is executing it."""
    admitted = fold.state.updates.pop(event.update_id, None) or Admitted(name=None, input=None)
    step = fold.open_step(
        event,
        StepKind.UPDATE,
        event.name or admitted.name or "update",
        StepStatus.RUNNING,
        started_at=event.at,
        input=event.input or admitted.input,
    )
    step.update_id = event.update_id


def update_completed(fold: Pass, event: history_events.UpdateCompleted) -> None:
    """The update completed or failed."""
    status = StepStatus.COMPLETED if event.error is None else StepStatus.FAILED
    fold.close_step(event.accepted_event_id, event, status, output=event.output, error=event.error)
    outcome = {"execution_id": fold.state.execution_id, "event_id": event.accepted_event_id}
    if event.error is None:
        settle(fold, CommandKind.RUN_UPDATE, event.update_id, outcome)
    else:
        settle(
            fold, CommandKind.RUN_UPDATE, event.update_id, {"code": "update_failed", **outcome}, CommandStatus.FAILED
        )
