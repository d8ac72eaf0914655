"""Commands: recorded in a separate transaction, then delivered to Temporal, and redelivered until the outcome is known.

    pending ── Temporal accepted it ──▶ delivered ── the projector saw it in history ──▶ applied | superseded
       │ │ └── Temporal accepted it, and its response confirms the effect ──▶ applied
       │ └──── impossible ──▶ refused
       └────── not sent, and reported to the caller ──▶ failed

A command that needs two administrators begins as `proposed`, and is carried out or refused without Temporal: `control/confirmation.py`.

`HANDLING` says for each kind what confirms a command, and whether it is queued while Temporal is unreachable. A queued command, such as a
start, stays pending. Any other needs an immediate response: if it was certainly not sent, it fails, and the caller gets an error and can retry.
If it may have been sent, it stays pending and is sent again with the same request id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import text

from agentgrid.control.plane import Caller, ControlPlane, principal_of
from agentgrid.db import approvals, principals
from agentgrid.db import commands as db_commands
from agentgrid.db.rows import loaded
from agentgrid.db.session import WriteSession, reading, writing
from agentgrid.db.tables import Command
from agentgrid.domain import channels
from agentgrid.domain.backoff import backoff, jittered
from agentgrid.domain.commands import HANDLING, CommandKind, CommandStatus
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
    UpdateExpired,
)

log = structlog.get_logger()

FIRST_LEASE = timedelta(seconds=6)
"""How long the request that recorded a command has to deliver it, before the background loop does."""
FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0
KEPT_BODY_BYTES = 16 * 1024
"""Refused requests are stored with their body up to this size; larger ones only with its digest."""

IMPOSSIBLE = (Conflict, NotFound, InvalidInput, Forbidden)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The command for a request: new, or recorded earlier under the same idempotency key."""

    command: Command
    replayed: bool


def body_digest(body: Any) -> str:
    """The digest used to compare bodies: SHA-256 over the JSON with sorted keys. Exact for any integer, unlike RFC 8785."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


async def new(session: WriteSession, caller: Caller, kind: CommandKind, **about: Any) -> Command:
    """Like `new_at`, with the database's current time."""
    return new_at(caller, kind, await db_commands.clock(session), **about)


