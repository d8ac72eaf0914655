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
"""How the background loop sends a command: one entry for each kind that is sent according to its `Handling`."""

BATCH = 20
LEASE = timedelta(seconds=15)
"""The lease of a claimed command: several times the duration of an attempt."""
MAX_CONCURRENT_UPDATES = 20
"""Updates wait for a worker, so they run in separate tasks and don't block other commands. An update over the limit is due again later."""
POLL_SECONDS = 5.0
"""Maximum delay of a command if its notification is lost."""
RECOVERY_SECONDS = 1.0


async def deliver_due(plane: ControlPlane, background: set[asyncio.Task[None]] | None = None) -> int:
    """Attempt every command that is due. Returns their number. With `background`, updates run as tasks in that set and are not awaited."""
    count = 0
    while True:
        async with writing(plane.engine) as session:
            claimed = await db_commands.claim_due(session, limit=BATCH, lease=LEASE)
        update_commands: list[Command] = []
        if background is not None:
            update_commands = [command for command in claimed if command.kind == CommandKind.RUN_UPDATE]
            _start_in_background(plane, update_commands, background)
        await asyncio.gather(*(_attempt(plane, command) for command in claimed if command not in update_commands))
        count += len(claimed)
        if len(claimed) < BATCH:
            return count


async def expire_proposals(plane: ControlPlane) -> None:
    """Expire proposals that were not confirmed in time. Proposals are never delivered."""
    async with stating(plane.engine) as session:
        for command_id in await db_commands.expire_proposals(session):
            log.info("proposal_expired", command_id=command_id)


def _start_in_background(
    plane: ControlPlane, update_commands: Sequence[Command], background: set[asyncio.Task[None]]
) -> None:
    for command in update_commands[: MAX_CONCURRENT_UPDATES - len(background)]:
        task = asyncio.create_task(_attempt_in_background(plane, command))
        background.add(task)
        task.add_done_callback(background.discard)


async def _attempt_in_background(plane: ControlPlane, command: Command) -> None:
    try:
        await _attempt(plane, command)
    except SESSION_FAULTS as error:
        # Retried when its lease ends.
        log.warning("delivery_waits_for_the_database", error=str(error)[:200])


async def _attempt(plane: ControlPlane, command: Command) -> None:
    try:
        await commands.redeliver(plane, command, DELIVERERS[command.kind])
    except SESSION_FAULTS:
        raise
    except Exception:
        # A bug with one command must not block the others. It is retried when its lease ends.
        log.exception("delivery_failed", command_id=command.command_id, kind=command.kind)


async def run(plane: ControlPlane) -> None:
    """Deliver until cancelled. Wakes on notifications, when the next command is due, and at the polling interval."""
    wake = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_listen(plane, wake))
        await _deliver(plane, wake)


async def _deliver(plane: ControlPlane, wake: asyncio.Event) -> None:
    background: set[asyncio.Task[None]] = set()
    try:
        while True:
            wake.clear()
            try:
                await deliver_due(plane, background)
                await expire_proposals(plane)
                pause = await _seconds_to_next(plane)
            except SESSION_FAULTS as error:
                log.warning("delivery_waits_for_the_database", error=str(error)[:200])
                pause = RECOVERY_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await wake.wait()
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)


async def _seconds_to_next(plane: ControlPlane) -> float:
    async with reading(plane.engine) as session:
        due = await db_commands.next_due_at(session)
    if due is None:
        return POLL_SECONDS
    return min(max((due - datetime.now(UTC)).total_seconds(), 0.05), POLL_SECONDS)


async def _listen(plane: ControlPlane, wake: asyncio.Event) -> None:
    async def session(line: Line) -> None:
        await signing_keys.announce(line.connection, plane.signer.key_id)
        await line.listen(channels.COMMANDS, lambda _: wake.set())
        wake.set()
        await line.lost.wait()

    await follow(plane.settings.require_database(), session, name="agentgrid-delivery", event="commands_not_heard")
