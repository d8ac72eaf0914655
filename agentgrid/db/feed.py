"""The feed: the events that live streams carry, appended and read, and what they are about.

A sequence assigns numbers in request order, not commit order: a reader that has seen 8 could miss a 7 that commits later. So each
writer holds a lock until its transaction ends, and appends last, to hold it briefly.
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

# None of these is shown, and they are most of a row.
_NO_PAYLOADS_OF_STEPS = [defer(each, raiseload=True) for each in (S.input, S.changed_input, S.output)]
_NO_PAYLOADS_OF_APPROVALS = [defer(each, raiseload=True) for each in (A.payload, A.changed, A.terms)]
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
    """The events as the JSON text that the insert takes."""
    return json.dumps(
        [{"run_id": event.run_id, "kind": event.kind, "subject": event.subject, "data": event.data} for event in events]
    )


async def append(session: WriteSession, events: Sequence[NewEvent]) -> None:
    """Append events, as the last statement of the session's transaction, and notify the readers."""
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
    """What events are about, as it is now, without payloads."""

    runs: Mapping[str, Run] = field(default_factory=dict)
    steps: Mapping[str, Step] = field(default_factory=dict)
    """By `execution_id/event_id`."""
    approvals: Mapping[tuple[str, str], Approval] = field(default_factory=dict)
    """By run and approval."""
    commands: Mapping[str, Command] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict)
    """What the commands asked for, by their ids: see `commands.asked`."""


async def after(
    session: ReadSession,
    event_id: int,
    *,
    scope: frozenset[str],
    limit: int,
    interest: Interest | None = None,
    approvals_of: str | None = None,
) -> Sequence[tuple[EventRow, About]]:
    """Events past the cursor of runs in the scope, in order. `approvals_of` limits approval events to runs started by this principal.

    Commands have rules of their own about who sees them: their events are all returned, and so are events about no run. interest: None for everything.
    """
    statement = select(EventRow, R.workflow, R.initiator).outerjoin(Run, R.run_id == E.run_id)
    statement = statement.where(E.event_id > event_id)
    within = scopes.within(R.workflow, scope)
    if within:
        statement = statement.where(or_(E.kind.in_([EventKind.COMMAND.value, EventKind.POLICY.value]), and_(*within)))
    if interest is not None:
        statement = statement.where(*_wanted(interest))
    if approvals_of is not None:
        statement = statement.where(or_(E.kind != EventKind.APPROVAL.value, R.initiator == approvals_of))
    found = await session.execute(statement.order_by(E.event_id).limit(limit))
    return [(event, About(workflow=workflow or "", initiator=initiator or "")) for event, workflow, initiator in found]


def _wanted(interest: Interest) -> list[Any]:
    found = [E.kind.in_(sorted(interest.kinds))]
    if interest.run_id is not None:
        found.append(E.run_id == interest.run_id)
    elif interest.runs is not None:
        found.append(or_(E.kind != EventKind.STEP.value, E.run_id.in_(sorted(interest.runs))))
    return found


async def things(session: ReadSession, events: Sequence[EventRow]) -> Things:
    """What these events are about: one query for each kind of thing among them."""
    by_kind: dict[str, list[EventRow]] = {}
    for event in events:
        by_kind.setdefault(event.kind, []).append(event)
    gates = by_kind.get(EventKind.APPROVAL, [])
    sent = by_kind.get(EventKind.COMMAND, [])
    runs = {event.run_id for event in (*by_kind.get(EventKind.RUN, []), *gates, *sent)} - {""}
    command_ids = sorted({event.subject or "" for event in sent})
    return Things(
        runs={run.run_id: run for run in await named(session, sorted(runs))},
        steps=await _steps(session, {event.subject or "" for event in by_kind.get(EventKind.STEP, [])}),
        approvals=await _approvals(session, gates),
        commands=await _commands(session, command_ids),
        asked=await commands.asked(session, command_ids),
    )


async def _steps(session: ReadSession, subjects: set[str]) -> Mapping[str, Step]:
    parts = [each.rpartition("/") for each in subjects]
    keys = [(execution, int(event)) for execution, _, event in parts if execution and event.isdecimal()]
    if not keys:
        return {}
    unnested = func.unnest(
        cast([execution for execution, _ in keys], ARRAY(Text)), cast([event for _, event in keys], ARRAY(BigInteger))
    )
    given = unnested.table_valued("execution_id", "event_id", name="given").render_derived()
    is_given = and_(S.execution_id == given.c.execution_id, S.event_id == given.c.event_id)
    statement = select(Step).options(*_NO_PAYLOADS_OF_STEPS).join(given, is_given)
    return {f"{step.execution_id}/{step.event_id}": step for step in (await session.execute(statement)).scalars()}


async def _approvals(session: ReadSession, events: Sequence[EventRow]) -> Mapping[tuple[str, str], Approval]:
    if not events:
        return {}
    statement = select(Approval).options(*_NO_PAYLOADS_OF_APPROVALS).where(~A.inherited)
    statement = statement.where(A.approval_id.in_(sorted({event.subject or "" for event in events})))
    return {(gate.run_id, gate.approval_id): gate for gate in (await session.execute(statement)).scalars()}


async def _commands(session: ReadSession, command_ids: Sequence[str]) -> Mapping[str, Command]:
    if not command_ids:
        return {}
    statement = select(Command).options(*_NO_BODIES).where(C.command_id.in_(command_ids))
    return {command.command_id: command for command in (await session.execute(statement)).scalars()}


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLogs:
    """Log lines of one run."""

    run_id: str
    workflow: str
    log_ids: frozenset[int]


# Only lines that the run's own workers wrote: the condition of `steps.logs`, for many runs at once.
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
MOST_LINES = 10_000


async def logs_after(session: ReadSession, log_id: int) -> Sequence[RunLogs]:
    """The newest log lines past this one, at most `MOST_LINES`, by run."""
    found: dict[str, RunLogs] = {}
    for run_id, workflow, log_ids in await session.execute(_LOGS_AFTER, {"after": log_id, "most": MOST_LINES}):
        earlier = found[run_id].log_ids if run_id in found else frozenset[int]()
        found[run_id] = RunLogs(run_id=run_id, workflow=workflow, log_ids=earlier.union(log_ids))
    return list(found.values())


async def newest_log(session: ReadSession) -> int:
    """The newest log line; 0 where there is none."""
    return (await session.execute(select(func.max(L.log_id)))).scalar_one() or 0


async def bounds(session: ReadSession) -> tuple[int, int]:
    """The oldest and the newest event that is kept; (0, 0) where there is none."""
    oldest, newest = (await session.execute(select(func.min(E.event_id), func.max(E.event_id)))).one()
    return oldest or 0, newest or 0
