"""Converts rows to responses."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import quote

from starlette.responses import JSONResponse, Response

from agentgrid.api import actions, letters
from agentgrid.api.access import V1
from agentgrid.api.schemas.commands import CommandDetail, CommandSummary, Confirmed, ControlOut, Proposed
from agentgrid.api.schemas.handlers import UpdateOut
from agentgrid.api.schemas.jobs import JobOut
from agentgrid.api.schemas.logs import LogOut
from agentgrid.api.schemas.runs import (
    ChildRun,
    ExecutionOut,
    RunAccepted,
    RunDetail,
    RunLinks,
    RunResult,
    RunRow,
    RunSummary,
    SignalAccepted,
)
from agentgrid.api.schemas.steps import StepOut, StepsSummary, StepSummary
from agentgrid.api.shown import Shown, class_of, with_form
from agentgrid.api.you import you_of
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.control.proposals import SettledProposal
from agentgrid.control.updates import UpdateState
from agentgrid.db import steps
from agentgrid.db.run_details import Details
from agentgrid.db.tables import Command, Control, ExecutionRow, Log, Run, Step
from agentgrid.domain.commands import HANDLING, CommandStatus
from agentgrid.domain.handlers import Fit
from agentgrid.domain.logs import LogLevel
from agentgrid.domain.runs import RunStatus
from agentgrid.domain.steps import JobStatus, StepKind, StepStatus, job_status
from agentgrid.protocol import ErrorType
from agentgrid.settings import Settings


def temporal_ui(settings: Settings, workflow_id: str, execution_id: str | None) -> str | None:
    """The execution's URL in Temporal's UI, if the UI's address is configured."""
    if settings.temporal_ui_url is None:
        return None
    path = f"/namespaces/{quote(settings.temporal_namespace, safe='')}/workflows/{quote(workflow_id, safe='')}"
    suffix = f"/{execution_id}/history" if execution_id else ""
    return f"{settings.temporal_ui_url.rstrip('/')}{path}{suffix}"


def run_summary(row: dict[str, Any], shown: Shown) -> RunSummary:
    """A run in a list, from a mapping of its columns."""
    return RunSummary.model_validate({**row, **_redacted(row, shown)})


def run_row(row: dict[str, Any], title: str | None, shown: Shown) -> RunRow:
    return RunRow.model_validate({**row, **_redacted(row, shown), "workflow_title": title})


def _redacted(row: dict[str, Any], shown: Shown) -> dict[str, Any]:
    return {
        "status_reason": shown.text(row["status_reason"]),
        "error_type": class_of(row["error_type"]),
        "subject": shown.text(row["subject"] or None),
        "current_step": shown.text(row["asked"]) or shown.current_step(row["current_kind"], row["current_step"]),
    }


def step(row: Step, shown: Shown, *, payloads: bool = True) -> StepOut:
    """A step. Inputs and outputs are included only if requested and allowed."""
    values = _step_values(row, shown, whole=payloads) | {
        "input": shown.payload(row.input if row.changed_input is None else row.changed_input) if payloads else None,
        "original_input": shown.payload(row.input) if payloads and row.changed_input is not None else None,
        "output": shown.payload(row.output) if payloads else None,
    }
    return StepOut.model_validate(values)


def step_summary(row: Step, shown: Shown, over: dict[str, Any]) -> StepSummary:
    """A step without payloads. over: columns as of an earlier moment."""
    return StepSummary.model_validate(_step_values(row, shown, whole=False) | over)


def _step_values(row: Step, shown: Shown, *, whole: bool) -> dict[str, Any]:
    return _values(row, StepSummary) | {
        "name": shown.step_name(row.kind, row.name),
        "title": shown.text(row.title) if row.kind == StepKind.APPROVAL else row.title,
        "error": shown.error(row.error, whole=whole),
        "live_error": shown.error(row.live_error, whole=whole),
        "version": row.tool_version if row.kind in (StepKind.AGENT, StepKind.MODEL) else None,
    }


NOT_STORED = {"type": "ResultNotStored", "message": "the worker finished, but the result never reached Temporal"}


