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
from agentgrid.control.rpc import DEADLINE, call_temporal, describe
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
MAX_CACHED_CONDITIONS = 256
"""Maximum number of workflows whose start conditions a process caches."""


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
    """Its state after the first delivery attempt; for a replay, its current state."""
    run: Run | None = None
    """The run as recorded, `queued`; None for a replay, since the run's status may have changed."""
    workflow_title: str = ""
    """The title of the recorded run's workflow."""

    @property
    def run_id(self) -> str:
        """The started run's id."""
        return self.command.run_id or ""

    @property
    def replayed(self) -> bool:
        """Whether an earlier request with the same idempotency key created it."""
        return self.run is None


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """A run that was just recorded, with what its delivery would otherwise have to read again."""

    command: Command
    run: Run
    schema: dict[str, Any]


def sender(command_id: str) -> str:
    """The identity that a command is sent with: the only trace of the command that cancel and terminate leave in history."""
    return f"{SENDER_PREFIX}{command_id}"


async def start(plane: ControlPlane, caller: Caller, workflow: str, request: StartRequest) -> StartedRun:
    """Record a run as `queued` and start it; while Temporal is unreachable it stays queued until the delivery loop starts it.

    Raises NotFound, Conflict if the workflow is disabled or its schema is unusable, InvalidInput with a pointer for each
    fault, PayloadTooLarge, RateLimited, IdempotencyConflict.
    """
    # Cached conditions may be stale: the writing statement checks them again.
    conditions, is_current = plane.start_conditions.get(workflow) if request.start_at is None else None, False
    for _ in range(TRIES):
        if conditions is None:
            current = await _conditions(plane, caller, workflow)
            if isinstance(current, StartedRun):
                return current
            conditions, is_current = current, True
        try:
            fresh = await _record(plane, caller, workflow, conditions, request)
        except AgentGridError:
            if is_current:
                raise
            current = await _conditions(plane, caller, workflow)
            if isinstance(current, StartedRun):
                return current
            if current.version == conditions.version:
                raise
            conditions, is_current = current, True
            continue
        if fresh is not None:
            _cache(plane, workflow, conditions)
            command = await commands.deliver(plane, fresh.command, partial(deliver_start, fresh=fresh))
            return StartedRun(command=command, run=fresh.run, workflow_title=conditions.title)
        conditions, is_current = None, False
    raise Unavailable(
        "another request with the same Idempotency-Key, or a change to the workflow, is in progress; try again in a moment"
    )


def _cache(plane: ControlPlane, workflow: str, conditions: starts.StartConditions) -> None:
    plane.start_conditions[workflow] = conditions
    if len(plane.start_conditions) > MAX_CACHED_CONDITIONS:
        del plane.start_conditions[next(iter(plane.start_conditions))]


async def _conditions(plane: ControlPlane, caller: Caller, workflow: str) -> starts.StartConditions | StartedRun:
    """The current conditions for a start, or the result of an earlier identical request. Raises NotFound, Conflict, IdempotencyConflict."""
    async with direct(plane.pool) as connection:
        conditions = await starts.conditions(
            connection,
            workflow,
            principal=caller.principal.name,
            route=caller.route,
            key=caller.idempotency_key,
        )
    if conditions.is_repeated:
        async with writing(plane.engine) as session:
            if (earlier := await commands.replayed(session, caller)) is not None:
                return StartedRun(command=earlier)
    if conditions.version is None or not caller.principal.reaches(workflow):
        raise NotFound("workflow", workflow)
    if (disabled := switches.refusal(conditions.switch)) is not None:
        raise disabled
    return conditions


async def _record(
    plane: ControlPlane, caller: Caller, workflow: str, conditions: starts.StartConditions, request: StartRequest
) -> Fresh | None:
    """Check and record the request. Returns None and writes nothing if an identical request was first, or the conditions are stale."""
    if not caller.principal.reaches(workflow):
        raise NotFound("workflow", workflow)
    await _check(plane, workflow, conditions, request)
    run_id = new_id()
    command = commands.new_at(
        caller,
        CommandKind.RUN_START,
        conditions.now,
        run_id=run_id,
        target=workflow,
        reason=request.note,
        body=_wire(request),
    )
    run = _queued(plane, workflow, conditions, request, command, issuers=caller.persons - {caller.principal.name})
    event = _live_event(run_id, RunStatus.QUEUED).data
    async with plane.changing() as connection:
        recorded_at = await starts.record(connection, command, run, event, lease=commands.FIRST_LEASE)
    if recorded_at is None:
        return None
    command.created_at = run.created_at = run.updated_at = recorded_at
    command.next_attempt_at = recorded_at + commands.FIRST_LEASE
    return Fresh(command=command, run=run, schema=conditions.schema)