def new_at(caller: Caller, kind: CommandKind, now: datetime, **about: Any) -> Command:
    """A new command by this caller, not yet recorded. `about` sets its columns: `run_id`, `approval_id`, `target`, `reason`, `body`, ...

    `now` must come from the database's clock: decisions are signed with it, and the clocks of API processes differ.
    """
    return loaded(
        Command,
        {
            "command_id": new_id(),
            "kind": kind.value,
            "status": CommandStatus.PENDING.value,
            "principal": caller.principal.name,
            "key_id": caller.key_id,
            "session_id": caller.session_id,
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
    """The command that this caller recorded earlier under the same idempotency key.

    Raises IdempotencyConflict if that was for a different body.
    """
    if caller.idempotency_key is None:
        return None
    scope = {"principal": caller.principal.name, "route": caller.route, "key": caller.idempotency_key}
    earlier = await db_commands.by_idempotency_key(session, **scope)
    if earlier is not None and await db_commands.release_expired_key(session, earlier):
        return None
    if earlier is not None and earlier.body_digest != body_digest(caller.body):
        raise IdempotencyConflict(caller.idempotency_key)
    return earlier


async def record(session: WriteSession, caller: Caller, command: Command) -> Recorded:
    """Record the command once: of concurrent identical requests with one idempotency key, the first one wins."""
    if await db_commands.insert_once(session, command):
        return Recorded(command=command, replayed=False)
    return Recorded(command=await first_of_identical(session, caller), replayed=True)


async def first_of_identical(session: WriteSession, caller: Caller) -> Command:
    """The command of the identical request that claimed the idempotency key first. Raises IdempotencyConflict, Unavailable."""
    earlier = await replayed(session, caller)
    if earlier is None:
        raise Unavailable(
            "another request with the same Idempotency-Key is in progress; try again in a moment", retry_after_seconds=1
        )
    return earlier


async def refuse(
    plane: ControlPlane,
    caller: Caller,
    kind: CommandKind,
    error: AgentGridError,
    *,
    message: str | None = None,
    **about: Any,
) -> str:
    """Record a refused request with the reason. Returns the command's id.

    message: the name of the message that the request would send, if the body doesn't have it.
    """
    body = caller.body if len(json.dumps(caller.body)) <= KEPT_BODY_BYTES else None
    if message is not None:
        # The same field as in a recorded command's body. It overrides a `name` in the request's own body.
        body = {**(body if isinstance(body, dict) else {}), "name": message}
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
        await db_commands.insert_once(session, refused)
    log.info(
        "command_refused", command_id=refused.command_id, kind=kind.value, principal=refused.principal, code=error.code
    )
    return refused.command_id


def applied(command: Command, outcome: dict[str, Any] | None = None) -> Command:
    """The command as carried out in the transaction that records it, for changes that only need the database."""
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
    """Record a command that the caller carries out in the same transaction, unless it was `replayed`."""
    return await record(session, caller, applied(await new(session, caller, kind, **about), outcome))


async def wake_delivery(session: WriteSession) -> None:
    """Notify the delivery loops, on commit, that there is something to deliver."""
    await session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": channels.COMMANDS})


def outcome_of(error: AgentGridError) -> dict[str, Any]:
    """An error as a command's outcome."""
    outcome: dict[str, Any] = {"code": error.code, "message": error.message}
    if isinstance(error, InvalidInput) and error.faults:
        outcome["faults"] = [{"pointer": fault.pointer, "message": fault.message} for fault in error.faults[:20]]
    return outcome


async def settle(
    plane: ControlPlane,
    command: Command,
    status: CommandStatus,
    outcome: dict[str, Any] | None = None,
    *,
    keep_key: bool = False,
) -> Command:
    """Set the outcome of a pending command. Returns its current state, which another process may have set first.

    Temporal accepts a cancel for an ended run and leaves no trace of it. So a command delivered to a run that the projection already shows
    as ended came too late, and nothing would settle it later. keep_key: don't release
    the idempotency key: the change may have happened, so the same request must not be carried out again.
    """
    async with plane.changing() as connection:
        settled = await db_commands.settle(connection, command, status=status, outcome=outcome, keep_key=keep_key)
    if settled is None:
        return await get(plane, command.command_id)
    log.info("command_settled", command_id=command.command_id, kind=command.kind, status=settled.status)
    return settled


async def current_caller(plane: ControlPlane, command: Command) -> Caller:
    """The current state of a queued command's caller. Raises Forbidden if they have since been disabled or their key revoked."""
    async with reading(plane.engine) as session:
        row = await principals.get(session, command.principal)
        key = await principals.key(session, command.key_id or "")
    if row is None or row.disabled_at is not None:
        raise Forbidden(f"{command.principal} was disabled before the command could be delivered")
    if key is None or key.revoked_at is not None:
        raise Forbidden(f"the key that {row.name} used was revoked before the command could be delivered")
    return Caller(principal=principal_of(row), key_id=key.key_id, issuers=tuple(key.issuers))


Deliverer = Callable[[ControlPlane, Command], Awaitable[dict[str, Any]]]
"""Sends one kind of command to Temporal and returns its outcome. It must be idempotent."""


async def deliver(plane: ControlPlane, command: Command, send: Deliverer) -> Command:
    """Deliver the command within the request that recorded it. Returns its state afterwards.

    If Temporal can't accept a command of a `queued` kind now, it stays pending. Any other raises: Unavailable, with `outcome_unknown` if it
    may have been carried out and will be sent again, or the reason why it is impossible.
    """
    handling = HANDLING[command.kind]
    try:
        outcome = await send(plane, command)
    except (Unavailable, RateLimited) as error:
        error.command_id = command.command_id
        unknown = isinstance(error, Unavailable) and error.outcome_unknown
        if handling.queued or unknown:
            await postpone(plane, command, error)
        else:
            await settle(plane, command, CommandStatus.FAILED, outcome_of(error))
        if not handling.queued:
            raise
        return await get(plane, command.command_id)
    except AgentGridError as error:
        error.command_id = command.command_id
        await _give_up(plane, command, error)
        raise
    return await settle(plane, command, handling.once_taken, outcome)


async def redeliver(plane: ControlPlane, command: Command, send: Deliverer) -> None:
    """One attempt in the background. A temporary failure is retried; if delivery is impossible, the command is settled."""
    try:
        outcome = await send(plane, command)
    except (Unavailable, RateLimited) as error:
        await postpone(plane, command, error)
    except AgentGridError as error:
        await _give_up(plane, command, error)
    else:
        await settle(plane, command, HANDLING[command.kind].once_taken, outcome)


async def _give_up(plane: ControlPlane, command: Command, error: AgentGridError) -> None:
    status = CommandStatus.REFUSED if isinstance(error, IMPOSSIBLE) else CommandStatus.FAILED
    await settle(plane, command, status, outcome_of(error), keep_key=isinstance(error, UpdateExpired))


async def postpone(plane: ControlPlane, command: Command, error: Unavailable | RateLimited) -> None:
    """Leave a command pending for a later attempt."""
    pause = jittered(backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, tries=command.attempts))
    delay = timedelta(seconds=max(pause, error.retry_after_seconds))
    async with writing(plane.engine) as session:
        await db_commands.postpone(session, command.command_id, delay=delay, outcome=outcome_of(error))
        await wake_delivery(session)


async def get(plane: ControlPlane, command_id: str) -> Command:
    """One command in its current state. Raises NotFound."""
    async with reading(plane.engine) as session:
        command = await db_commands.get(session, command_id)
    if command is None:
        raise NotFound("command", command_id)
    return command