def job(attempt: steps.Attempt, shown: Shown) -> JobOut:
    """A job as its worker reported it, corrected by history."""
    row, reported, attempt_step = attempt.job, JobStatus(attempt.job.status), attempt.step
    step_status = StepStatus(attempt_step.status) if attempt_step is not None else None
    requested_approval = isinstance(row.error, dict) and row.error.get("type") == ErrorType.APPROVAL_REQUIRED
    status = job_status(reported, step=step_status, last=attempt.last, ended=attempt.ended, asked=requested_approval)
    values = _values(row, JobOut) | {
        "status": status,
        "step_event_id": attempt.step_event_id,
        "error": shown.error(row.error),
    }
    if status is not reported:
        by_step = attempt.last and attempt_step is not None and step_status is not None and step_status.closed
        if reported is JobStatus.RUNNING and status is not JobStatus.LOST and attempt_step is not None:
            values["finished_at"] = attempt_step.closed_at
        if status is JobStatus.FAILED:
            values["error"] = shown.error(attempt_step.error if by_step and attempt_step is not None else NOT_STORED)
    return JobOut.model_validate(values)


def log_line(row: Log, step_event_id: int | None, shown: Shown) -> LogOut:
    """A log line of a workflow or tool."""
    values = _values(row, LogOut) | {
        "step_event_id": step_event_id,
        "level": LogLevel.read(row.level),
        "message": shown.text(row.message),
        "fields": shown.value(row.fields),
    }
    return LogOut.model_validate(values)


def execution(row: ExecutionRow, settings: Settings, shown: Shown) -> ExecutionOut:
    link = temporal_ui(settings, row.workflow_id, row.execution_id)
    values = _values(row, ExecutionOut) | {"temporal_ui": link, "live_problem": shown.text(row.live_problem)}
    return ExecutionOut.model_validate(values)


def control(row: Control) -> ControlOut:
    """A signal that paused, resumed or interrupted an execution."""
    return ControlOut.model_validate(_values(row, ControlOut) | letters.claims(row))


def run_detail(plane: ControlPlane, caller: Caller, shown: Shown, details: Details) -> RunDetail:
    """Everything about a run."""
    return RunDetail.model_validate(_detail_values(plane, caller, shown, details))


def run_accepted(plane: ControlPlane, caller: Caller, shown: Shown, details: Details, command: Command) -> RunAccepted:
    """Everything about a run, and the accepted command."""
    return RunAccepted.model_validate(_accepted_values(plane, caller, shown, details, command))


def signal_accepted(
    plane: ControlPlane, caller: Caller, shown: Shown, details: Details, command: Command
) -> SignalAccepted:
    """Everything about a run, and the accepted command that signals it."""
    values = _accepted_values(plane, caller, shown, details, command)
    return SignalAccepted.model_validate(values | {"handler": _fit(command)})


def _accepted_values(
    plane: ControlPlane, caller: Caller, shown: Shown, details: Details, command: Command
) -> dict[str, Any]:
    return _detail_values(plane, caller, shown, details) | {"command": command_summary(command, shown)}


def _detail_values(plane: ControlPlane, caller: Caller, shown: Shown, details: Details) -> dict[str, Any]:
    settings, principal = plane.settings, caller.principal
    run, last = details.run, details.last_control
    own = not principal.only_own_approvals or run.initiator == principal.name
    pending = details.approvals if own else ()
    approvals = [letters.summary(approval, run, shown) for approval in pending]
    verbs = actions.of_run(principal, run, taken=details.taken, agent_running=details.at_work)
    path = f"{V1}/runs/{quote(run.run_id, safe='')}"
    return _values(run, RunDetail) | {
        **_redacted(vars(run), shown),
        "workflow_title": details.workflow_title,
        "payloads_visible": shown.payloads,
        "refused_signals": details.refused_signals,
        "unattributed_signals": details.unattributed_signals,
        "last_control": None if last is None else control(last),
        "input": shown.payload(run.input),
        "result": shown.payload(run.result),
        "error": shown.error(run.error),
        "steps": StepsSummary(
            total=run.step_count,
            done=run.steps_done,
            failed=run.steps_failed,
            open=[step(row, shown, payloads=False) for row in details.open_steps],
        ),
        "executions": [execution(row, settings, shown) for row in details.executions],
        "children": [ChildRun.model_validate(child) for child in details.children],
        "approvals": approvals,
        "links": RunLinks(
            self=path,
            events=f"{path}/events",
            steps=f"{path}/steps",
            approvals=f"{path}/approvals",
            history=f"{path}/history",
            temporal_ui=temporal_ui(settings, run.workflow_id, run.execution_id),
        ),
        "actions": verbs,
        "next": actions.next_of(
            run,
            pending,
            details.open_steps,
            verbs,
            shown,
            you_of(plane, caller, details, pending, verbs, hidden=not own),
            titles=[approval.title for approval in approvals],
        ),
    }