async def _check(plane: ControlPlane, workflow: str, conditions: starts.StartConditions, request: StartRequest) -> None:
    await plane.checker.check(workflow, conditions.version or "", conditions.schema, request.input)
    arguments = inputs.arguments_of(conditions.schema, request.input)
    inputs.check_size("the input", arguments, plane.temporal.data_converter.payload_converter)
    if request.start_at is not None and request.start_at > conditions.now + MAX_DELAY:
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
    conditions: starts.StartConditions,
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
            "version": conditions.version,
            "task_queue": conditions.task_queue,
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
            "subject": None
            if conditions.subject is None
            else asks.subject(conditions.subject, stored, conditions.schema) or "",
            "created_at": command.created_at,
            "start_at": request.start_at,
            "step_count": 0,
            "steps_done": 0,
            "steps_failed": 0,
            "approvals_pending": 0,
            "updated_at": command.created_at,
        },
    )


def _live_event(run_id: str, status: RunStatus, kind: str = "run") -> feed.NewEvent:
    """The live event for a run without history."""
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

    If Temporal refuses it permanently, the run is closed as failed here: it has no history to project this from.
    """
    async with _closing_refused_run(plane, command):
        return await _start(plane, command, fresh)


async def deliver_late_start(plane: ControlPlane, command: Command) -> dict[str, Any]:
    """Send a queued start, if its principal may still make it and no kill switch is on. A start that Temporal already has is kept."""
    async with _closing_refused_run(plane, command):
        try:
            await _check_still_allowed(plane, command)
        except commands.IMPOSSIBLE:
            with suppress(NotFound):
                return {"execution_id": await _already_started(plane, command)}
            raise
        return await _start(plane, command, None)


async def _check_still_allowed(plane: ControlPlane, command: Command) -> None:
    workflow = command.target or ""
    caller = await commands.current_caller(plane, command)
    if not caller.principal.may(Permission.START) or not caller.principal.reaches(workflow):
        raise Forbidden(f"{command.principal} may no longer start {workflow}")
    async with reading(plane.engine) as session:
        await switches.check(session, Thing(SwitchKind.WORKFLOW, workflow))


@asynccontextmanager
async def _closing_refused_run(plane: ControlPlane, command: Command) -> AsyncIterator[None]:
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
                await feed.append(session, [_live_event(run_id, failed), _live_event(run_id, failed, "end")])
        raise


async def _start(plane: ControlPlane, command: Command, fresh: Fresh | None) -> dict[str, Any]:
    # Uses the database's clock: if this process's clock is wrong, the run could start days too early or too late.
    now = command.created_at
    if fresh is None:
        fresh, now = await _read(plane, command)
    run = fresh.run
    delay = timedelta(0) if run.start_at is None else run.start_at - now
    request = await _start_request(plane, command, run, fresh.schema, delay=delay)
    try:
        answer = await call_temporal(
            plane.temporal.workflow_service.start_workflow_execution(request, timeout=DEADLINE),
            noun="workflow",
            identifier=run.workflow,
        )
    except Conflict:
        # Already started, probably by an earlier attempt of this command: verify that.
        return {"execution_id": await _already_started(plane, command)}
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


async def _already_started(plane: ControlPlane, command: Command) -> str:
    run_id = command.run_id or ""
    info = (await describe(plane, run_id, None)).workflow_execution_info
    memo = payloads.memo_values(info.memo, plane.temporal.data_converter.payload_converter).get(MEMO)
    if not isinstance(memo, dict) or memo.get("command_id") != command.command_id:
        raise Conflict(f"Temporal already has a workflow with the id {run_id!r} that AgentGrid did not start")
    return str(info.first_run_id or info.execution.run_id)
