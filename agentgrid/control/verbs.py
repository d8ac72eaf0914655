"""Verbs on an existing run: cancel, terminate, pause, resume, signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import temporalio.api.workflowservice.v1 as service
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution

from agentgrid.control import commands, inputs
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.control.rpc import DEADLINE, asked, describe
from agentgrid.control.runs import sender
from agentgrid.db import runs as table
from agentgrid.db.session import reading, writing
from agentgrid.db.tables import Command, Run
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.runs import RunStatus, Verb, refusal
from agentgrid.errors import Conflict, Fault, InvalidInput, NotFound, Unavailable
from agentgrid.protocol import (
    SIGNAL_CONTROL,
    ControlSignal,
    to_payload,
)
from agentgrid.temporal import rpc

RESERVED_SIGNALS = ("agentgrid.", "__")

KINDS: dict[Verb, CommandKind] = {
    Verb.CANCEL: CommandKind.RUN_CANCEL,
    Verb.TERMINATE: CommandKind.RUN_TERMINATE,
    Verb.PAUSE: CommandKind.RUN_PAUSE,
    Verb.RESUME: CommandKind.RUN_RESUME,
    Verb.SIGNAL: CommandKind.RUN_SIGNAL,
}


@dataclass(frozen=True, kw_only=True)
class SignalRequest:
    """A signal for the workflow's own handler."""

    name: str
    arguments: tuple[Any, ...] = field(default=())


async def act(
    plane: ControlPlane,
    caller: Caller,
    run_id: str,
    verb: Verb,
    *,
    reason: str | None = None,
    signal: SignalRequest | None = None,
) -> Command:
    """Carry out the verb and return its command. Raises NotFound, Conflict with the current status, PayloadTooLarge, Unavailable."""
    if signal is not None and signal.name.startswith(RESERVED_SIGNALS):
        raise InvalidInput(
            "a signal's name must not begin with `agentgrid.` or `__`",
            [Fault(pointer="/name", message="is reserved")],
        )
    if signal is not None:
        inputs.check_size("the signal", signal.arguments, plane.temporal.data_converter.payload_converter)
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        run = await table.seen(session, run_id, scope=caller.principal.workflows)
        if run is None:
            raise NotFound("run", run_id)
        status = RunStatus(run.status)
        if (why := refusal(verb, status, governed=run.governed, taken=await table.taken(session, run))) is not None:
            raise Conflict(why, status=status.value)
        body = None if signal is None else {"name": signal.name, "arguments": list(signal.arguments)}
        command = await commands.new(
            session, caller, KINDS[verb], run_id=run_id, execution_id=run.execution_id, reason=reason, body=body
        )
        recorded = await commands.record(session, caller, command)
    if recorded.replayed:
        return recorded.command
    return await commands.deliver(plane, command, deliver_verb)


async def deliver_verb(plane: ControlPlane, command: Command) -> dict[str, Any]:
    """Send a verb to the run's current execution. Raises Conflict, NotFound, Unavailable."""
    async with reading(plane.engine) as session:
        run = await table.get(session, command.run_id or "")
    if run is None:
        raise NotFound("run", command.run_id or "")
    try:
        await _send(plane, command, run)
    except NotFound:
        if run.first_execution_id is None:
            raise Unavailable("the run's start has not reached Temporal yet", retry_after_seconds=2) from None
        raise Conflict("Temporal no longer knows this run", status=run.status) from None
    except Conflict as error:
        raise Conflict(error.message, status=run.status) from None
    return {}


async def _send(plane: ControlPlane, command: Command, run: Run) -> None:
    kind = CommandKind(command.kind)
    if kind is CommandKind.RUN_CANCEL:
        await _cancel(plane, command, run)
    elif kind is CommandKind.RUN_TERMINATE:
        await _terminate(plane, command, run)
    elif kind is CommandKind.RUN_SIGNAL:
        arguments = command.body["arguments"]
        encoded = await plane.temporal.data_converter.encode(arguments) if arguments else []
        await _signal(plane, command, run, command.body["name"], encoded)
    else:
        control = ControlSignal(
            action="pause" if kind is CommandKind.RUN_PAUSE else "resume",
            principal=command.principal,
            command_id=command.command_id,
            reason=command.reason,
        )
        await _signal(plane, command, run, SIGNAL_CONTROL, [to_payload(control)])


def _current(run: Run) -> WorkflowExecution:
    """The newest execution of the run's workflow id; if the first execution's id is given, only within the run's chain."""
    return WorkflowExecution(workflow_id=run.workflow_id)


async def _cancel(plane: ControlPlane, command: Command, run: Run) -> None:
    await asked(
        plane.temporal.workflow_service.request_cancel_workflow_execution(
            service.RequestCancelWorkflowExecutionRequest(
                namespace=plane.settings.temporal_namespace,
                workflow_execution=_current(run),
                first_execution_run_id=run.first_execution_id or "",
                identity=sender(command.command_id),
                request_id=command.command_id,
                reason=command.reason or "",
            ),
            timeout=DEADLINE,
        ),
        identifier=run.run_id,
    )


async def _terminate(plane: ControlPlane, command: Command, run: Run) -> None:
    try:
        await asked(
            plane.temporal.workflow_service.terminate_workflow_execution(
                service.TerminateWorkflowExecutionRequest(
                    namespace=plane.settings.temporal_namespace,
                    workflow_execution=_current(run),
                    first_execution_run_id=run.first_execution_id or "",
                    identity=sender(command.command_id),
                    reason=command.reason or "",
                    details=Payloads(),
                ),
                timeout=DEADLINE,
            ),
            identifier=run.run_id,
        )
    except Conflict:
        # Terminate has no request id: an earlier attempt of this command may have ended the run.
        if command.attempts == 0 or not await _ended_by(plane, command, run):
            raise


async def _ended_by(plane: ControlPlane, command: Command, run: Run) -> bool:
    answer = await asked(
        plane.temporal.workflow_service.get_workflow_execution_history_reverse(
            service.GetWorkflowExecutionHistoryReverseRequest(
                namespace=plane.settings.temporal_namespace, execution=_current(run), maximum_page_size=1
            ),
            timeout=DEADLINE,
        ),
        identifier=run.run_id,
    )
    return any(
        event.workflow_execution_terminated_event_attributes.identity == sender(command.command_id)
        for event in answer.history.events
    )


async def _signal(plane: ControlPlane, command: Command, run: Run, name: str, encoded: Sequence[Payload]) -> None:
    """Signal the run. Only a run started by AgentGrid owns its workflow id; any other is addressed by its execution."""
    own = run.workflow_id == run.run_id
    execution_id = None if own else run.execution_id
    try:
        await _send_signal(plane, command, run, execution_id, name, encoded)
    except Conflict:
        # It has continued as new or was reset since the last projection: the chain's newest execution may still be open.
        if own:
            raise
        info = (await describe(plane, run.workflow_id, None)).workflow_execution_info
        if info.first_run_id != run.first_execution_id or info.execution.run_id == execution_id:
            raise
        await _send_signal(plane, command, run, info.execution.run_id, name, encoded)


async def _send_signal(
    plane: ControlPlane, command: Command, run: Run, execution_id: str | None, name: str, encoded: Sequence[Payload]
) -> None:
    await asked(
        rpc.signal(
            plane.temporal,
            workflow_id=run.workflow_id,
            execution_id=execution_id,
            name=name,
            payloads=encoded,
            request_id=command.command_id,
        ),
        identifier=run.run_id,
    )
