"""Commands: recorded in a transaction of their own, then delivered to Temporal, and delivered again until the outcome is known.

    pending ── Temporal took it ──▶ delivered ── seen in history, by the projector ──▶ applied | superseded
       │ └──── it is impossible ──▶ refused
       └────── it was not sent, and the caller was told so ──▶ failed

What takes two administrators begins as `proposed`, and is carried out or refused without Temporal: `control/confirmation.py`.

A start that can't be sent stays pending: the run is queued. Any other verb needs its answer now; when it surely was not sent it fails, and
the caller is told to try again. When nobody knows whether it was sent it stays pending and is sent again under the same request id.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import text

from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import approvals
from agentgrid.db import commands as table
from agentgrid.db.rows import loaded
from agentgrid.db.session import WriteSession, reading, writing
from agentgrid.db.tables import Command
from agentgrid.domain.commands import CommandKind, CommandStatus
from agentgrid.domain.ids import new_id
from agentgrid.errors import (
    AgentGridError,
    Conflict,
    Forbidden,
    IdempotencyConflict,
    InvalidInput,
    NotFound,
    RateLimited,
    Unavailable,
)

log = structlog.get_logger()

FIRST_LEASE = timedelta(seconds=6)
"""The request that recorded a command has this long to deliver it before the background loop does."""
BACKOFF_FIRST = timedelta(seconds=1)
BACKOFF_MOST = timedelta(seconds=30)
KEPT_BODY_BYTES = 16 * 1024
"""The body of a refused request is kept up to this size; of a larger one only the digest."""

IMPOSSIBLE = (Conflict, NotFound, InvalidInput, Forbidden)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The command that stands for a request: new, or recorded before under the same idempotency key."""

    command: Command
    replayed: bool


def body_digest(body: Any) -> str:
    """What tells two bodies apart: SHA-256 over the JSON with sorted keys. Exact for any integer, unlike RFC 8785."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


async def new(session: WriteSession, caller: Caller, kind: CommandKind, **about: Any) -> Command:
    """A command of this caller, as `made`, at this moment."""
    return made(caller, kind, await table.clock(session), **about)


def made(caller: Caller, kind: CommandKind, now: datetime, **about: Any) -> Command:
    """A command of this caller; `about` names what it is about: `run_id`, `approval_id`, `target`, `reason`, `body`, ...

    Its time is the database's: decisions are signed with it, and the clocks of API processes differ.
    """
    return loaded(
        Command,
        {
            "command_id": new_id(),
            "kind": kind.value,
            "status": CommandStatus.PENDING.value,
            "principal": caller.principal.name,
            "key_id": caller.key_id,
            "route": caller.route,
            "idempotency_key": caller.idempotency_key,
            "body_digest": None if caller.body is None else body_digest(caller.body),
            "body": caller.body,
            "address": caller.address,
            "created_at": now,
            "next_attempt_at": now + FIRST_LEASE,
            "attempts": 0,
            **about,
        },
    )


async def replayed(session: WriteSession, caller: Caller) -> Command | None:
    """The command that this caller recorded before under the same idempotency key.

    Raises IdempotencyConflict where that was for another body.
    """
    if caller.idempotency_key is None:
        return None
    scope = {"principal": caller.principal.name, "route": caller.route, "key": caller.idempotency_key}
    found = await table.by_idempotency_key(session, **scope)
    if found is not None and await table.release_expired_key(session, found):
        return None
    if found is not None and found.body_digest != body_digest(caller.body):
        raise IdempotencyConflict(caller.idempotency_key)
    return found


async def record(session: WriteSession, caller: Caller, command: Command) -> Recorded:
    """Write the command down, once: of equal requests with one idempotency key that come together, the first one's counts."""
    if await table.insert_once(session, command):
        return Recorded(command=command, replayed=False)
    return Recorded(command=await first_of_equals(session, caller), replayed=True)


async def first_of_equals(session: WriteSession, caller: Caller) -> Command:
    """The command that took the caller's idempotency key before its own could. Raises IdempotencyConflict, Unavailable."""
    earlier = await replayed(session, caller)
    if earlier is None:
        raise Unavailable("another request with the same Idempotency-Key is under way", retry_after_seconds=1)
    return earlier


async def refuse(plane: ControlPlane, caller: Caller, kind: CommandKind, error: AgentGridError, **about: Any) -> str:
    """Record that the request was refused, and why. Returns the command's id."""
    body = caller.body if len(json.dumps(caller.body)) <= KEPT_BODY_BYTES else None
    async with writing(plane.engine) as session:
        if about.get("run_id") is None and about.get("approval_id") is not None:
            about["run_id"] = await approvals.run_of(session, about["approval_id"])
        command = await new(session, caller, kind, **about)
        refused = command.model_copy(
            update={
                "status": CommandStatus.REFUSED.value,
                "idempotency_key": None,
                "body": body,
                "outcome": outcome_of(error),
                "settled_at": command.created_at,
                "next_attempt_at": None,
            }
        )
        await table.insert_once(session, refused)
    log.info(
        "command_refused", command_id=refused.command_id, kind=kind.value, principal=refused.principal, code=error.code
    )
    return refused.command_id


