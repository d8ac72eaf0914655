"""Rows as responses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import quote

from starlette.responses import JSONResponse, Response

from agentgrid.api import actions
from agentgrid.api.access import V1
from agentgrid.api.schemas.approvals import (
    ApprovalAccepted,
    ApprovalDetail,
    ApprovalSummary,
    DecisionOut,
    ProposedChange,
)
from agentgrid.api.schemas.commands import CommandDetail, CommandSummary, Confirmed, ControlOut, Proposed
from agentgrid.api.schemas.handlers import UpdateOut
from agentgrid.api.schemas.runs import (
    ChildRun,
    ExecutionOut,
    JobOut,
    LogOut,
    RunAccepted,
    RunDetail,
    RunLinks,
    RunResult,
    RunSummary,
    SignalAccepted,
    StepOut,
    StepsSummary,
    StepSummary,
)
from agentgrid.api.shown import Shown, class_of, with_form
from agentgrid.api.you import you_of
from agentgrid.control.approvals import signer_for
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.control.proposals import Confirmation
from agentgrid.control.updates import Known
from agentgrid.db import approvals, steps
from agentgrid.db.pool import Connection
from agentgrid.db.run_details import Details
from agentgrid.db.tables import Approval, Command, Control, DecisionRow, Execution, Log, Run, Step
from agentgrid.domain.approvals import Changes
from agentgrid.domain.commands import HANDLING, CommandStatus
from agentgrid.domain.handlers import Fit
from agentgrid.domain.logs import LogLevel
from agentgrid.domain.principals import UNKNOWN_INITIATOR
from agentgrid.domain.runs import RunStatus, WaitingOn
from agentgrid.domain.steps import JobStatus, StepKind, StepStatus, job_status
from agentgrid.protocol import ErrorType
from agentgrid.settings import Settings


def temporal_ui(settings: Settings, workflow_id: str, execution_id: str | None) -> str | None:
    """The execution's URL in Temporal's UI, if its address is configured."""
    if settings.temporal_ui_url is None:
        return None
    place = f"/namespaces/{quote(settings.temporal_namespace, safe='')}/workflows/{quote(workflow_id, safe='')}"
    suffix = f"/{execution_id}/history" if execution_id else ""
    return f"{settings.temporal_ui_url.rstrip('/')}{place}{suffix}"


def run_summary(row: dict[str, Any], shown: Shown) -> RunSummary:
    """A run in a list, from its columns by their names."""
    return RunSummary.model_validate({**row, **_guarded(row, shown)})


def _guarded(row: dict[str, Any], shown: Shown) -> dict[str, Any]:
    found = {"status_reason": shown.text(row["status_reason"]), "error_type": class_of(row["error_type"])}
    if row["waiting_on"] == WaitingOn.APPROVAL and row["current_step"] is not None:
        found["current_step"] = shown.step_name(StepKind.APPROVAL, row["current_step"])
    return found


def step(row: Step, shown: Shown, *, payloads: bool = True) -> StepOut:
    """A step. Inputs and outputs are included only if requested and allowed."""
    values = _step_values(row, shown, whole=payloads) | {
        "input": shown.payload(row.input if row.changed_input is None else row.changed_input) if payloads else None,
        "original_input": shown.payload(row.input) if payloads and row.changed_input is not None else None,
        "output": shown.payload(row.output) if payloads else None,
    }
    return StepOut.model_validate(values)


def step_summary(row: Step, shown: Shown, over: dict[str, Any]) -> StepSummary:
    """A step without payloads. `over`: columns as they were at a certain moment."""
    return StepSummary.model_validate(_step_values(row, shown, whole=False) | over)


def _step_values(row: Step, shown: Shown, *, whole: bool) -> dict[str, Any]:
    return _values(row, StepSummary) | {
        "name": shown.step_name(row.kind, row.name),
        "error": shown.error(row.error, whole=whole),
        "live_error": shown.error(row.live_error, whole=whole),
        "version": row.tool_version if row.kind in (StepKind.AGENT, StepKind.MODEL) else None,
    }


NOT_STORED = {"type": "ResultNotStored", "message": "the worker finished, but the result never reached Temporal"}


def job(attempt: steps.Attempt, shown: Shown) -> JobOut:
    """A job as its worker reported it, corrected by history."""
    row, told, of = attempt.job, JobStatus(attempt.job.status), attempt.step
    step_status = StepStatus(of.status) if of is not None else None
    asked = isinstance(row.error, dict) and row.error.get("type") == ErrorType.APPROVAL_REQUIRED
    status = job_status(told, step=step_status, last=attempt.last, ended=attempt.ended, asked=asked)
    values = _values(row, JobOut) | {
        "status": status,
        "step_event_id": attempt.step_event_id,
        "error": shown.error(row.error),
    }
    if status is not told:
        by_step = attempt.last and of is not None and step_status is not None and step_status.closed
        if told is JobStatus.RUNNING and status is not JobStatus.LOST and of is not None:
            values["finished_at"] = of.closed_at
        if status is JobStatus.FAILED:
            values["error"] = shown.error(of.error if by_step and of is not None else NOT_STORED)
    return JobOut.model_validate(values)


def log_line(row: Log, step_event_id: int | None, shown: Shown) -> LogOut:
    """A line that a workflow or a tool wrote."""
    values = _values(row, LogOut) | {
        "step_event_id": step_event_id,
        "level": LogLevel.read(row.level),
        "message": shown.text(row.message),
        "fields": shown.value(row.fields),
    }
    return LogOut.model_validate(values)


def execution(row: Execution, settings: Settings, shown: Shown) -> ExecutionOut:
    """An execution."""
    link = temporal_ui(settings, row.workflow_id, row.execution_id)
    values = _values(row, ExecutionOut) | {"temporal_ui": link, "live_problem": shown.text(row.live_problem)}
    return ExecutionOut.model_validate(values)


def approval_summary(row: Approval, run: Run) -> ApprovalSummary:
    """An approval in a list."""
    return ApprovalSummary.model_validate(approval_values(row, run))


def approval_values(row: Approval, run: Run) -> dict[str, Any]:
    """The fields of an approval in a list."""
    return _values(row, ApprovalSummary) | {
        "workflow": run.workflow,
        "reference": run.reference,
        "initiator": run.initiator,
        "claimed_initiator": claimed if (claimed := row.initiator or UNKNOWN_INITIATOR) != run.initiator else None,
    }


def decision(row: DecisionRow, comment: str | None) -> DecisionOut:
    """A decision signal. It names its principal only if it is attributed."""
    claims = _claims(row)
    return DecisionOut.model_validate(_values(row, DecisionOut) | claims | {"comment": comment})


def control(row: Control) -> ControlOut:
    """A pause or resume."""
    return ControlOut.model_validate(_values(row, ControlOut) | _claims(row))


def _claims(row: DecisionRow | Control) -> dict[str, Any]:
    return {
        "principal": row.principal if row.attributed else None,
        "claimed_principal": None if row.attributed else row.principal,
    }


@dataclass(frozen=True, kw_only=True)
class Answers:
    """People's answers to an approval: decision signals with their comments, and proposed changes."""

    decisions: Sequence[tuple[DecisionRow, str | None]]
    proposals: Sequence[Command] = ()


