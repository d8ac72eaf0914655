"""Updates: changes that a run's workflow accepts or rejects, carries out and answers.

The command's id is Temporal's update id, so resending an update is idempotent. Until a worker accepts it, Temporal keeps it only in memory; then
it is in history. So a command is `delivered` once the update is accepted, and the projector settles it when the handler ends. Temporal's update ids
are unique within one execution: a command names the execution that it is sent to, and is retargeted only if that execution ended without it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import temporalio.api.workflowservice.v1 as service
from temporalio.api.update.v1 import Outcome

from agentgrid.control import commands, handlers, run_verbs, workers
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.control.rpc import DEADLINE, call_temporal, describe
from agentgrid.control.runs import sender
from agentgrid.db import commands as db_commands
from agentgrid.db import runs, steps
from agentgrid.db.session import reading, writing
from agentgrid.db.tables import Command, Run
from agentgrid.domain.commands import CommandKind, CommandStatus
from agentgrid.domain.handlers import HandlerKind, UpdateStage
from agentgrid.domain.principals import Permission
from agentgrid.domain.runs import Verb
from agentgrid.errors import Conflict, Forbidden, NotFound, Unavailable, UpdateExpired, UpdateRejected
from agentgrid.temporal import payloads, rpc

ACCEPT_SECONDS = 4.0
"""How long the request waits for a worker to accept the update: less than `commands.FIRST_LEASE`."""
LATE_ACCEPT_SECONDS = 2.0
RESEND_FOR = timedelta(minutes=10)
"""How long an update that no worker has accepted is sent again."""
MAX_EXECUTIONS = 3
"""How many executions of a run's chain one attempt tries."""
MAX_WAIT_SECONDS = 20.0
RESULT_BYTES = 1024 * 1024
"""A longer result is cut to a preview."""
MAX_MESSAGE = 2_000
RUN_ENDED = "AcceptedUpdateCompletedWorkflow"
"""The type of Temporal's failure for an update whose execution ended first."""

SETTLED: dict[CommandStatus, UpdateStage] = {
    CommandStatus.PENDING: UpdateStage.PENDING,
    CommandStatus.DELIVERED: UpdateStage.ACCEPTED,
    CommandStatus.APPLIED: UpdateStage.COMPLETED,
    CommandStatus.SUPERSEDED: UpdateStage.ABANDONED,
    CommandStatus.REFUSED: UpdateStage.REJECTED,
    CommandStatus.FAILED: UpdateStage.EXPIRED,
}