def applied(command: Command, outcome: dict[str, Any] | None = None) -> Command:
    """The command as carried out in the transaction that records it: for changes that need nobody but the database."""
    return command.model_copy(
        update={
            "status": CommandStatus.APPLIED.value,
            "outcome": outcome,
            "settled_at": command.created_at,
            "next_attempt_at": None,
        }
    )


async def apply(
    session: WriteSession, caller: Caller, kind: CommandKind, outcome: dict[str, Any] | None = None, **about: Any
) -> Recorded:
    """Record a command that the session's own transaction carries out: the caller does so, unless it was `replayed`."""
    return await record(session, caller, applied(await new(session, caller, kind, **about), outcome))


async def wake_delivery(session: WriteSession) -> None:
    """Tell the delivery loops, when the transaction commits, that there is something to deliver later."""
    await session.execute(text("SELECT pg_notify('agentgrid_commands', '')"))


def outcome_of(error: AgentGridError) -> dict[str, Any]:
    """An error as a command's outcome."""
    outcome: dict[str, Any] = {"code": error.code, "message": error.message}
    if isinstance(error, InvalidInput) and error.faults:
        outcome["faults"] = [{"pointer": fault.pointer, "message": fault.message} for fault in error.faults[:20]]
    return outcome


def backoff(attempts: int) -> timedelta:
    """How long to wait before the next attempt: doubling, bounded, with jitter so that many don't come back together."""
    bounded: timedelta = min(BACKOFF_FIRST * (1 << min(attempts, 16)), BACKOFF_MOST)
    return bounded * random.uniform(0.5, 1.0)


async def settle(
    plane: ControlPlane, command: Command, status: CommandStatus, outcome: dict[str, Any] | None = None
) -> Command:
    """Write down what became of a pending command; as it is now, which may be what somebody else said of it first.

    Temporal takes a cancel also for a run that has ended, and leaves no trace of it. So what was delivered to a run whose end is mirrored
    already came too late, and nothing would ever say so later.
    """
    async with plane.changing() as connection:
        settled = await table.settle(connection, command, status=status, outcome=outcome)
    if settled is None:
        return await get(plane, command.command_id)
    log.info("command_settled", command_id=command.command_id, kind=command.kind, status=settled.status)
    return settled


Deliverer = Callable[[ControlPlane, Command], Awaitable[dict[str, Any]]]
"""What sends one kind of command to Temporal and returns its outcome. Sent twice, it must take effect once."""


async def deliver(plane: ControlPlane, command: Command, send: Deliverer) -> Command:
    """Deliver the command inside the request that recorded it; the command as it is afterwards.

    A start that Temporal can't take now stays pending. Any other verb raises: Unavailable, with `outcome_unknown` where it may have
    been carried out and will be sent again, else the reason why it is impossible.
    """
    try:
        outcome = await send(plane, command)
    except (Unavailable, RateLimited) as error:
        error.command_id = command.command_id
        unknown = isinstance(error, Unavailable) and error.outcome_unknown
        if command.kind == CommandKind.RUN_START or unknown:
            await postpone(plane, command, error)
        else:
            await settle(plane, command, CommandStatus.FAILED, outcome_of(error))
        if command.kind != CommandKind.RUN_START:
            raise
        return await get(plane, command.command_id)
    except AgentGridError as error:
        error.command_id = command.command_id
        await _give_up(plane, command, error)
        raise
    return await settle(plane, command, CommandStatus.DELIVERED, outcome)


async def redeliver(plane: ControlPlane, command: Command, send: Deliverer) -> None:
    """One attempt in the background. What can't be delivered now is tried again; what is impossible is settled so."""
    try:
        outcome = await send(plane, command)
    except (Unavailable, RateLimited) as error:
        await postpone(plane, command, error)
    except AgentGridError as error:
        await _give_up(plane, command, error)
    else:
        await settle(plane, command, CommandStatus.DELIVERED, outcome)


async def _give_up(plane: ControlPlane, command: Command, error: AgentGridError) -> None:
    status = CommandStatus.REFUSED if isinstance(error, IMPOSSIBLE) else CommandStatus.FAILED
    await settle(plane, command, status, outcome_of(error))


async def postpone(plane: ControlPlane, command: Command, error: Unavailable | RateLimited) -> None:
    """Leave a command pending, to be tried again later."""
    delay = max(backoff(command.attempts), timedelta(seconds=error.retry_after_seconds))
    async with writing(plane.engine) as session:
        await table.postpone(session, command.command_id, delay=delay, outcome=outcome_of(error))
        await wake_delivery(session)


async def get(plane: ControlPlane, command_id: str) -> Command:
    """One command as it is now. Raises NotFound."""
    async with reading(plane.engine) as session:
        command = await table.get(session, command_id)
    if command is None:
        raise NotFound("command", command_id)
    return command