async def answers_to(connection: Connection, row: Approval) -> Answers:
    decisions = await approvals.decisions(connection, row)
    two = row.terms.get("changes") == Changes.SECOND_PERSON
    return Answers(decisions=decisions, proposals=await approvals.proposals(connection, row.approval_id) if two else ())


def proposal(row: Command, shown: Shown) -> ProposedChange:
    """Changed arguments that an approver proposed."""
    changed = row.body["changed"]
    return ProposedChange(
        command_id=row.command_id,
        principal=row.principal,
        digest=changed["digest"],
        arguments=shown.value(changed["arguments"]),
        comment=shown.text(row.reason),
        created_at=row.created_at,
    )


def approval_detail(
    plane: ControlPlane, caller: Caller, shown: Shown, found: approvals.Found, answers: Answers
) -> ApprovalDetail:
    """An approval with its payload, its decisions, and this caller's actions."""
    return ApprovalDetail.model_validate(_approval_detail_values(plane, caller, shown, found, answers))


def approval_accepted(
    plane: ControlPlane, caller: Caller, shown: Shown, found: approvals.Found, answers: Answers, command: Command
) -> ApprovalAccepted:
    """An approval as in `approval_detail`, with the command that delivers the decision."""
    values = _approval_detail_values(plane, caller, shown, found, answers)
    return ApprovalAccepted.model_validate(values | {"command": command_summary(command, shown)})


