"""The rows of a run's timeline, read in one snapshot: steps without payloads, attempts, approvals, and the newest event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from agentgrid.db import scopes
from agentgrid.db.pool import Connection
from agentgrid.db.tables.columns import read_registered
from agentgrid.domain import timeline
from agentgrid.domain.asks import UNIT
from agentgrid.domain.scopes import admits
from agentgrid.domain.timeline import ERROR_HEAD, FoldedSteps, Shape, StepKey, Usual

MAX_SHAPES = 50_000
"""Maximum steps to read when a run's steps are grouped; Temporal ends an execution at about 51,000 events."""
MAX_ATTEMPTS = 20
"""Maximum attempts per step, the newest ones."""
MAX_JOBS = 5_000
MAX_APPROVALS = 5_000
LABEL_BYTES = 2_000
"""Maximum stored size of arguments that are read for a step's label."""
EARLIER_RUNS = 50
LOOKED_AT_RUNS = 500
EARLIER_STEPS = 200

Row = asyncpg.Record


@dataclass(frozen=True, kw_only=True)
class TimelineRequest:
    """The requested part of a run; by default all of its newest executions."""

    limit: int
    labels: bool
    """Whether to read arguments for labels."""
    execution: str | None = None
    first: int | None = None
    last: int | None = None
    """Only steps with event ids from `first` to `last`."""


@dataclass(frozen=True, kw_only=True)
class TimelineRows:
    """The rows of one timeline."""

    run: Row
    as_of: int
    steps: Sequence[Row]
    folded: FoldedSteps | None
    """The grouped steps, if there were more steps than the limit."""
    complete: bool
    jobs: Sequence[Row]
    """The newest jobs of the steps with more than one job, oldest first."""
    approvals: Sequence[Row]
    risks: Mapping[str, str]
    schemas: Mapping[str, Any]
    """The current input schemas of the run's tools whose arguments have units, by name."""
    agents: Mapping[str, str]
    """The titles of the run's agents, by name."""


_RUN = """
SELECT run_id, workflow, version, status, step_count, created_at, started_at, closed_at,
    (SELECT coalesce(max(event_id), 0) FROM events) AS as_of,
    ARRAY(
        SELECT e.execution_id FROM executions e
        WHERE e.run_id = r.run_id AND CASE WHEN $2::text IS NULL THEN e.reset_to IS NULL ELSE e.execution_id = $2 END
    ) AS executions
FROM runs r WHERE r.run_id = $1 AND ($3::text[] IS NULL OR r.workflow LIKE ANY ($3))
"""

_PART = """
FROM steps s WHERE s.run_id = $1 AND s.execution_id = ANY($2)
    AND ($3::bigint IS NULL OR s.event_id >= $3) AND ($4::bigint IS NULL OR s.event_id <= $4)
"""
_ORDER = "ORDER BY s.scheduled_at, s.event_id, s.execution_id"

_COLUMNS = f"""
SELECT s.execution_id, s.event_id, s.parent, s.turn, s.kind, s.name, s.title, s.status, s.attempts AS attempt_count, s.activity_id,
    s.worker, s.approval_id, s.child_workflow_id, s.scheduled_at, s.started_at, s.closed_at, s.due_at, s.usage, s.live_state,
    s.live_attempt, s.live_next_retry_at, s.live_heartbeat_at, s.live_worker, CASE WHEN s.inherited THEN true END AS inherited,
    CASE WHEN s.local THEN true END AS local, s.call_key, left(s.error::text, {ERROR_HEAD}) AS error,
    left(s.live_error::text, {ERROR_HEAD}) AS live_error,
    CASE WHEN {{labels}} AND s.kind IN ('tool', 'agent', 'activity')
        AND pg_column_size(coalesce(s.changed_input, s.input)) <= {LABEL_BYTES} THEN coalesce(s.changed_input, s.input) END AS input
"""
"""The columns of `TimelineStep` under its field names, and some from which other fields are computed."""

_SHAPES = f"SELECT s.execution_id, s.event_id, s.parent, s.kind, s.name, s.status, s.scheduled_at, s.closed_at {_PART} {_ORDER} LIMIT $5"

_CHOSEN = """
FROM steps s JOIN unnest($1::text[], $2::bigint[]) AS k (execution_id, event_id)
    ON s.execution_id = k.execution_id AND s.event_id = k.event_id
"""

# As in `steps.jobs`: only reports by the run's own workers, whose queue is the execution's or the step's.
_JOBS = f"""
SELECT execution_id, activity_id, call_key, attempt, local, worker, status, started_at, finished_at, left(error::text, {ERROR_HEAD}) AS error,
    total - back + 1 AS n
FROM (
    SELECT j.*, count(*) OVER call AS total, row_number() OVER (call ORDER BY j.started_at DESC, j.job_id DESC) AS back
    FROM jobs j WHERE j.execution_id = ANY($2) AND (
        (j.execution_id, j.task_queue) IN (SELECT e.execution_id, e.task_queue FROM executions e WHERE e.run_id = $1)
        OR (j.execution_id, j.activity_id, j.task_queue) IN (SELECT s.execution_id, s.activity_id, s.task_queue FROM steps s WHERE s.run_id = $1)
        OR (j.execution_id, j.call_key, j.task_queue) IN (SELECT s.execution_id, s.call_key, s.task_queue FROM steps s WHERE s.run_id = $1)
    )
    WINDOW call AS (PARTITION BY j.execution_id, coalesce(j.call_key, j.activity_id))
) AS attempts WHERE total > 1 AND back <= {MAX_ATTEMPTS} ORDER BY started_at DESC, job_id DESC LIMIT {MAX_JOBS}
"""  # noqa: S608

