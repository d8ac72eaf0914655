"""Delivers commands in the background until their outcome is known."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog

from agentgrid.control import approvals, commands, run_verbs, runs, updates
from agentgrid.control.plane import ControlPlane
from agentgrid.db import commands as db_commands
from agentgrid.db import signing_keys
from agentgrid.db.follow import Line, follow
from agentgrid.db.session import SESSION_FAULTS, reading, stating, writing
from agentgrid.db.tables import Command
from agentgrid.domain import channels
from agentgrid.domain.commands import CommandKind

log = structlog.get_logger()

DELIVERERS: dict[str, commands.Deliverer] = {
    CommandKind.RUN_START: runs.deliver_late_start,
    CommandKind.RUN_CANCEL: run_verbs.deliver_verb,
    CommandKind.RUN_TERMINATE: run_verbs.deliver_verb,
    CommandKind.RUN_PAUSE: run_verbs.deliver_verb,
    CommandKind.RUN_RESUME: run_verbs.deliver_verb,
    CommandKind.RUN_INTERRUPT: run_verbs.deliver_verb,
    CommandKind.RUN_SIGNAL: run_verbs.deliver_verb,
    CommandKind.RUN_UPDATE: updates.deliver_late_update,
    CommandKind.APPROVAL_DECIDE: approvals.deliver_late_decision,
}
"""How a command is sent if the request that recorded it did not: for each kind whose `Handling` says that it is sent."""

BATCH = 20
LEASE = timedelta(seconds=15)
"""The lease of a claimed command: several times the duration of an attempt."""
UPDATES_AT_ONCE = 20
"""Updates wait for a worker, so they are attempted beside the others, which must not wait for them. One for which there is no room is due again later."""
POLL_SECONDS = 5.0
"""Delay of a command after a lost notification."""
RECOVERY_SECONDS = 1.0


async def deliver_due(plane: ControlPlane, beside: set[asyncio.Task[None]] | None = None) -> int:
    """Attempt every command that is due. Returns their number. `beside`: where updates are attempted without waiting for them."""
    count = 0
    while True:
        async with writing(plane.engine) as session:
            claimed = await db_commands.claim_due(session, limit=BATCH, lease=LEASE)
        updating = [command for command in claimed if command.kind == CommandKind.RUN_UPDATE and beside is not None]
        if beside is not None:
            _start_beside(plane, updating, beside)
        await asyncio.gather(*(_attempt(plane, command) for command in claimed if command not in updating))
        count += len(claimed)
        if len(claimed) < BATCH:
            return count


async def expire_proposals(plane: ControlPlane) -> None:
    """Expire proposals that were not confirmed in time. Proposals are never delivered."""
    async with stating(plane.engine) as session:
        for command_id in await db_commands.expire_proposals(session):
            log.info("proposal_expired", command_id=command_id)


def _start_beside(plane: ControlPlane, updating: Sequence[Command], beside: set[asyncio.Task[None]]) -> None:
    for command in updating[: UPDATES_AT_ONCE - len(beside)]:
        task = asyncio.create_task(_attempt_beside(plane, command))
        beside.add(task)
        task.add_done_callback(beside.discard)


async def _attempt_beside(plane: ControlPlane, command: Command) -> None:
    try:
        await _attempt(plane, command)
    except SESSION_FAULTS as error:
        # Its lease ends, and it is tried again.
        log.warning("delivery_waits_for_the_database", error=str(error)[:200])


async def _attempt(plane: ControlPlane, command: Command) -> None:
    try:
        await commands.redeliver(plane, command, DELIVERERS[command.kind])
    except SESSION_FAULTS:
        raise
    except Exception:
        # A bug with one command must not block the others. Its lease ends, and it is tried again.
        log.exception("delivery_failed", command_id=command.command_id, kind=command.kind)


async def run(plane: ControlPlane) -> None:
    """Deliver until cancelled: woken by notifications, when the next command is due, or by polling."""
    wake = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_listen(plane, wake))
        await _deliver(plane, wake)


async def _deliver(plane: ControlPlane, wake: asyncio.Event) -> None:
    beside: set[asyncio.Task[None]] = set()
    try:
        while True:
            wake.clear()
            try:
                await deliver_due(plane, beside)
                await expire_proposals(plane)
                pause = await _seconds_to_next(plane)
            except SESSION_FAULTS as error:
                log.warning("delivery_waits_for_the_database", error=str(error)[:200])
                pause = RECOVERY_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await wake.wait()
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _seconds_to_next(plane: ControlPlane) -> float:
    async with reading(plane.engine) as session:
        due = await db_commands.next_due_at(session)
    if due is None:
        return POLL_SECONDS
    return min(max((due - datetime.now(UTC)).total_seconds(), 0.05), POLL_SECONDS)


async def _listen(plane: ControlPlane, wake: asyncio.Event) -> None:
    async def hear(line: Line) -> None:
        await signing_keys.announce(line.connection, plane.signer.key_id)
        await line.listen(channels.COMMANDS, lambda _: wake.set())
        wake.set()
        await line.lost.wait()

    await follow(plane.settings.require_database(), hear, name="agentgrid-delivery", event="commands_not_heard")
