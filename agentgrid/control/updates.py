"""Updates: changes that a run's workflow may reject, carries out and answers.

The command's id is Temporal's update id, so an update that is sent again is the same one. Until a worker accepts it Temporal keeps it in memory
only; then history has it. So a command is `delivered` once it is accepted, and the projector settles it when its handler has ended. Temporal knows
an update by id within one execution: a command names the execution that it is sent to, and moves on only if that one ended without it.
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
from agentgrid.control.rpc import DEADLINE, asked, describe
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
OFFERED = timedelta(minutes=10)
"""How long an update that no worker has accepted is offered again."""
MOVES = 3
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
class Known:
    """What is known about an update."""

    command: Command
    stage: UpdateStage
    result: dict[str, Any] | None = None
    """A stored payload."""
    error: dict[str, Any] | None = None
    """A stored failure."""


async def send(plane: ControlPlane, caller: Caller, run_id: str, request: WorkflowUpdate) -> Command:
    """Record the update and offer it to a worker. Returns its command, `delivered` once a worker has accepted it.

    Raises UpdateRejected; InvalidInput if no handler of the run takes it; NotFound; Conflict with the current status; PayloadTooLarge;
    Unavailable, with `outcome_unknown` while it is offered again.
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
    """Offer the update to a worker. Raises UpdateRejected, Conflict, Unavailable."""
    run, _ = await _read(plane, command)
    return await _offer(plane, command, run, seconds=ACCEPT_SECONDS)


async def deliver_late_update(plane: ControlPlane, command: Command) -> dict[str, Any]:
    """Offer it again, if no worker has it yet, only while its principal may still make it and for a limited time. Raises UpdateExpired too."""
    run, now = await _read(plane, command)
    found = await _poll(plane, run, command.execution_id or "", command.command_id)
    if found is None or found.stage < rpc.ACCEPTED:
        if now - command.created_at > OFFERED:
            raise UpdateExpired(f"no worker accepted the update within {OFFERED.seconds // 60} minutes")
        caller = await commands.asker(plane, command)
        if not caller.principal.may(Permission.CONTROL) or not caller.principal.sees(run.workflow):
            raise Forbidden(f"{command.principal} may no longer update runs of {run.workflow}")
    return await _offer(plane, command, run, seconds=LATE_ACCEPT_SECONDS)


async def _read(plane: ControlPlane, command: Command) -> tuple[Run, datetime]:
    async with reading(plane.engine) as session:
        run = await runs.get(session, command.run_id or "")
        now = await db_commands.clock(session)
    if run is None:
        raise NotFound("run", command.run_id or "")
    return run, now


