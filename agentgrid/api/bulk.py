"""Starting several runs by one request: each item is an ordinary start, with a command, a judgement and an idempotency key of its own.

Nothing that befalls one item affects another, and what was started is reported even if the rest fails.
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
from agentgrid.api.routing import MAX_NAME, to_record
from agentgrid.api.schemas.runs import RunBulkItem, RunBulkOutcome, RunStart
from agentgrid.control import commands, runs
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.runs import RunStatus
from agentgrid.errors import AgentGridError, InvalidInput, InvalidPlace, RateLimited, Unavailable

log = structlog.get_logger()

AT_ONCE = 4
"""Items of one request that are in progress together: fewer than the process has turns for writes, so that others get theirs."""
SECONDS = 20.0
"""After this time no further item is begun: clients and proxies give up on a response after 30 seconds or more."""
PAUSE_SECONDS = 0.5
MAX_KEY = 255


@dataclass(frozen=True, kw_only=True)
class Item:
    """One item as sent, and as an ordinary start would have been sent."""

    sent: Any
    caller: Caller

    @property
    def workflow(self) -> str | None:
        """The workflow that it names."""
        return _named(self.sent)


def _named(sent: Any) -> str | None:
    named = sent.get("workflow") if isinstance(sent, dict) else None
    return named[:MAX_NAME] if isinstance(named, str) else None


def items_of(caller: Caller, sent: Sequence[Any]) -> list[Item]:
    """The items of a request. Raises InvalidInput if the request's idempotency key leaves no room for theirs.

    An item without a key of its own gets one from the request's key and its place, so that the whole request can be sent again.
    """
    suffix = len(f"/{len(sent) - 1}")
    if caller.idempotency_key is not None and len(caller.idempotency_key) + suffix > MAX_KEY:
        raise InvalidInput(
            "invalid Idempotency-Key",
            [
                InvalidPlace(
                    pointer="Idempotency-Key", message=f"at most {MAX_KEY - suffix} characters for this many items"
                )
            ],
        )
    return [Item(sent=each, caller=_caller(caller, place, each)) for place, each in enumerate(sent)]


def _caller(caller: Caller, place: int, sent: Any) -> Caller:
    """The caller as they would send the item by itself: the scope of its idempotency key is the same."""
    fields = sent if isinstance(sent, dict) else {}
    own, inherited = fields.get("idempotency_key"), caller.idempotency_key
    key = own if isinstance(own, str) else f"{inherited}/{place}" if inherited is not None else None
    return replace(
        caller,
        route=f"POST {V1}/workflows/{_named(sent) or ''}/runs",
        idempotency_key=key,
        body={name: value for name, value in fields.items() if name not in ("workflow", "idempotency_key")}
        if isinstance(sent, dict)
        else sent,
    )


async def start(plane: ControlPlane, items: Sequence[Item]) -> list[RunBulkOutcome]:
    """Start each. Returns their outcomes, in their order. Takes little longer than SECONDS."""
    outcomes: list[RunBulkOutcome | None] = [None] * len(items)
    queue = iter(enumerate(items))
    until = time.monotonic() + SECONDS

    async def work() -> None:
        for place, item in queue:
            outcomes[place] = await _outcome(plane, place, item, until)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, len(items))):
            group.create_task(work())
    return [outcome for outcome in outcomes if outcome is not None]


async def _outcome(plane: ControlPlane, place: int, item: Item, until: float) -> RunBulkOutcome:
    try:
        started = await _in_turn(plane, place, item, until)
    except Exception as error:
        return await _refused(plane, item, _known(error))
    return RunBulkOutcome(
        outcome="replayed" if started.replayed else "started",
        workflow=item.workflow,
        run_id=started.run_id,
        status=None if started.run is None else RunStatus(started.run.status),
        command_id=started.command.command_id,
        problem=None,
    )


async def _in_turn(plane: ControlPlane, place: int, item: Item, until: float) -> runs.StartedRun:
    while time.monotonic() < until:
        try:
            return await _start(plane, place, item)
        except RateLimited:
            # Expensive input checks have few places, which other items of the same request may hold.
            await asyncio.sleep(PAUSE_SECONDS)
    raise Unavailable(f"not begun within {SECONDS:.0f} s: send this item again", retry_after_seconds=1)


async def _start(plane: ControlPlane, place: int, item: Item) -> runs.StartedRun:
    try:
        wanted = RunBulkItem.model_validate(item.sent)
    except ValidationError as error:
        raise faults_of(error, within=("body", "items", place)) from None
    try:
        return await runs.start(plane, item.caller, wanted.workflow, request_of(wanted))
    except InvalidInput as error:
        raise _placed(error, place) from None


def request_of(wanted: RunStart) -> runs.StartRequest:
    """The start that a body asks for."""
    return runs.StartRequest(
        input=wanted.input,
        reference=wanted.reference,
        tags=tuple(dict.fromkeys(wanted.tags)),
        priority=wanted.priority,
        start_at=wanted.start_at,
        note=wanted.note,
    )


def _placed(error: InvalidInput, place: int) -> InvalidInput:
    """The same error, with pointers into the whole body."""
    faults = [replace(fault, pointer=f"/items/{place}{fault.pointer}") for fault in error.faults]
    placed = InvalidInput(error.message, faults)
    placed.command_id = error.command_id
    return placed


def _known(error: Exception) -> AgentGridError:
    known = translated(error)
    if known is None:
        log.error("bulk_item_failed", exc_info=error)
        return WireError(500, "internal_error", "internal error; see the server's log")
    return known


async def _refused(plane: ControlPlane, item: Item, error: AgentGridError) -> RunBulkOutcome:
    """The outcome of an item that was not started, recorded as the refusal of a single start is."""
    if to_record(error) and not isinstance(error, WireError):
        try:
            error.command_id = await commands.refuse(
                plane, item.caller, CommandKind.RUN_START, error, target=item.workflow
            )
        except Exception as fault:
            error = _known(fault)
    return RunBulkOutcome(
        outcome="refused",
        workflow=item.workflow,
        run_id=None,
        status=None,
        command_id=error.command_id,
        problem=problem(error),
    )
