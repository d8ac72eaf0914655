"""Starting runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import temporalio.api.workflowservice.v1 as service
from temporalio.api.enums.v1 import WorkflowIdReusePolicy

from agentgrid.control import commands, inputs, switches
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.control.rpc import DEADLINE, asked, describe
from agentgrid.db import commands as db_commands
from agentgrid.db import feed, starts, workflows
from agentgrid.db import runs as db_runs
from agentgrid.db.pool import direct
from agentgrid.db.rows import loaded
from agentgrid.db.session import reading, writing
from agentgrid.db.tables import Command, Run
from agentgrid.domain import asks
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.ids import new_id
from agentgrid.domain.principals import Permission
from agentgrid.domain.runs import RunStatus, RunTrigger
from agentgrid.domain.switches import SwitchKind, Thing
from agentgrid.errors import AgentGridError, Conflict, Forbidden, InvalidInput, InvalidPlace, NotFound, Unavailable
from agentgrid.protocol import (
    HEADER_RUN,
    MEMO,
    SENDER_PREFIX,
    RunHeader,
    RunMemo,
    to_payload,
)
from agentgrid.temporal import payloads

MAX_DELAY = timedelta(days=366)
TRIES = 3
KEPT_OFFERS = 256
"""The number of workflows whose start conditions a process caches."""


@dataclass(frozen=True, kw_only=True)
class StartRequest:
    """The content of a start request."""

    input: Any = None
    reference: str | None = None
    tags: tuple[str, ...] = ()
    priority: int | None = None
    start_at: datetime | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class StartedRun:
    """The result of a start: its command and, if it is new, its run."""

    command: Command
    """Its state after the first attempt to deliver it; for a replay, its current state."""
    run: Run | None = None
    """The run as recorded, `queued`; None for a replay, since the run may have any status by now."""
    workflow_title: str = ""
    """The title of the recorded run's workflow."""

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.command.run_id or ""

    @property
    def replayed(self) -> bool:
        """Whether an earlier request with the same idempotency key created it."""
        return self.run is None


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """A run that was just recorded, with what its delivery would otherwise read again."""

    command: Command
    run: Run
    schema: dict[str, Any]


def sender(command_id: str) -> str:
    """The identity under which a command is sent: the only trace of the command that cancel and terminate leave in history."""
    return f"{SENDER_PREFIX}{command_id}"


async def start(plane: ControlPlane, caller: Caller, workflow: str, request: StartRequest) -> StartedRun:
    """Record a run as `queued` and start it; while Temporal is unreachable it stays queued until the delivery loop starts it.

    Raises NotFound, Conflict if the workflow is disabled or its schema is unusable, InvalidInput with a pointer for each
    fault, PayloadTooLarge, RateLimited, IdempotencyConflict.
    """
    # A cached offer may be out of date: the writing statement checks it again.
    offer, certain = plane.offers.get(workflow) if request.start_at is None else None, False
    for _ in range(TRIES):
        if offer is None:
            asked = await _asked(plane, caller, workflow)
            if isinstance(asked, StartedRun):
                return asked
            offer, certain = asked, True
        try:
            fresh = await _record(plane, caller, workflow, offer, request)
        except AgentGridError:
            if certain:
                raise
            asked = await _asked(plane, caller, workflow)
            if isinstance(asked, StartedRun):
                return asked
            if asked.version == offer.version:
                raise
            offer, certain = asked, True
            continue
        if fresh is not None:
            _keep(plane, workflow, offer)
            command = await commands.deliver(plane, fresh.command, partial(deliver_start, fresh=fresh))
            return StartedRun(command=command, run=fresh.run, workflow_title=offer.title)
        offer, certain = None, False
    raise Unavailable("another request with the same Idempotency-Key, or a change to the workflow, is in progress")


def _keep(plane: ControlPlane, workflow: str, offer: starts.StartConditions) -> None:
    plane.offers[workflow] = offer
    if len(plane.offers) > KEPT_OFFERS:
        del plane.offers[next(iter(plane.offers))]


async def _asked(plane: ControlPlane, caller: Caller, workflow: str) -> starts.StartConditions | StartedRun:
    """The current conditions for a start, or the result of the same request made earlier. Raises NotFound, Conflict, IdempotencyConflict."""
    async with direct(plane.pool) as connection:
        offer = await starts.offer(
            connection,
            workflow,
            principal=caller.principal.name,
            route=caller.route,
            key=caller.idempotency_key,
        )
    if offer.asked_before:
        async with writing(plane.engine) as session:
            if (earlier := await commands.replayed(session, caller)) is not None:
                return StartedRun(command=earlier)
    if offer.version is None or not caller.principal.reaches(workflow):
        raise NotFound("workflow", workflow)
    if (disabled := switches.refusal(offer.switch)) is not None:
        raise disabled
    return offer