async def _offer(plane: ControlPlane, command: Command, run: Run, *, seconds: float) -> dict[str, Any]:
    arguments = command.body["arguments"]
    encoded = await plane.temporal.data_converter.encode(arguments) if arguments else []
    for _ in range(MOVES):
        execution_id = command.execution_id or ""
        try:
            answer = await asked(
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
            raise Conflict("Temporal no longer knows this run", status=run.status) from None
        except Conflict as error:
            command = await _move(plane, command, run, error)
            continue
        except Unavailable as error:
            if not error.outcome_unknown:
                raise
            raise await _not_accepted(plane, run, seconds) from None
        if answer.stage < rpc.ACCEPTED:
            raise await _not_accepted(plane, run, seconds)
        await _raise_if_rejected(plane, run, execution_id, command.command_id, answer.outcome)
        return {"execution_id": execution_id}
    raise Unavailable("the run continues as new too often to take the update now", outcome_unknown=True)


async def _not_accepted(plane: ControlPlane, run: Run, seconds: float) -> Unavailable:
    why = await workers.silence(plane, run.task_queue, seconds)
    minutes = OFFERED.seconds // 60
    return Unavailable(
        f"the update is not accepted yet: {why}. It is offered again for {minutes} minutes; repeat the request with the same "
        f"Idempotency-Key, or ask for the command, to see what became of it",
        outcome_unknown=True,
    )


async def _move(plane: ControlPlane, command: Command, run: Run, ended: Conflict) -> Command:
    """The command, addressed to the newest execution of the run's chain, because its own has ended without the update."""
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
    """Raise UpdateRejected if the failure came before the handler ran. Temporal keeps every update but a rejected one."""
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
        return await asked(
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


async def outcome(plane: ControlPlane, caller: Caller, command: Command, *, wait_seconds: float = 0.0) -> Known:
    """What became of the update, after waiting for its end for at most this long. Raises Unavailable, RateLimited."""
    run, _ = await _read(plane, command)
    recorded = command.outcome or {}
    if command.status in (CommandStatus.REFUSED, CommandStatus.SUPERSEDED) or (
        command.status == CommandStatus.FAILED and "event_id" not in recorded
    ):
        # A run that ended before the update reached it refused it too.
        stage = SETTLED[CommandStatus(command.status)] if recorded.get("code") != "conflict" else UpdateStage.ABANDONED
        return Known(command=command, stage=stage, error=_refusal(recorded))
    execution_id = recorded.get("execution_id") or command.execution_id or ""
    with plane.waits.one(caller.principal.name):
        found = await _ended(plane, run, execution_id, command.command_id, min(wait_seconds, MAX_WAIT_SECONDS))
    command = await commands.get(plane, command.command_id)
    if found is not None and found.outcome.WhichOneof("value") is not None:
        return await _known(plane, command, found.outcome)
    if found is not None and found.stage >= rpc.ACCEPTED:
        return Known(command=command, stage=UpdateStage.ACCEPTED)
    return await _from_step(plane, command)


def _refusal(recorded: dict[str, Any]) -> dict[str, Any] | None:
    return {"type": recorded["code"], "message": recorded.get("message")} if "code" in recorded else None


async def _ended(
    plane: ControlPlane, run: Run, execution_id: str, update_id: str, seconds: float
) -> service.PollWorkflowExecutionUpdateResponse | None:
    until = time.monotonic() + seconds
    found = await _poll(plane, run, execution_id, update_id)
    while found is not None and found.outcome.WhichOneof("value") is None and (left := until - time.monotonic()) > 0:
        try:
            later = await _poll(
                plane, run, execution_id, update_id, stage=rpc.COMPLETED, deadline=timedelta(seconds=left)
            )
        except Unavailable as error:
            if not error.outcome_unknown:
                raise
            return await _poll(plane, run, execution_id, update_id)
        found = later
    return found


async def _known(plane: ControlPlane, command: Command, given: Outcome) -> Known:
    if given.WhichOneof("value") == "success":
        await payloads.decode(given.success, plane.temporal.data_converter)
        converter = plane.temporal.data_converter.payload_converter
        result = payloads.store(given.success.payloads, converter, limit=RESULT_BYTES)
        return Known(command=command, stage=UpdateStage.COMPLETED, result=result)
    failure = await _failure(plane, given)
    stage = UpdateStage.ABANDONED if failure["type"] == RUN_ENDED else UpdateStage.FAILED
    return Known(command=command, stage=stage, error=failure)


async def _failure(plane: ControlPlane, given: Outcome) -> dict[str, Any]:
    await payloads.decode(given.failure, plane.temporal.data_converter)
    return payloads.store_failure(given.failure, plane.temporal.data_converter.payload_converter)


async def _from_step(plane: ControlPlane, command: Command) -> Known:
    """What the projection read in history, where Temporal no longer has the update."""
    recorded = command.outcome or {}
    stage = SETTLED[CommandStatus(command.status)]
    if "event_id" not in recorded:
        return Known(command=command, stage=stage)
    async with reading(plane.engine) as session:
        step = await steps.get(session, recorded["execution_id"], recorded["event_id"])
    stage = UpdateStage.FAILED if command.status == CommandStatus.FAILED else stage
    if step is None:
        return Known(command=command, stage=stage)
    return Known(command=command, stage=stage, result=step.output, error=step.error)
