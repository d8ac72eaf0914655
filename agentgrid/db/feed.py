"""The feed: appending and reading the events that live streams carry, and the objects that they are about.

A sequence assigns numbers in request order, not commit order: a reader that has seen 8 could miss a 7 that commits later. So each writer holds
a lock until its transaction ends, and appends last to hold it only briefly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Text, and_, cast, func, or_, select, text
from sqlalchemy.orm import defer

from agentgrid.db import commands, locks, scopes
from agentgrid.db.runs import named
from agentgrid.db.session import ReadSession, WriteSession
from agentgrid.db.tables import Approval, Command, EventRow, Log, Run, Step
from agentgrid.domain import channels
from agentgrid.domain.live import EventKind, Interest

A: Any = Approval
C: Any = Command
E: Any = EventRow
L: Any = Log
R: Any = Run
S: Any = Step

# These columns are not shown, and make up most of a row.
_NO_PAYLOADS_OF_STEPS = [defer(column, raiseload=True) for column in (S.input, S.changed_input, S.output)]
_NO_PAYLOADS_OF_APPROVALS = [defer(column, raiseload=True) for column in (A.payload, A.changed, A.terms)]
_NO_BODIES = [defer(C.body, raiseload=True)]


INSERT = """
WITH added AS (
    INSERT INTO events (run_id, kind, subject, data)
    SELECT e.j->>'run_id', e.j->>'kind', e.j->>'subject', e.j->'data'
    FROM json_array_elements({json}) WITH ORDINALITY AS e(j, n) ORDER BY e.n
    RETURNING event_id
)
SELECT pg_notify('{channel}', max(event_id)::text) FROM added HAVING count(*) > 0
""".replace("{channel}", channels.EVENTS)


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """One change for live readers: kind `run`, `step`, `approval` or `end`."""

    run_id: str
    kind: str
    data: dict[str, Any]
    subject: str | None = None


def wire(events: Sequence[NewEvent]) -> str:
    """The events as JSON text, the parameter of `INSERT`."""
    return json.dumps(
        [{"run_id": event.run_id, "kind": event.kind, "subject": event.subject, "data": event.data} for event in events]
    )


async def append(session: WriteSession, events: Sequence[NewEvent]) -> None:
    """Append events and notify the readers. Must be the last statement of the session's transaction."""
    if not events:
        return
    await locks.take(session, locks.EVENTS)
    await session.execute(text(INSERT.format(json="CAST(:events AS json)")), {"events": wire(events)})


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """The facts about an event's run that determine who may see the event."""

    workflow: str
    initiator: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Things:
    """The current state of what events are about, without payloads."""

    runs: Mapping[str, Run] = field(default_factory=dict)
    steps: Mapping[str, Step] = field(default_factory=dict)
    """By `execution_id/event_id`."""
    approvals: Mapping[tuple[str, str], Approval] = field(default_factory=dict)
    """By run and approval."""
    commands: Mapping[str, Command] = field(default_factory=dict)
    requested: Mapping[str, Any] = field(default_factory=dict)
    """What the commands requested, by command id: see `commands.requested_values`."""


async def after(
    session: ReadSession,
    event_id: int,
    *,
    scope: frozenset[str],
    limit: int,
    interest: Interest | None = None,
    approvals_of: str | None = None,
) -> Sequence[tuple[EventRow, About]]:
    """Events past the cursor about runs in the scope, in order. `approvals_of` limits approval events to runs started by this principal.

    Who may see commands follows different rules, so all command events are returned, as are events that are not about a run. interest: None for all
    events.
    """
    statement = select(EventRow, R.workflow, R.initiator).outerjoin(Run, R.run_id == E.run_id)
    statement = statement.where(E.event_id > event_id)
    within = scopes.within(R.workflow, scope)
    if within:
        statement = statement.where(or_(E.kind.in_([EventKind.COMMAND.value, EventKind.POLICY.value]), and_(*within)))
    if interest is not None:
        statement = statement.where(*_of_interest(interest))
    if approvals_of is not None:
        statement = statement.where(or_(E.kind != EventKind.APPROVAL.value, R.initiator == approvals_of))
    rows = await session.execute(statement.order_by(E.event_id).limit(limit))
    return [(event, About(workflow=workflow or "", initiator=initiator or "")) for event, workflow, initiator in rows]


def _of_interest(interest: Interest) -> list[Any]:
    clauses = [E.kind.in_(sorted(interest.kinds))]
    if interest.run_id is not None:
        clauses.append(E.run_id == interest.run_id)
    elif interest.runs is not None:
        clauses.append(or_(E.kind != EventKind.STEP.value, E.run_id.in_(sorted(interest.runs))))
    return clauses


