"""Commands in the database: recorded once, settled once, and leased for delivery."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ARRAY, Text, and_, any_, bindparam, case, exists, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import defer

from agentgrid.db import paging, scopes
from agentgrid.db.paging import Key, Listing
from agentgrid.db.pool import Connection
from agentgrid.db.rows import loaded
from agentgrid.db.session import FRESH, ReadSession, WriteSession
from agentgrid.db.tables import ApiKey, Command, Run
from agentgrid.domain.commands import HANDLING, PROPOSAL_LIFETIME, CommandKind, CommandStatus, Target
from agentgrid.domain.principals import SYSTEM
from agentgrid.domain.runs import CLOSED
from agentgrid.domain.scopes import is_everything

# The same classes, typed so that their attributes are SQL expressions.
C: Any = Command
K: Any = ApiKey
R: Any = Run

_LISTING = Listing(
    table=Command,
    at="created_at",
    identifier="command_id",
    key=("command_id",),
    options=lambda command: [defer(command.body, raiseload=True)],
)


def _asking() -> Any:
    by_kind = {kind: handling.words.paths for kind, handling in HANDLING.items() if handling.words is not None}
    value = case(
        *((C.kind == kind, func.coalesce(*(C.body[path] for path in paths))) for kind, paths in by_kind.items())
    )
    requested = C.command_id == any_(bindparam("command_ids", type_=ARRAY(Text)))
    return select(C.command_id, func.json_build_array(value)).where(requested, C.kind.in_([*by_kind]))


# Built once: building these statements costs as much as executing them.
_ASKED = _asking()
_CLOCK = select(func.clock_timestamp())
_INSERT = (
    insert(C.__table__)
    .on_conflict_do_nothing(
        index_elements=["principal", "route", "idempotency_key"], index_where=text("idempotency_key IS NOT NULL")
    )
    .returning(C.__table__.c.command_id)
)

_NAMES = [column.name for column in C.__table__.columns]
_RECORD = """
    INSERT INTO commands ({columns}) VALUES ({values})
    ON CONFLICT (principal, route, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING RETURNING command_id
""".replace("{columns}", ", ".join(_NAMES))
_RECORD = _RECORD.replace("{values}", ", ".join(f"${number}" for number in range(1, len(_NAMES) + 1)))

_IS_REPEATED = "SELECT 1 FROM commands WHERE principal = $1 AND route = $2 AND idempotency_key = $3"

# Locks the run before the command, in the projector's lock order, so that the run can't end in between.
_SETTLE = """
    WITH run AS MATERIALIZED (SELECT status FROM runs WHERE run_id = $1 FOR SHARE),
    ended AS MATERIALIZED (SELECT status FROM run WHERE status = ANY($2)),
    became AS MATERIALIZED (
        SELECT coalesce((SELECT 'superseded' FROM ended), $3) AS status,
            coalesce((SELECT json_build_object('run_status', ended.status) FROM ended), $4::json) AS outcome
    )
    UPDATE commands AS c SET status = became.status, outcome = became.outcome, next_attempt_at = NULL,
        delivered_at = CASE WHEN became.status IN ('delivered', 'applied') THEN now() ELSE c.delivered_at END,
        settled_at = CASE WHEN became.status = 'delivered' THEN c.settled_at ELSE now() END,
        idempotency_key = CASE WHEN became.status IN ('failed', 'refused') AND NOT $6 THEN NULL ELSE c.idempotency_key END
    FROM became WHERE c.command_id = $5 AND c.status = 'pending'
    RETURNING c.*
"""

IDEMPOTENCY_WINDOW = timedelta(days=30)
"""How long an idempotency key identifies the same request."""


async def clock(session: ReadSession | WriteSession) -> datetime:
    """The time on the database's clock, which all processes share."""
    now: datetime = (await session.execute(_CLOCK)).scalar_one()
    return now


async def insert_once(session: WriteSession, command: Command) -> bool:
    """Insert the command; false if its idempotency key is taken. Waits for a transaction that holds the same key."""
    values = {name: value for name, value in command.model_dump().items() if value is not None}
    return (await session.execute(_INSERT, values)).scalar() is not None


async def record(connection: Connection, command: Command) -> bool:
    """Like `insert_once`, for a transaction that writes nothing else."""
    values = (getattr(command, name) for name in _NAMES)
    return await connection.fetchval(_RECORD, *values) is not None


async def is_repeated(connection: Connection, *, principal: str, route: str, key: str | None) -> bool:
    """Whether a command with this idempotency key exists."""
    return key is not None and await connection.fetchval(_IS_REPEATED, principal, route, key) is not None


async def by_idempotency_key(
    session: ReadSession | WriteSession, *, principal: str, route: str, key: str
) -> Command | None:
    """The command that was recorded under this idempotency key."""
    statement = select(Command).where(C.principal == principal, C.route == route, C.idempotency_key == key)
    return (await session.execute(statement)).scalar_one_or_none()


async def release_expired_key(session: WriteSession, command: Command) -> bool:
    """Release the command's idempotency key if it is older than the window. Returns whether it was released."""
    statement = (
        update(Command)
        .where(C.command_id == command.command_id, C.created_at < func.now() - IDEMPOTENCY_WINDOW)
        .values(idempotency_key=None)
        .returning(C.command_id)
    )
    return (await session.execute(statement)).scalar() is not None


async def get(session: ReadSession | WriteSession, command_id: str) -> Command | None:
    """One command."""
    return await session.get(Command, command_id)


def within(command: Any, scope: frozenset[str]) -> list[Any]:
    """Conditions for commands in the scope: starts of its workflows, commands on its runs, and commands without a run."""
    started = scopes.within(command.target, scope)
    if not started:
        return []
    starts = command.kind.in_([kind for kind, handling in HANDLING.items() if handling.target is Target.WORKFLOW_START])
    of_run = exists(select(R.run_id).where(R.run_id == command.run_id, *scopes.within(R.workflow, scope)))
    # A decision on an unknown approval has no run, and neither does one on an approval outside the principal's scope: they must look the same.
    of_no_run = and_(command.run_id.is_(None), command.approval_id.is_(None))
    return [or_(and_(starts, *started), and_(~starts, or_(of_no_run, of_run)))]


async def seen(session: ReadSession, command_id: str, *, scope: frozenset[str]) -> Command | None:
    """One command; None if it doesn't exist or its run is outside the scope."""
    statement = select(Command).where(C.command_id == command_id, *within(C, scope))
    return (await session.execute(statement)).scalar_one_or_none()


async def requested_values(session: ReadSession, command_ids: Sequence[str]) -> dict[str, Any]:
    """The values in these commands' bodies that the audit log shows as their `Words`, unchecked, by command id.

    Read as JSON, because the database rejects NUL in text. The bodies themselves may be large, so they are not read.
    """
    if not command_ids:
        return {}
    rows = await session.execute(_ASKED, {"command_ids": list(command_ids)})
    return {command_id: value[0] for command_id, value in rows.all()}


async def newest(
    session: ReadSession,
    *,
    scope: frozenset[str],
    limit: int,
    after: Key | None = None,
    only_of: str | None = None,
    principal: str | None = None,
    run_id: str | None = None,
    approval_id: str | None = None,
    target: str | None = None,
    address: str | None = None,
    kind: Sequence[str] = (),
    status: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    q: str | None = None,
) -> Sequence[Command]:
    """Commands in the scope, newest first, without their bodies. `only_of` limits them to one principal's commands.

    q: a substring of principal, kind, target or reason, or the id of a run, an approval or a command.
    """
    equal = (
        ("principal", only_of),
        ("principal", principal),
        ("run_id", run_id),
        ("approval_id", approval_id),
        ("target", target),
        ("address", address),
    )
    among = (("kind", kind), ("status", status))

    def conditions(command: Any, _collected: bool) -> Sequence[Any]:
        clauses = within(command, scope)
        clauses += [getattr(command, name) == value for name, value in equal if value is not None]
        clauses += [getattr(command, name).in_(values) for name, values in among if values]
        if since is not None:
            clauses.append(command.created_at >= since)
        if until is not None:
            clauses.append(command.created_at < until)
        if q is not None:
            clauses.append(_matches(command, q))
        return clauses

    # Each of these filters on its own has an index in list order.
    at_most_one = sum(value is not None for _, value in equal) + sum(len(values) for _, values in among) <= 1
    ordered = at_most_one and q is None and is_everything(scope)
    rows = await paging.newest(session, _LISTING, conditions, limit=limit, after=after, ordered=ordered)
    return [row[0] for row in rows]


def _matches(command: Any, q: str) -> Any:
    words = (command.principal, command.kind, command.target, command.reason)
    ids = (command.command_id, command.run_id, command.approval_id)
    return or_(*(column.icontains(q, autoescape=True) for column in words), *(column == q for column in ids))


async def settle(
    connection: Connection,
    command: Command,
    *,
    status: CommandStatus,
    outcome: dict[str, Any] | None,
    keep_key: bool = False,
) -> Command | None:
    """Set the outcome of a pending command and return it; None if it is already settled, for example by the projector.

    A command that was delivered to a run that has ended is superseded, if its kind `ends_with_run`. The idempotency key of a command that
    was never carried out is released unless `keep_key`, so that the same request can be made again.
    """
    ends = status is CommandStatus.DELIVERED and HANDLING[command.kind].ends_with_run
    row = await connection.fetchrow(
        _SETTLE, command.run_id if ends else None, sorted(CLOSED), status.value, outcome, command.command_id, keep_key
    )
    return None if row is None else loaded(Command, dict(row))


async def retarget(session: WriteSession, command: Command, *, execution_id: str) -> str | None:
    """Retarget the pending command to another execution of its run, unless another process already has. Returns its current target."""
    moved = (
        update(Command)
        .where(
            C.command_id == command.command_id,
            C.status == CommandStatus.PENDING.value,
            C.execution_id == command.execution_id,
        )
        .values(execution_id=execution_id)
    )
    await session.execute(moved, execution_options={"synchronize_session": False})
    target: str | None = (
        await session.execute(select(C.execution_id).where(C.command_id == command.command_id))
    ).scalar_one()
    return target


async def postpone(session: WriteSession, command_id: str, *, delay: timedelta, outcome: dict[str, Any]) -> None:
    """Retry a pending command after the delay; `outcome` says why it wasn't delivered yet."""
    await session.execute(
        update(Command)
        .where(C.command_id == command_id, C.status == CommandStatus.PENDING.value)
        .values(next_attempt_at=func.now() + delay, outcome=outcome)
    )


async def locked(session: WriteSession, command_id: str) -> Command | None:
    """One command, locked until the transaction ends."""
    return await session.get(Command, command_id, with_for_update=True, populate_existing=True)


async def settle_proposal(
    session: WriteSession, command_id: str, *, status: CommandStatus, outcome: dict[str, Any]
) -> Command:
    """Set the outcome of a proposal that the session has locked."""
    values: dict[str, Any] = {"status": status.value, "outcome": outcome, "settled_at": func.now()}
    if status is CommandStatus.REFUSED:
        values["idempotency_key"] = None
    statement = update(Command).where(C.command_id == command_id).values(**values).returning(Command)
    settled: Command = (await session.execute(statement, execution_options=FRESH)).scalar_one()
    return settled


async def expire_proposals(session: WriteSession) -> Sequence[str]:
    """Refuse the proposals that were not confirmed in time. Returns their ids."""
    refusal = {"code": "expired", "message": f"not confirmed within {PROPOSAL_LIFETIME.days} days"}
    outcome = func.json_build_object(
        *(part for pair in refusal.items() for part in pair), "proposal", C.outcome["proposal"]
    )
    statement = (
        update(Command)
        .where(C.status == CommandStatus.PROPOSED.value, C.created_at <= func.now() - PROPOSAL_LIFETIME)
        .values(status=CommandStatus.REFUSED.value, outcome=outcome, settled_at=func.now(), idempotency_key=None)
        .returning(C.command_id)
        .execution_options(synchronize_session=False)
    )
    expired: Sequence[str] = (await session.execute(statement)).scalars().all()
    return expired


async def administrator_removed_since(session: WriteSession, since: timedelta) -> bool:
    """Whether an administrator was disabled or lost the role through the API in the last `since`."""
    statement = select(
        select(C.command_id)
        .where(
            C.kind.in_((CommandKind.PRINCIPAL_PUT.value, CommandKind.PRINCIPAL_DISABLE.value)),
            C.status == CommandStatus.APPLIED.value,
            C.principal != SYSTEM,
            C.outcome["administrator_removed"].as_boolean(),
            C.created_at > func.now() - since,
        )
        .exists()
    )
    return bool((await session.execute(statement)).scalar_one())


async def decided_with_revoked_keys(session: WriteSession, since: timedelta) -> Sequence[str]:
    """The ids of decisions and proposed changes from the last `since` that were made with an API key that has since been revoked."""
    statement = (
        select(C.command_id)
        .join(ApiKey, K.key_id == C.key_id)
        .where(
            # A proposed change counts while its approval is pending, however old it is.
            or_(
                and_(C.kind == CommandKind.APPROVAL_DECIDE.value, C.created_at > func.now() - since),
                and_(C.kind == CommandKind.APPROVAL_PROPOSE.value, K.revoked_at > func.now() - since),
            ),
            K.revoked_at.is_not(None),
        )
        .order_by(C.command_id)
    )
    command_ids: Sequence[str] = (await session.execute(statement)).scalars().all()
    return command_ids


async def claim_due(session: WriteSession, *, limit: int, lease: timedelta) -> Sequence[Command]:
    """Claim pending commands that are due, oldest first; no other process gets them until the lease ends."""
    due = (
        select(C.command_id)
        .where(
            C.status == CommandStatus.PENDING.value,
            or_(C.next_attempt_at.is_(None), C.next_attempt_at <= func.now()),
        )
        .order_by(C.next_attempt_at.nulls_first(), C.command_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = (
        update(Command)
        .where(C.command_id.in_(due))
        .values(attempts=C.attempts + 1, next_attempt_at=func.now() + lease)
        .returning(Command)
    )
    claimed = (await session.execute(statement)).scalars().all()
    return sorted(claimed, key=lambda command: command.command_id)


async def next_due_at(session: ReadSession) -> datetime | None:
    """When the next pending command is due; None if none is pending."""
    statement = select(func.min(func.coalesce(C.next_attempt_at, C.created_at))).where(
        C.status == CommandStatus.PENDING.value
    )
    due: datetime | None = (await session.execute(statement)).scalar()
    return due


async def pending_count(session: ReadSession) -> int:
    """The number of commands that are not yet delivered."""
    statement = select(func.count()).where(C.status == CommandStatus.PENDING.value)
    return int((await session.execute(statement)).scalar_one())
