"""Verbs on an existing run: cancel, terminate, pause, resume, interrupt, signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import temporalio.api.workflowservice.v1 as service
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution

from agentgrid.control import commands, handlers
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.control.rpc import DEADLINE, call_temporal, describe
from agentgrid.control.runs import sender
from agentgrid.db import runs
from agentgrid.db.session import WriteSession, reading, writing
from agentgrid.db.tables import Command, Run
from agentgrid.domain.canonical import sorted_json
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.handlers import HandlerKind
from agentgrid.domain.runs import RunStatus, Verb, refusal
from agentgrid.errors import Conflict, InvalidInput, InvalidPlace, NotFound, Unavailable
from agentgrid.protocol import (
    SIGNAL_CONTROL,
    ControlSignal,
    to_payload,
)
from agentgrid.temporal import rpc

KINDS: dict[Verb, CommandKind] = {
    Verb.CANCEL: CommandKind.RUN_CANCEL,
    Verb.TERMINATE: CommandKind.RUN_TERMINATE,
    Verb.PAUSE: CommandKind.RUN_PAUSE,
    Verb.RESUME: CommandKind.RUN_RESUME,
    Verb.INTERRUPT: CommandKind.RUN_INTERRUPT,
    Verb.SIGNAL: CommandKind.RUN_SIGNAL,
    Verb.UPDATE: CommandKind.RUN_UPDATE,
}


_ACTIONS: dict[CommandKind, Literal["pause", "resume", "interrupt"]] = {
    CommandKind.RUN_PAUSE: "pause",
    CommandKind.RUN_RESUME: "resume",
    CommandKind.RUN_INTERRUPT: "interrupt",
}

MAX_MESSAGE_BYTES = 5_000
MAX_REASON = 400
"""Maximum characters of a reason in a control signal. With a message, and however both are escaped, the signal stays under the 8 KiB
that a worker reads.
"""


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
    message: str | None = None,
) -> Command:
    """Carry out the verb and return its command. message: the message to the agents, only for an interruption.

    Raises NotFound; Conflict with the current status; InvalidInput for a signal that no handler of the run accepts, or a message that is
    too long; PayloadTooLarge; Unavailable.
    """
    body: dict[str, Any] | None = None
    if message is not None:
        _check_message(message)
        body = {"message": message}
    if signal is not None:
        handlers.check_form(plane, HandlerKind.SIGNAL, signal.name, signal.arguments)
        prepared = await prepare(plane, caller, run_id, verb)
        if isinstance(prepared, Command):
            return prepared
        fit = await handlers.check(plane, prepared, HandlerKind.SIGNAL, signal.name, signal.arguments)
        body = {"name": signal.name, "arguments": list(signal.arguments), "handler": fit.value}
    recorded = await record(plane, caller, run_id, verb, reason=reason, body=body)
    if recorded.replayed:
        return recorded.command
    return await commands.deliver(plane, recorded.command, deliver_verb)


def _check_message(message: str) -> None:
    """Raise InvalidInput if the message is too long: an oversized signal would be ignored without an explanation."""
    if (size := len(sorted_json(message))) > MAX_MESSAGE_BYTES:
        fault = f"has {size:,} bytes in JSON; the maximum is {MAX_MESSAGE_BYTES:,}"
        raise InvalidInput("the message is too long", [InvalidPlace(pointer="/message", message=fault)])


async def record(
    plane: ControlPlane, caller: Caller, run_id: str, verb: Verb, *, reason: str | None, body: Any
) -> commands.Recorded:
    """Record the verb's command, or return the one of an earlier identical request. Raises NotFound, Conflict with the current status."""
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return commands.Recorded(command=earlier, replayed=True)
        run = await allowed(session, caller, run_id, verb)
        command = await commands.new(
            session, caller, KINDS[verb], run_id=run_id, execution_id=run.execution_id, reason=reason, body=body
        )
        return await commands.record(session, caller, command)


async def prepare(plane: ControlPlane, caller: Caller, run_id: str, verb: Verb) -> Run | Command:
    """The run, for checks that may take long and so run outside a transaction; or the command of an earlier identical request."""
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        return await allowed(session, caller, run_id, verb)


async def allowed(session: WriteSession, caller: Caller, run_id: str, verb: Verb) -> Run:
    """The run, if its status allows the verb. Raises NotFound, Conflict with the current status."""
    run = await runs.seen(session, run_id, scope=caller.principal.workflows)
    status = RunStatus(run.status)
    at_work = verb is Verb.INTERRUPT and await runs.at_work(session, run)
    taken = await runs.taken(session, run)
    if (why := refusal(verb, status, governed=run.governed, taken=taken, at_work=at_work)) is not None:
        raise Conflict(why, status=status.value)
    return run


async def deliver_verb(plane: ControlPlane, command: Command) -> dict[str, Any]:
    """Send a verb to the run's current execution. Raises Conflict, NotFound, Unavailable."""
    async with reading(plane.engine) as session:
        run = await runs.get(session, command.run_id or "")
    if run is None:
        raise NotFound("run", command.run_id or "")
    try:
        await _send(plane, command, run)
    except NotFound:
        if run.first_execution_id is None:
            raise Unavailable("the run's start has not reached Temporal yet", retry_after_seconds=2) from None
        raise Conflict("Temporal no longer has this run", status=run.status) from None
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
            action=_ACTIONS[kind],
            principal=command.principal,
            command_id=command.command_id,
            # The command has the full reason.
            reason=command.reason[:MAX_REASON] if command.reason is not None else None,
            message=(command.body or {}).get("message"),
        )
        await _signal(plane, command, run, SIGNAL_CONTROL, [to_payload(control)])


def _current(run: Run) -> WorkflowExecution:
    """The newest execution of the run's workflow id; if the first execution's id is given, only within the run's chain."""
    return WorkflowExecution(workflow_id=run.workflow_id)


async def _cancel(plane: ControlPlane, command: Command, run: Run) -> None:
    await call_temporal(
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
        await call_temporal(
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
        # Terminate takes no request id: an earlier attempt of this command may have ended the run.
        if command.attempts == 0 or not await _was_terminated_by(plane, command, run):
            raise


async def _was_terminated_by(plane: ControlPlane, command: Command, run: Run) -> bool:
    answer = await call_temporal(
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
    """Signal the run. Only a run started by AgentGrid owns its workflow id; any other is addressed by its execution id."""
    own = run.workflow_id == run.run_id
    execution_id = None if own else run.execution_id
    try:
        await _send_signal(plane, command, run, execution_id, name, encoded)
    except Conflict:
        # The run has continued as new or was reset since the last projection: the chain's newest execution may still be open.
        if own:
            raise
        info = (await describe(plane, run.workflow_id, None)).workflow_execution_info
        if info.first_run_id != run.first_execution_id or info.execution.run_id == execution_id:
            raise
        await _send_signal(plane, command, run, info.execution.run_id, name, encoded)


async def _send_signal(
    plane: ControlPlane, command: Command, run: Run, execution_id: str | None, name: str, encoded: Sequence[Payload]
) -> None:
    await call_temporal(
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