def _approval_detail_values(
    plane: ControlPlane, caller: Caller, shown: Shown, found: approvals.Found, answers: Answers
) -> dict[str, Any]:
    shown = shown.of_approval(caller, found)
    row, run = found.approval, found.run
    return approval_values(row, run) | {
        "run_status": run.status,
        "reason": row.terms.get("reason"),
        "tool_version": row.terms.get("tool_version"),
        "call_key": row.terms.get("key"),
        "expires_seconds": row.terms.get("expires_seconds", 0.0),
        "parameters": row.terms.get("parameters", []),
        "payloads_visible": shown.payloads,
        "payload": shown.payload(row.payload),
        "changed": shown.payload(row.changed),
        "proposed_by": row.proposed_by if row.attributed else None,
        "comment": next((shown.text(comment) for each, comment in answers.decisions if each.judged == "counted"), None),
        "takes": row.terms.get("takes", []),
        "changes": row.terms.get("changes", Changes.ONE_PERSON),
        "change_refused": shown.text(row.change_refused),
        "proposals": [proposal(each, shown) for each in answers.proposals],
        "decisions": [decision(each, shown.text(comment)) for each, comment in answers.decisions],
        "actions": actions.of_approval(caller, found, signer_for(plane, found)),
    }


def run_detail(plane: ControlPlane, caller: Caller, shown: Shown, found: Details) -> RunDetail:
    """Everything about a run."""
    return RunDetail.model_validate(_detail_values(plane, caller, shown, found))


def run_accepted(plane: ControlPlane, caller: Caller, shown: Shown, found: Details, command: Command) -> RunAccepted:
    """Everything about a run, and the command that was accepted for it."""
    return RunAccepted.model_validate(_accepted_values(plane, caller, shown, found, command))


def signal_accepted(
    plane: ControlPlane, caller: Caller, shown: Shown, found: Details, command: Command
) -> SignalAccepted:
    """Everything about a run, and the accepted command that signals it."""
    values = _accepted_values(plane, caller, shown, found, command)
    return SignalAccepted.model_validate(values | {"handler": _fit(command)})


def _accepted_values(
    plane: ControlPlane, caller: Caller, shown: Shown, found: Details, command: Command
) -> dict[str, Any]:
    return _detail_values(plane, caller, shown, found) | {"command": command_summary(command, shown)}


def _detail_values(plane: ControlPlane, caller: Caller, shown: Shown, found: Details) -> dict[str, Any]:
    settings, principal = plane.settings, caller.principal
    run, last = found.run, found.last_control
    own = not principal.only_own_approvals or run.initiator == principal.name
    gates = found.gates if own else ()
    verbs = actions.of_run(principal, run, taken=found.taken, at_work=found.at_work)
    place = f"{V1}/runs/{quote(run.run_id, safe='')}"
    return _values(run, RunDetail) | {
        **_guarded(vars(run), shown),
        "payloads_visible": shown.payloads,
        "refused_signals": found.refused_signals,
        "unattributed_signals": found.unattributed_signals,
        "last_control": None if last is None else control(last),
        "input": shown.payload(run.input),
        "result": shown.payload(run.result),
        "error": shown.error(run.error),
        "steps": StepsSummary(
            total=run.step_count,
            done=run.steps_done,
            failed=run.steps_failed,
            open=[step(row, shown, payloads=False) for row in found.open_steps],
        ),
        "executions": [execution(row, settings, shown) for row in found.executions],
        "children": [ChildRun.model_validate(child) for child in found.children],
        "approvals": [approval_summary(gate, run) for gate in gates],
        "links": RunLinks(
            self=place,
            events=f"{place}/events",
            steps=f"{place}/steps",
            approvals=f"{place}/approvals",
            history=f"{place}/history",
            temporal_ui=temporal_ui(settings, run.workflow_id, run.execution_id),
        ),
        "actions": verbs,
        "next": actions.next_of(
            run, gates, found.open_steps, verbs, shown, you_of(plane, caller, found, gates, verbs, hidden=not own)
        ),
    }