async def _record(
    plane: ControlPlane, caller: Caller, workflow: str, offer: starts.StartConditions, request: StartRequest
) -> Fresh | None:
    """Check and record the request. Returns None, with nothing written, if an identical request was first or the offer is out of date."""
    if not caller.principal.reaches(workflow):
        raise NotFound("workflow", workflow)
    await _check(plane, workflow, offer, request)
    run_id = new_id()
    command = commands.made(
        caller,
        CommandKind.RUN_START,
        offer.now,
        run_id=run_id,
        target=workflow,
        reason=request.note,
        body=_wire(request),
    )
    run = _queued(plane, workflow, offer, request, command, issuers=caller.persons - {caller.principal.name})
    event = _changed(run_id, RunStatus.QUEUED).data
    async with plane.changing() as connection:
        recorded_at = await starts.record(connection, command, run, event, lease=commands.FIRST_LEASE)
    if recorded_at is None:
        return None
    command.created_at = run.created_at = run.updated_at = recorded_at
    command.next_attempt_at = recorded_at + commands.FIRST_LEASE
    return Fresh(command=command, run=run, schema=offer.schema)


async def _check(plane: ControlPlane, workflow: str, offer: starts.StartConditions, request: StartRequest) -> None:
    await plane.checker.check(workflow, offer.version or "", offer.schema, request.input)
    arguments = inputs.arguments_of(offer.schema, request.input)
    inputs.check_size("the input", arguments, plane.temporal.data_converter.payload_converter)
    if request.start_at is not None and request.start_at > offer.now + MAX_DELAY:
        raise InvalidInput(
            "start_at is too far ahead",
            [InvalidPlace(pointer="/start_at", message=f"at most {MAX_DELAY.days} days ahead")],
        )


def _wire(request: StartRequest) -> dict[str, Any]:
    return {
        "input": request.input,
        "reference": request.reference,
        "tags": list(request.tags),
        "priority": request.priority,
        "start_at": None if request.start_at is None else request.start_at.isoformat(),
        "note": request.note,
    }


def _queued(
    plane: ControlPlane,
    workflow: str,
    offer: starts.StartConditions,
    request: StartRequest,
    command: Command,
    *,
    issuers: frozenset[str],
) -> Run:
    run_id = command.run_id or ""
    stored = payloads.store_value(request.input)
    return loaded(
        Run,
        {
            "run_id": run_id,
            "namespace": plane.settings.temporal_namespace,
            "workflow_id": run_id,
            "workflow": workflow,
            "version": offer.version,
            "task_queue": offer.task_queue,
            "status": RunStatus.QUEUED.value,
            "governed": False,
            "initiator": command.principal,
            "issuers": sorted(issuers),
            "trigger": RunTrigger.API.value,
            "command_id": command.command_id,
            "root_run_id": run_id,
            "reference": request.reference,
            "tags": list(request.tags),
            "tools": [],
            "priority": request.priority,
            "note": request.note,
            "input": stored,
            "subject": None if offer.subject is None else asks.subject(offer.subject, stored, offer.schema) or "",
            "created_at": command.created_at,
            "start_at": request.start_at,
            "step_count": 0,
            "steps_done": 0,
            "steps_failed": 0,
            "approvals_pending": 0,
            "updated_at": command.created_at,
        },
    )


def _changed(run_id: str, status: RunStatus, kind: str = "run") -> feed.NewEvent:
    """The live event for a run that has no history yet."""
    data = (
        {"status": status.value}
        if kind == "end"
        else {
            "status": status.value,
            "waiting_on": None,
            "current_step": None,
            "current_kind": None,
            "asked": None,
            "steps_done": 0,
            "step_count": 0,
            "approvals_pending": 0,
        }
    )
    return feed.NewEvent(run_id=run_id, kind=kind, data=data)


async def deliver_start(plane: ControlPlane, command: Command, fresh: Fresh | None = None) -> dict[str, Any]:
    """Start the workflow under the run's id. Idempotent. Returns Temporal's response.

    If Temporal refuses it permanently, the run ends as failed: it has no history from which this could be projected.
    """
    async with _ending_what_never_begins(plane, command):
        return await _start(plane, command, fresh)


async def deliver_late_start(plane: ControlPlane, command: Command) -> dict[str, Any]:
    """Send a start that waited, if its principal may still make it and no kill switch is on. A start that Temporal already has is kept."""
    async with _ending_what_never_begins(plane, command):
        try:
            await _check_still_allowed(plane, command)
        except commands.IMPOSSIBLE:
            with suppress(NotFound):
                return {"execution_id": await _started_before(plane, command)}
            raise
        return await _start(plane, command, None)


