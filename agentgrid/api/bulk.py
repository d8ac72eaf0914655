"""Starts several runs in one request. Each item is an ordinary start with its own command, outcome and idempotency key.

A failed item does not affect the others, and started runs are reported even if the rest fails.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from pydantic import ValidationError

from agentgrid.api.access import V1
from agentgrid.api.errors import WireError, faults_of, problem, translated
from agentgrid.api.routing import MAX_NAME, needs_record
from agentgrid.api.schemas.runs import RunBulkItem, RunBulkOutcome, RunStart
from agentgrid.control import commands, runs
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.runs import RunStatus
from agentgrid.errors import AgentGridError, InvalidInput, InvalidPlace, RateLimited, Unavailable

log = structlog.get_logger()

CONCURRENCY = 4
"""Items of one request processed concurrently: fewer than the process's write slots, so that other requests get their turn."""
START_SECONDS = 20.0
"""No further item is started after this time: clients and proxies give up on a response after 30 seconds or more."""
RETRY_SECONDS = 0.5
MAX_KEY = 255


@dataclass(frozen=True, kw_only=True)
class Item:
    """One item as sent, and the caller as for an ordinary start."""

    sent: Any
    caller: Caller

    @property
    def workflow(self) -> str | None:
        return _workflow_of(self.sent)


def _workflow_of(sent: Any) -> str | None:
    workflow = sent.get("workflow") if isinstance(sent, dict) else None
    return workflow[:MAX_NAME] if isinstance(workflow, str) else None


def items_of(caller: Caller, sent: Sequence[Any]) -> list[Item]:
    """The items of a request. Raises InvalidInput if the request's idempotency key leaves no room for theirs.

    An item without its own key gets one derived from the request's key and its position, so that the whole request can be retried.
    """
    suffix = len(f"/{len(sent) - 1}")
    if caller.idempotency_key is not None and len(caller.idempotency_key) + suffix > MAX_KEY:
        raise InvalidInput(
            "invalid Idempotency-Key",
            [
                InvalidPlace(
                    pointer="Idempotency-Key",
                    message=f"must have at most {MAX_KEY - suffix} characters for this many items",
                )
            ],
        )
    return [Item(sent=item, caller=_caller(caller, index, item)) for index, item in enumerate(sent)]


def _caller(caller: Caller, index: int, sent: Any) -> Caller:
    """The caller as for a single start of the item, so that the scope of its idempotency key is the same."""
    fields = sent if isinstance(sent, dict) else {}
    own, inherited = fields.get("idempotency_key"), caller.idempotency_key
    key = own if isinstance(own, str) else f"{inherited}/{index}" if inherited is not None else None
    return replace(
        caller,
        route=f"POST {V1}/workflows/{_workflow_of(sent) or ''}/runs",
        idempotency_key=key,
        body={name: value for name, value in fields.items() if name not in ("workflow", "idempotency_key")}
        if isinstance(sent, dict)
        else sent,
    )


async def start(plane: ControlPlane, items: Sequence[Item]) -> list[RunBulkOutcome]:
    """Start all items and return their outcomes in order. Takes little longer than START_SECONDS."""
    outcomes: list[RunBulkOutcome | None] = [None] * len(items)
    queue = iter(enumerate(items))
    deadline = time.monotonic() + START_SECONDS

    async def work() -> None:
        for index, item in queue:
            outcomes[index] = await _outcome(plane, index, item, deadline)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(CONCURRENCY, len(items))):
            group.create_task(work())
    return [outcome for outcome in outcomes if outcome is not None]


async def _outcome(plane: ControlPlane, index: int, item: Item, deadline: float) -> RunBulkOutcome:
    try:
        started = await _start_with_retry(plane, index, item, deadline)
    except Exception as error:
        return await _refused(plane, item, _as_known(error))
    return RunBulkOutcome(
        outcome="replayed" if started.replayed else "started",
        workflow=item.workflow,
        run_id=started.run_id,
        status=None if started.run is None else RunStatus(started.run.status),
        command_id=started.command.command_id,
        problem=None,
    )


async def _start_with_retry(plane: ControlPlane, index: int, item: Item, deadline: float) -> runs.StartedRun:
    while time.monotonic() < deadline:
        try:
            return await _start(plane, index, item)
        except RateLimited:
            # Few expensive input checks may run at once, and other items of the same request may be using those slots.
            await asyncio.sleep(RETRY_SECONDS)
    raise Unavailable(f"not started within {START_SECONDS:.0f} s: send this item again", retry_after_seconds=1)


async def _start(plane: ControlPlane, index: int, item: Item) -> runs.StartedRun:
    try:
        parsed = RunBulkItem.model_validate(item.sent)
    except ValidationError as error:
        raise faults_of(error, within=("body", "items", index)) from None
    try:
        return await runs.start(plane, item.caller, parsed.workflow, request_of(parsed))
    except InvalidInput as error:
        raise _placed(error, index) from None


def request_of(body: RunStart) -> runs.StartRequest:
    """The start requested by a body."""
    return runs.StartRequest(
        input=body.input,
        reference=body.reference,
        tags=tuple(dict.fromkeys(body.tags)),
        priority=body.priority,
        start_at=body.start_at,
        note=body.note,
    )


def _placed(error: InvalidInput, index: int) -> InvalidInput:
    """The error with pointers into the whole body."""
    faults = [replace(fault, pointer=f"/items/{index}{fault.pointer}") for fault in error.faults]
    placed = InvalidInput(error.message, faults)
    placed.command_id = error.command_id
    return placed


def _as_known(error: Exception) -> AgentGridError:
    known = translated(error)
    if known is None:
        log.error("bulk_item_failed", exc_info=error)
        return WireError(500, "internal_error", "internal error; see the server's log")
    return known


async def _refused(plane: ControlPlane, item: Item, error: AgentGridError) -> RunBulkOutcome:
    """The outcome of an item that was not started, recorded like the refusal of a single start."""
    if needs_record(error) and not isinstance(error, WireError):
        try:
            error.command_id = await commands.refuse(
                plane, item.caller, CommandKind.RUN_START, error, target=item.workflow
            )
        except Exception as record_error:
            error = _as_known(record_error)
    return RunBulkOutcome(
        outcome="refused",
        workflow=item.workflow,
        run_id=None,
        status=None,
        command_id=error.command_id,
        problem=problem(error),
    )