UNUSABLE_SCHEMA: dict[str, Any] = {
    "not": {},
    "description": "What the worker registered is no JSON Schema, or nested too deeply. Nothing fits it.",
}


def schema(registered: Any) -> dict[str, Any]:
    """A schema from the catalog. A worker wrote it, so it may be anything."""
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


def update(known: Known, shown: Shown) -> UpdateOut:
    """What became of an update."""
    command = known.command
    # A refused request's body is as it was sent, and may be anything.
    sent = command.body if isinstance(command.body, dict) else {}
    return UpdateOut(
        run_id=command.run_id or "",
        command_id=command.command_id,
        name=what(command.kind, sent.get("name")),
        handler=_fit(command),
        stage=known.stage,
        command_status=CommandStatus(command.status),
        result=shown.payload(known.result),
        error=shown.error(known.error),
    )


def _fit(command: Command) -> Fit:
    """What was checked before the signal or update was sent. A refused request's body is as it was sent, and may be anything."""
    said = command.body.get("handler") if isinstance(command.body, dict) else None
    return Fit(said) if command.status != CommandStatus.REFUSED and said in set(Fit) else Fit.UNKNOWN


def command_summary(row: Command, shown: Shown, *, asked: Any = None) -> CommandSummary:
    """A command in a list. `asked`: the value of its body that `what` shows."""
    values = _values(row, CommandSummary) | {"what": what(row.kind, asked), "outcome": shown.outcome(row)}
    return CommandSummary.model_validate(values)


def what(kind: str, asked: Any) -> str | None:
    """The verdict, the name of a signal or update, or the effect, if it has the right form."""
    words = HANDLING[kind].words
    return None if words is None else words.shown(asked)


def proposed(row: Command) -> Response:
    """The `202` response to a request that another administrator must confirm, with links to confirm or withdraw it."""
    place = f"{V1}/commands/{quote(row.command_id, safe='')}"
    answer = Proposed.model_validate(
        _values(row, CommandSummary)
        | {"outcome": with_form(row.outcome)}
        | {"confirm": f"{place}/confirm", "withdraw": f"{place}/withdraw", "expires_at": row.outcome["expires_at"]}
    )
    return JSONResponse(answer.model_dump(mode="json"), status_code=202)


def confirmed(found: Confirmation) -> Confirmed:
    """A proposal after it was confirmed or withdrawn."""
    values = _values(found.command, CommandSummary) | {"outcome": with_form(found.command.outcome)}
    return Confirmed.model_validate(values | {"key": found.secret or None})


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


def summaries(rows: Sequence[tuple[Approval, Run]]) -> list[ApprovalSummary]:
    """Approvals in a list."""
    return [approval_summary(row, run) for row, run in rows]


def compact(value: Any) -> str:
    """A value as JSON in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def within(moment: datetime | None, other: datetime | None) -> bool:
    """Whether the times are in order; True if either is missing."""
    return moment is None or other is None or moment <= other


def _values(row: Any, schema: Any) -> dict[str, Any]:
    """The row's columns that the schema has fields for."""
    held, table = row.__dict__, row.__class__
    # Read from the instance's dict, which is faster. SQLAlchemy handles attributes missing there: it loads or refuses them.
    return {name: held[name] if name in held else getattr(row, name) for name in _shared(table, schema)}


@cache
def _shared(table: Any, schema: Any) -> tuple[str, ...]:
    return tuple(name for name in schema.model_fields if hasattr(table, name))