async def things(session: ReadSession, events: Sequence[EventRow]) -> Things:
    """What these events are about, with one query per kind."""
    by_kind: dict[str, list[EventRow]] = {}
    for event in events:
        by_kind.setdefault(event.kind, []).append(event)
    about_approvals = by_kind.get(EventKind.APPROVAL, [])
    about_commands = by_kind.get(EventKind.COMMAND, [])
    runs = {event.run_id for event in (*by_kind.get(EventKind.RUN, []), *about_approvals, *about_commands)} - {""}
    command_ids = sorted({event.subject or "" for event in about_commands})
    return Things(
        runs={run.run_id: run for run in await named(session, sorted(runs))},
        steps=await _steps(session, {event.subject or "" for event in by_kind.get(EventKind.STEP, [])}),
        approvals=await _approvals(session, about_approvals),
        commands=await _commands(session, command_ids),
        requested=await commands.requested_values(session, command_ids),
    )


async def _steps(session: ReadSession, subjects: set[str]) -> Mapping[str, Step]:
    parts = [subject.rpartition("/") for subject in subjects]
    keys = [(execution, int(event)) for execution, _, event in parts if execution and event.isdecimal()]
    if not keys:
        return {}
    unnested = func.unnest(
        cast([execution for execution, _ in keys], ARRAY(Text)), cast([event for _, event in keys], ARRAY(BigInteger))
    )
    key = unnested.table_valued("execution_id", "event_id", name="key").render_derived()
    has_key = and_(S.execution_id == key.c.execution_id, S.event_id == key.c.event_id)
    statement = select(Step).options(*_NO_PAYLOADS_OF_STEPS).join(key, has_key)
    return {f"{step.execution_id}/{step.event_id}": step for step in (await session.execute(statement)).scalars()}


async def _approvals(session: ReadSession, events: Sequence[EventRow]) -> Mapping[tuple[str, str], Approval]:
    if not events:
        return {}
    statement = select(Approval).options(*_NO_PAYLOADS_OF_APPROVALS).where(~A.inherited)
    statement = statement.where(A.approval_id.in_(sorted({event.subject or "" for event in events})))
    return {(row.run_id, row.approval_id): row for row in (await session.execute(statement)).scalars()}


async def _commands(session: ReadSession, command_ids: Sequence[str]) -> Mapping[str, Command]:
    if not command_ids:
        return {}
    statement = select(Command).options(*_NO_BODIES).where(C.command_id.in_(command_ids))
    return {command.command_id: command for command in (await session.execute(statement)).scalars()}


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLogs:
    """The ids of new log lines of one run."""

    run_id: str
    workflow: str
    log_ids: frozenset[int]


# Only lines from the run's own workers: the condition of `steps.reported`, for many runs at once.
_LOGS_AFTER = text("""
    WITH line AS MATERIALIZED (
        SELECT log_id, execution_id, activity_id, task_queue FROM logs WHERE log_id > :after ORDER BY log_id DESC LIMIT :most
    ), written AS (
        SELECT execution_id, activity_id, task_queue, array_agg(log_id) AS log_ids FROM line GROUP BY 1, 2, 3
    )
    SELECT r.run_id, r.workflow, w.log_ids FROM written w
    JOIN executions e ON e.execution_id = w.execution_id JOIN runs r ON r.run_id = e.run_id
    WHERE w.task_queue IS NULL OR w.task_queue = e.task_queue OR EXISTS (
        SELECT FROM steps s
        WHERE s.execution_id = w.execution_id AND s.activity_id = w.activity_id AND s.task_queue = w.task_queue
    )
""")
MAX_LINES = 10_000


async def logs_after(session: ReadSession, log_id: int) -> Sequence[RunLogs]:
    """The newest log lines past this one, at most `MAX_LINES`, by run."""
    by_run: dict[str, RunLogs] = {}
    for run_id, workflow, log_ids in await session.execute(_LOGS_AFTER, {"after": log_id, "most": MAX_LINES}):
        earlier = by_run[run_id].log_ids if run_id in by_run else frozenset[int]()
        by_run[run_id] = RunLogs(run_id=run_id, workflow=workflow, log_ids=earlier.union(log_ids))
    return list(by_run.values())


async def newest_log(session: ReadSession) -> int:
    """The id of the newest log line; 0 if there are none."""
    return (await session.execute(select(func.max(L.log_id)))).scalar_one() or 0


async def bounds(session: ReadSession) -> tuple[int, int]:
    """The ids of the oldest and the newest stored event; (0, 0) if there are none."""
    oldest, newest = (await session.execute(select(func.min(E.event_id), func.max(E.event_id)))).one()
    return oldest or 0, newest or 0