UNUSABLE_SCHEMA: dict[str, Any] = {
    "not": {},
    "description": "What the worker registered is not a valid JSON Schema or is nested too deeply. Nothing matches it.",
}


def schema(registered: Any) -> dict[str, Any]:
    """A schema from the catalog. Workers write it, so it may be anything."""
    return registered if isinstance(registered, dict) else UNUSABLE_SCHEMA


def run_result(run: Run, shown: Shown) -> RunResult:
    """The outcome of a run that has ended."""
    return RunResult(
        run_id=run.run_id,
        workflow=run.workflow,
        status=RunStatus(run.status),
        closed_at=run.closed_at,
        payloads_visible=shown.payloads,
        result=shown.payload(run.result),
        error_type=class_of(run.error_type),
        error=shown.error(run.error),
    )


def update(result: UpdateState, shown: Shown) -> UpdateOut:
    """The state of an update."""
    command = result.command
    # The body of a refused request is stored as sent and may be anything.
    sent = command.body if isinstance(command.body, dict) else {}
    return UpdateOut(
        run_id=command.run_id or "",
        command_id=command.command_id,
        name=what(command.kind, sent.get("name")),
        handler=_fit(command),
        stage=result.stage,
        command_status=CommandStatus(command.status),
        result=shown.payload(result.result),
        error=shown.error(result.error),
    )


def _fit(command: Command) -> Fit:
    """How far the signal or update was checked before sending. The body of a refused request is stored as sent and may be anything."""
    handler = command.body.get("handler") if isinstance(command.body, dict) else None
    return Fit(handler) if command.status != CommandStatus.REFUSED and handler in set(Fit) else Fit.UNKNOWN


def command_summary(row: Command, shown: Shown, *, asked: Any = None) -> CommandSummary:
    """A command in a list. asked: the value in its body that `what` shows."""
    values = _values(row, CommandSummary) | {"what": what(row.kind, asked), "outcome": shown.outcome(row)}
    return CommandSummary.model_validate(values)


def what(kind: str, asked: Any) -> str | None:
    """The verdict, the name of a signal or update, or the effect, if it is valid."""
    words = HANDLING[kind].words
    return None if words is None else words.shown(asked)


def proposed(row: Command) -> Response:
    """The `202` response to a request that another administrator must confirm, with links to confirm or withdraw it."""
    path = f"{V1}/commands/{quote(row.command_id, safe='')}"
    answer = Proposed.model_validate(
        _values(row, CommandSummary)
        | {"outcome": with_form(row.outcome)}
        | {"confirm": f"{path}/confirm", "withdraw": f"{path}/withdraw", "expires_at": row.outcome["expires_at"]}
    )
    return JSONResponse(answer.model_dump(mode="json"), status_code=202)


def confirmed(settled: SettledProposal) -> Confirmed:
    """A proposal after it was confirmed or withdrawn."""
    values = _values(settled.command, CommandSummary) | {"outcome": with_form(settled.command.outcome)}
    return Confirmed.model_validate(values | {"key": settled.secret or None})


def is_proposed(row: Command) -> bool:
    """Whether the command waits for another administrator."""
    return row.status == CommandStatus.PROPOSED


def command_detail(row: Command, shown: Shown, *, asked: Any = None) -> CommandDetail:
    """A command with its body, for those who may read it."""
    values = _values(row, CommandDetail) | {
        "what": what(row.kind, asked),
        "outcome": shown.outcome(row),
        "body": shown.value(row.body),
    }
    return CommandDetail.model_validate(values)


def compact(value: Any) -> str:
    """A value as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def in_order(moment: datetime | None, other: datetime | None) -> bool:
    """Whether the times are in order; true if either is missing."""
    return moment is None or other is None or moment <= other


def _values(row: Any, schema: Any) -> dict[str, Any]:
    """The row's columns that the schema has fields for."""
    loaded, table = row.__dict__, row.__class__
    # Read from the instance's dict, which is faster. SQLAlchemy loads or refuses attributes that are missing there.
    return {name: loaded[name] if name in loaded else getattr(row, name) for name in _shared(table, schema)}


@cache
def _shared(table: Any, schema: Any) -> tuple[str, ...]:
    return tuple(name for name in schema.model_fields if hasattr(table, name))
