"""Requests to other executions: children, signals, cancels and Nexus operations."""

from __future__ import annotations

from agentgrid.domain.steps import StepKind, StepStatus
from agentgrid.projector import history_events
from agentgrid.projector.fold import governed
from agentgrid.projector.fold.columns import StepColumns
from agentgrid.projector.fold.passing import Pass

_KINDS = {"child": StepKind.CHILD, "nexus": StepKind.NEXUS, "signal": StepKind.SIGNAL, "cancel": StepKind.SIGNAL}


def initiated(fold: Pass, event: history_events.CallInitiated) -> None:
    """A request was recorded; the other side hasn't answered yet."""
    if event.kind == "child":
        governed.called(fold, headed=event.governed)
    columns: StepColumns = {"governed": event.governed, "input": event.input, "title": event.title}
    if event.own_child:
        columns["parent"] = _child(fold, event.workflow_id)
    if event.workflow_id is not None:
        columns["child_workflow_id"] = event.workflow_id
    if event.task_queue is not None:
        columns["task_queue"] = event.task_queue
    fold.open_step(event, _KINDS[event.kind], event.name, StepStatus.SCHEDULED, **columns)


def _child(fold: Pass, workflow_id: str | None) -> int | None:
    """The open step of the child with this workflow id."""
    return next((key for key, step in fold.state.steps.items() if step.child and step.child == workflow_id), None)


def started(fold: Pass, event: history_events.CallStarted) -> None:
    """The child or the operation has started."""
    if event.initiated_event_id not in fold.state.steps:
        return
    columns: StepColumns = {"started_at": event.at}
    if event.execution_id is not None:
        columns["child_execution_id"] = event.execution_id
        fold.changes.children[event.execution_id] = event.workflow_id or ""
    fold.move_step(event.initiated_event_id, StepStatus.RUNNING, **columns)


def closed(fold: Pass, event: history_events.CallClosed) -> None:
    """The request ended."""
    fold.close_step(event.initiated_event_id, event, event.status, output=event.output, error=event.error)