async def _check_still_allowed(plane: ControlPlane, command: Command) -> None:
    workflow = command.target or ""
    caller = await commands.asker(plane, command)
    if not caller.principal.may(Permission.START) or not caller.principal.reaches(workflow):
        raise Forbidden(f"{command.principal} may no longer start {workflow}")
    async with reading(plane.engine) as session:
        await switches.check(session, Thing(SwitchKind.WORKFLOW, workflow))


@asynccontextmanager
async def _ending_what_never_begins(plane: ControlPlane, command: Command) -> AsyncIterator[None]:
    try:
        yield
    except commands.IMPOSSIBLE as error:
        async with writing(plane.engine) as session:
            run_id = command.run_id or ""
            if await db_runs.close_unstarted(
                session,
                run_id,
                status=RunStatus.FAILED,
                reason=error.message,
                error={"type": "StartRefused", "message": error.message, "retryable": False},
            ):
                failed = RunStatus.FAILED
                await feed.append(session, [_changed(run_id, failed), _changed(run_id, failed, "end")])
        raise


async def _start(plane: ControlPlane, command: Command, fresh: Fresh | None) -> dict[str, Any]:
    # Uses the database's clock: this process's clock may be wrong, and a run could start days too early or too late.
    now = command.created_at
    if fresh is None:
        fresh, now = await _read(plane, command)
    run = fresh.run
    delay = timedelta(0) if run.start_at is None else run.start_at - now
    request = await _start_request(plane, command, run, fresh.schema, delay=delay)
    try:
        answer = await asked(
            plane.temporal.workflow_service.start_workflow_execution(request, timeout=DEADLINE),
            noun="workflow",
            identifier=run.workflow,
        )
    except Conflict:
        # Already started, probably by an earlier attempt of this command: check that it is.
        return {"execution_id": await _started_before(plane, command)}
    return {"execution_id": answer.first_execution_run_id or answer.run_id}


async def _read(plane: ControlPlane, command: Command) -> tuple[Fresh, datetime]:
    async with reading(plane.engine) as session:
        run = await db_runs.get(session, command.run_id or "")
        if run is None:
            raise NotFound("run", command.run_id or "")
        version = await workflows.version(session, run.workflow, run.version or "")
        now = await db_commands.clock(session)
    return Fresh(command=command, run=run, schema={} if version is None else version.input_schema), now


async def _start_request(
    plane: ControlPlane, command: Command, run: Run, schema: dict[str, Any], *, delay: timedelta
) -> service.StartWorkflowExecutionRequest:
    memo = plane.signer.memo(
        RunMemo(
            run_id=run.run_id,
            initiator=command.principal,
            issuers=tuple(run.issuers),
            command_id=command.command_id,
            workflow_version=run.version,
            reference=run.reference,
            tags=tuple(run.tags),
            priority=run.priority,
            note=run.note,
            start_at=run.start_at,
        )
    )
    converter = plane.temporal.data_converter
    request = service.StartWorkflowExecutionRequest(
        namespace=plane.settings.temporal_namespace,
        workflow_id=run.workflow_id,
        identity=sender(command.command_id),
        request_id=command.command_id,
        workflow_id_reuse_policy=WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
    )
    request.workflow_type.name = run.workflow
    request.task_queue.name = run.task_queue
    arguments = inputs.arguments_of(schema, command.body["input"])
    if arguments:
        request.input.payloads.extend(await converter.encode(arguments))
    request.memo.fields[MEMO].CopyFrom((await converter.encode([memo.model_dump(mode="json", exclude_none=True)]))[0])
    header = RunHeader(tree=run.run_id, initiator=command.principal, issuers=tuple(run.issuers))
    request.header.fields[HEADER_RUN].CopyFrom(to_payload(header))
    if run.priority is not None:
        request.priority.priority_key = run.priority
    if delay > timedelta(0):
        request.workflow_start_delay.FromTimedelta(delay)
    return request


async def _started_before(plane: ControlPlane, command: Command) -> str:
    run_id = command.run_id or ""
    found = await describe(plane, run_id, None)
    memo = payloads.memo_values(found.workflow_execution_info.memo, plane.temporal.data_converter.payload_converter)
    ours = memo.get(MEMO)
    if not isinstance(ours, dict) or ours.get("command_id") != command.command_id:
        raise Conflict(f"a workflow with the id {run_id!r} already exists, and AgentGrid did not start it")
    return str(found.workflow_execution_info.first_run_id or found.workflow_execution_info.execution.run_id)