@dataclass(frozen=True, kw_only=True)
class WorkflowUpdate:
    """An update for the workflow's own handler."""

    name: str
    arguments: tuple[Any, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class UpdateState:
    """What is known about an update."""

    command: Command
    stage: UpdateStage
    result: dict[str, Any] | None = None
    """A stored payload."""
    error: dict[str, Any] | None = None
    """A stored failure."""


async def send(plane: ControlPlane, caller: Caller, run_id: str, request: WorkflowUpdate) -> Command:
    """Record the update and send it to a worker. Returns its command, `delivered` once a worker has accepted it.

    Raises UpdateRejected; InvalidInput if no handler of the run accepts it; NotFound; Conflict with the current status; PayloadTooLarge;
    Unavailable, with `outcome_unknown` while it is being sent again.
    """
    handlers.check_form(plane, HandlerKind.UPDATE, request.name, request.arguments)
    prepared = await run_verbs.prepare(plane, caller, run_id, Verb.UPDATE)
    if isinstance(prepared, Command):
        return prepared
    fit = await handlers.check(plane, prepared, HandlerKind.UPDATE, request.name, request.arguments)
    body = {"name": request.name, "arguments": list(request.arguments), "handler": fit.value}
    recorded = await run_verbs.record(plane, caller, run_id, Verb.UPDATE, reason=request.reason, body=body)
    if recorded.replayed:
        return recorded.command
    return await commands.deliver(plane, recorded.command, deliver_update)


async def deliver_update(plane: ControlPlane, command: Command) -> dict[str, Any]:
    """Send the update to a worker. Raises UpdateRejected, Conflict, Unavailable."""
    run, _ = await _read(plane, command)
    return await _send(plane, command, run, seconds=ACCEPT_SECONDS)


async def deliver_late_update(plane: ControlPlane, command: Command) -> dict[str, Any]:
    """Send the update again. If no worker has accepted it, its principal must still be allowed to make it. Also raises UpdateExpired."""
    run, now = await _read(plane, command)
    update = await _poll(plane, run, command.execution_id or "", command.command_id)
    if update is None or update.stage < rpc.ACCEPTED:
        if now - command.created_at > RESEND_FOR:
            raise UpdateExpired(
                f"no worker accepted the update within {RESEND_FOR.seconds // 60} minutes; send it again"
            )
        caller = await commands.current_caller(plane, command)
        if not caller.principal.may(Permission.CONTROL) or not caller.principal.sees(run.workflow):
            raise Forbidden(f"{command.principal} may no longer update runs of {run.workflow}")
    return await _send(plane, command, run, seconds=LATE_ACCEPT_SECONDS)


async def _read(plane: ControlPlane, command: Command) -> tuple[Run, datetime]:
    async with reading(plane.engine) as session:
        run = await runs.get(session, command.run_id or "")
        now = await db_commands.clock(session)
    if run is None:
        raise NotFound("run", command.run_id or "")
    return run, now


async def _send(plane: ControlPlane, command: Command, run: Run, *, seconds: float) -> dict[str, Any]:
    arguments = command.body["arguments"]
    encoded = await plane.temporal.data_converter.encode(arguments) if arguments else []
    for _ in range(MAX_EXECUTIONS):
        execution_id = command.execution_id or ""
        try:
            answer = await call_temporal(
                rpc.update(
                    plane.temporal,
                    workflow_id=run.workflow_id,
                    execution_id=execution_id,
                    update_id=command.command_id,
                    name=command.body["name"],
                    payloads=encoded,
                    identity=sender(command.command_id),
                    deadline=timedelta(seconds=seconds),
                ),
                identifier=run.run_id,
                seconds=seconds,
            )
        except NotFound:
            raise Conflict("Temporal no longer has this run", status=run.status) from None
        except Conflict as error:
            command = await _retarget(plane, command, run, error)
            continue
        except Unavailable as error:
            if not error.outcome_unknown:
                raise
            raise await _not_accepted(plane, run, seconds) from None
        if answer.stage < rpc.ACCEPTED:
            raise await _not_accepted(plane, run, seconds)
        await _raise_if_rejected(plane, run, execution_id, command.command_id, answer.outcome)
        return {"execution_id": execution_id}
    raise Unavailable("the run keeps continuing as new, so the update can't reach it now", outcome_unknown=True)


async def _not_accepted(plane: ControlPlane, run: Run, seconds: float) -> Unavailable:
    why = await workers.silence(plane, run.task_queue, seconds)
    minutes = RESEND_FOR.seconds // 60
    return Unavailable(
        f"no worker has accepted the update yet: {why}. It is retried for {minutes} minutes; to see the outcome, repeat the request "
        f"with the same Idempotency-Key, or read the command",
        outcome_unknown=True,
    )


async def _retarget(plane: ControlPlane, command: Command, run: Run, ended: Conflict) -> Command:
    """Retarget the command to the newest execution of the run's chain, because its own has ended without the update."""
    try:
        info = (await describe(plane, run.workflow_id, None)).workflow_execution_info
    except NotFound:
        info = None
    if info is None or info.first_run_id != run.first_execution_id or info.execution.run_id == command.execution_id:
        raise Conflict(ended.message, status=run.status) from None
    async with writing(plane.engine) as session:
        target = await db_commands.retarget(session, command, execution_id=info.execution.run_id)
    return command.model_copy(update={"execution_id": target})


async def _raise_if_rejected(
    plane: ControlPlane, run: Run, execution_id: str, update_id: str, outcome: Outcome
) -> None:
    """Raise UpdateRejected if the update failed before the handler ran. Temporal keeps every update except rejected ones."""
    if outcome.WhichOneof("value") != "failure" or await _poll(plane, run, execution_id, update_id) is not None:
        return
    failure = await _failure(plane, outcome)
    raise UpdateRejected(f"the workflow rejected the update: {failure['message'][:MAX_MESSAGE]}", status=run.status)


async def _poll(
    plane: ControlPlane,
    run: Run,
    execution_id: str,
    update_id: str,
    *,
    stage: rpc.Stage.ValueType = rpc.NOW,
    deadline: timedelta = DEADLINE,
) -> service.PollWorkflowExecutionUpdateResponse | None:
    """The update's state; None if Temporal doesn't know it. Raises Unavailable."""
    try:
        return await call_temporal(
            rpc.poll_update(
                plane.temporal,
                workflow_id=run.workflow_id,
                execution_id=execution_id,
                update_id=update_id,
                stage=stage,
                deadline=deadline,
            ),
            identifier=update_id,
            seconds=deadline.total_seconds(),
        )
    except (NotFound, Conflict):
        return None


async def get(plane: ControlPlane, caller: Caller, run_id: str, command_id: str) -> Command:
    """The command of an update of a run that the caller may see. Raises NotFound."""
    async with reading(plane.engine) as session:
        command = await db_commands.seen(session, command_id, scope=caller.principal.workflows)
    if command is None or command.run_id != run_id or command.kind != CommandKind.RUN_UPDATE:
        raise NotFound("update", command_id)
    return command


async def outcome(plane: ControlPlane, caller: Caller, command: Command, *, wait_seconds: float = 0.0) -> UpdateState:
    """The update's state, after waiting up to `wait_seconds` for its end. Raises Unavailable, RateLimited."""
    run, _ = await _read(plane, command)
    recorded = command.outcome or {}
    if command.status in (CommandStatus.REFUSED, CommandStatus.SUPERSEDED) or (
        command.status == CommandStatus.FAILED and "event_id" not in recorded
    ):
        # An update whose run had ended was also refused, with the code `conflict`.
        stage = SETTLED[CommandStatus(command.status)] if recorded.get("code") != "conflict" else UpdateStage.ABANDONED
        return UpdateState(command=command, stage=stage, error=_refusal(recorded))
    execution_id = recorded.get("execution_id") or command.execution_id or ""
    with plane.waits.one(caller.principal.name):
        update = await _wait_for_end(plane, run, execution_id, command.command_id, min(wait_seconds, MAX_WAIT_SECONDS))
    command = await commands.get(plane, command.command_id)
    if update is not None and update.outcome.WhichOneof("value") is not None:
        return await _ended(plane, command, update.outcome)
    if update is not None and update.stage >= rpc.ACCEPTED:
        return UpdateState(command=command, stage=UpdateStage.ACCEPTED)
    return await _from_step(plane, command)


def _refusal(recorded: dict[str, Any]) -> dict[str, Any] | None:
    return {"type": recorded["code"], "message": recorded.get("message")} if "code" in recorded else None


async def _wait_for_end(
    plane: ControlPlane, run: Run, execution_id: str, update_id: str, seconds: float
) -> service.PollWorkflowExecutionUpdateResponse | None:
    until = time.monotonic() + seconds
    update = await _poll(plane, run, execution_id, update_id)
    while update is not None and update.outcome.WhichOneof("value") is None and (left := until - time.monotonic()) > 0:
        try:
            update = await _poll(
                plane, run, execution_id, update_id, stage=rpc.COMPLETED, deadline=timedelta(seconds=left)
            )
        except Unavailable as error:
            if not error.outcome_unknown:
                raise
            return await _poll(plane, run, execution_id, update_id)
    return update


async def _ended(plane: ControlPlane, command: Command, result_or_failure: Outcome) -> UpdateState:
    if result_or_failure.WhichOneof("value") == "success":
        await payloads.decode(result_or_failure.success, plane.temporal.data_converter)
        converter = plane.temporal.data_converter.payload_converter
        result = payloads.store(result_or_failure.success.payloads, converter, limit=RESULT_BYTES)
        return UpdateState(command=command, stage=UpdateStage.COMPLETED, result=result)
    failure = await _failure(plane, result_or_failure)
    stage = UpdateStage.ABANDONED if failure["type"] == RUN_ENDED else UpdateStage.FAILED
    return UpdateState(command=command, stage=stage, error=failure)


async def _failure(plane: ControlPlane, result_or_failure: Outcome) -> dict[str, Any]:
    await payloads.decode(result_or_failure.failure, plane.temporal.data_converter)
    return payloads.store_failure(result_or_failure.failure, plane.temporal.data_converter.payload_converter)


async def _from_step(plane: ControlPlane, command: Command) -> UpdateState:
    """What the projection read from history, if Temporal no longer has the update."""
    recorded = command.outcome or {}
    stage = SETTLED[CommandStatus(command.status)]
    if "event_id" not in recorded:
        return UpdateState(command=command, stage=stage)
    async with reading(plane.engine) as session:
        step = await steps.get(session, recorded["execution_id"], recorded["event_id"])
    stage = UpdateStage.FAILED if command.status == CommandStatus.FAILED else stage
    if step is None:
        return UpdateState(command=command, stage=stage)
    return UpdateState(command=command, stage=stage, result=step.output, error=step.error)