_APPROVALS = f"""
SELECT execution_id, step_event_id, approval_id, status, approvers, opened_at, closed_at FROM approvals
WHERE run_id = $1 AND execution_id = ANY($2) ORDER BY opened_at DESC LIMIT {MAX_APPROVALS}
"""  # noqa: S608

# The schema is read as text, for defensive parsing: a worker registered it.
_TOOLS = f"""
SELECT name, risk, CASE WHEN $2 AND input_schema::text LIKE '%{UNIT}%' THEN input_schema::text END AS schema
FROM tools WHERE name = ANY($1)
"""  # noqa: S608

_EARLIER = f"""
SELECT r.run_id, s.kind, s.name, s.title
FROM (
    SELECT run_id FROM (
        SELECT run_id, version, status, created_at FROM runs WHERE workflow = $1 ORDER BY created_at DESC, run_id DESC LIMIT {LOOKED_AT_RUNS}
    ) AS newest WHERE version IS NOT DISTINCT FROM $2 AND status = 'completed' ORDER BY created_at DESC LIMIT {EARLIER_RUNS}
) AS r CROSS JOIN LATERAL (
    SELECT s.kind, s.name, s.title FROM steps s WHERE s.run_id = r.run_id AND s.parent IS NULL AND NOT s.inherited
    ORDER BY s.scheduled_at, s.event_id LIMIT {EARLIER_STEPS}
) AS s
"""  # noqa: S608


async def of_run(
    connection: Connection, run_id: str, request: TimelineRequest, *, scope: frozenset[str]
) -> TimelineRows | None:
    """The run's timeline; None if there is no such run in the scope, or no such execution in the run."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        run = await connection.fetchrow(_RUN, run_id, request.execution, scopes.patterns(scope))
        if run is None or not admits(scope, run["workflow"]) or (request.execution and not run["executions"]):
            return None
        executions = run["executions"]
        part = (run_id, executions, request.first, request.last)
        columns = _COLUMNS.format(labels="true" if request.labels else "false")
        steps = await connection.fetch(f"{columns} {_PART} {_ORDER} LIMIT $5", *part, request.limit + 1)
        folded, complete = None, True
        if len(steps) > request.limit:
            rows = await connection.fetch(_SHAPES, *part, MAX_SHAPES + 1)
            shapes = [_shape(*row) for row in rows]
            complete = len(shapes) <= MAX_SHAPES
            folded = timeline.fold(shapes)
            newest = _newest(shapes, folded.kept, request.limit)
            complete = complete and len(newest) == len(folded.kept)
            keys = list(newest)
            steps = await connection.fetch(
                f"{columns} {_CHOSEN} {_ORDER}", [key[0] for key in keys], [key[1] for key in keys]
            )
        jobs = await connection.fetch(_JOBS, run_id, executions)
        approvals = await connection.fetch(_APPROVALS, run_id, executions)
        names = sorted({row["name"] for row in steps if row["kind"] == "tool"})
        tools = await connection.fetch(_TOOLS, names, request.labels)
        names = sorted({row["name"] for row in steps if row["kind"] == "agent"})
        agents = await connection.fetch("SELECT name, title FROM agents WHERE name = ANY($1)", names) if names else []
    return TimelineRows(
        run=run,
        as_of=run["as_of"],
        steps=steps,
        folded=folded,
        complete=complete,
        jobs=jobs[::-1],
        approvals=approvals,
        risks={row["name"]: row["risk"] for row in tools},
        schemas={row["name"]: read_registered(row["schema"]) for row in tools if row["schema"] is not None},
        agents={row["name"]: row["title"] for row in agents},
    )


def _shape(
    execution_id: str,
    event_id: int,
    parent: int | None,
    kind: str,
    name: str,
    status: str,
    scheduled_at: datetime,
    closed_at: datetime | None,
) -> Shape:
    return Shape(
        key=(execution_id, event_id),
        parent=parent,
        kind=kind,
        name=name,
        status=status,
        scheduled_at=scheduled_at,
        closed_at=closed_at,
    )


def _newest(shapes: Sequence[Shape], kept: Sequence[StepKey], limit: int) -> set[StepKey]:
    """The newest of the steps that were not grouped, with their ancestors."""
    ungrouped = set(kept)
    if len(ungrouped) <= limit:
        return ungrouped
    by_key = {shape.key: shape for shape in shapes}
    newest: set[StepKey] = set()
    for shape in reversed(shapes):
        if len(newest) >= limit:
            break
        step: Shape | None = shape if shape.key in ungrouped else None
        while step is not None and step.key not in newest:
            newest.add(step.key)
            step = None if step.parent is None else by_key.get((step.key[0], step.parent))
    return newest


async def earlier(connection: Connection, *, workflow: str, version: str | None) -> list[list[Usual]]:
    """The distinct steps, in order, of each of the newest completed runs of a workflow version."""
    by_run: dict[str, dict[tuple[str, str], Usual]] = {}
    for row in await connection.fetch(_EARLIER, workflow, version):
        steps = by_run.setdefault(row["run_id"], {})
        steps.setdefault((row["kind"], row["name"]), Usual(kind=row["kind"], name=row["name"], title=row["title"]))
    return [list(steps.values()) for steps in by_run.values()]
