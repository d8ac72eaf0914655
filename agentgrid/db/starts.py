"""Starting a run: one query reads the conditions, and one statement writes everything.

The statement rechecks what others can change (the workflow's version, its queue and its kill switch) and writes nothing if any of it has changed.
So a process can cache the conditions, and a kill switch takes effect up to the moment of the write.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from agentgrid.db import locks
from agentgrid.db.pool import Connection
from agentgrid.db.rows import loaded
from agentgrid.db.tables import Command, Run, Switch
from agentgrid.domain import channels
from agentgrid.domain.switches import SwitchKind

_CONDITIONS = """
    SELECT clock_timestamp() AS now, e.command_id IS NOT NULL AS is_repeated, w.version, w.title, w.task_queue,
        coalesce(v.input_schema, '{}') AS schema, v.subject, s.disabled, s.reason
    FROM (SELECT 1) AS once
    LEFT JOIN workflows w ON w.name = $1
    LEFT JOIN workflow_versions v ON v.name = w.name AND v.version = w.version
    LEFT JOIN LATERAL (
        SELECT disabled, reason FROM switches WHERE kind = $2 AND name = w.name ORDER BY version DESC LIMIT 1
    ) s ON true
    LEFT JOIN commands e ON e.principal = $3 AND e.route = $4 AND e.idempotency_key = $5
"""

# The lock for events is taken last, and before the sequence assigns a number: `feed.py` explains why.
_RECORD = """
    WITH startable AS MATERIALIZED (
        SELECT clock_timestamp() AS now FROM workflows w WHERE w.name = $7 AND w.version = $19 AND w.task_queue = $20
        AND (SELECT disabled FROM switches WHERE kind = $14 AND name = w.name ORDER BY version DESC LIMIT 1) IS NOT TRUE
    ), command AS (
        INSERT INTO commands (command_id, kind, status, principal, key_id, run_id, target, route, idempotency_key, body_digest, body, reason,
            address, created_at, next_attempt_at, session_id)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::json, $12, $13, now, now + $15::interval, $32 FROM startable
        ON CONFLICT (principal, route, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
        RETURNING command_id, created_at
    ), run AS (
        INSERT INTO runs (command_id, status, created_at, updated_at, run_id, namespace, workflow_id, workflow, version, task_queue, initiator,
            issuers, trigger, root_run_id, reference, tags, priority, note, input, start_at, subject)
        SELECT command_id, $16, created_at, created_at, $6, $17, $18, $7, $19, $20, $4, $21::text[], $22, $23, $24, $25::text[], $26::integer,
            $12, $27::json, $28::timestamptz, $33 FROM command
        RETURNING run_id
    ), locked AS MATERIALIZED (
        SELECT run.run_id FROM run CROSS JOIN locks WHERE locks.name = $29 FOR UPDATE OF locks
    ), event AS (
        INSERT INTO events (run_id, kind, data) SELECT run_id, $30, $31::json FROM locked RETURNING event_id
    )
    SELECT created_at, (SELECT pg_notify('{channel}', event_id::text) FROM event) FROM command
""".replace("{channel}", channels.EVENTS)


@dataclass(frozen=True, kw_only=True)
class StartConditions:
    """The conditions for starting a workflow."""

    now: datetime
    """The time on the database's clock, which all processes share."""
    is_repeated: bool
    """Whether a command with the same idempotency key exists."""
    version: str | None
    """The workflow's newest version; None if the workflow doesn't exist."""
    title: str
    task_queue: str
    schema: Any
    """The version's input schema, as its worker registered it."""
    subject: str | None
    """The version's template for a run's subject."""
    switch: Switch | None


async def conditions(
    connection: Connection, workflow: str, *, principal: str, route: str, key: str | None
) -> StartConditions:
    """The conditions for this principal's start of this workflow."""
    row = await connection.fetchrow(_CONDITIONS, workflow, SwitchKind.WORKFLOW.value, principal, route, key)
    assert row is not None  # the query always returns one row
    switch = {"kind": SwitchKind.WORKFLOW.value, "name": workflow, "disabled": row["disabled"], "reason": row["reason"]}
    return StartConditions(
        now=row["now"],
        is_repeated=row["is_repeated"],
        version=row["version"],
        title=row["title"] or workflow,
        task_queue=row["task_queue"] or "",
        schema=row["schema"],
        subject=row["subject"],
        switch=None if row["disabled"] is None else loaded(Switch, switch),
    )


async def record(
    connection: Connection, command: Command, run: Run, event: dict[str, Any], *, lease: timedelta
) -> datetime | None:
    """Write the command, the run and its live event. Returns the time of the write on the database's clock.

    Returns None and writes nothing if the command's idempotency key is taken, the workflow's version or queue has changed, or it is disabled.
    Waits for a transaction that holds the same key, and for other writers of events.
    """
    recorded_at: datetime | None = await connection.fetchval(
        _RECORD,
        command.command_id,
        command.kind,
        command.status,
        command.principal,
        command.key_id,
        run.run_id,
        command.target,
        command.route,
        command.idempotency_key,
        command.body_digest,
        command.body,
        command.reason,
        command.address,
        SwitchKind.WORKFLOW.value,
        lease,
        run.status,
        run.namespace,
        run.workflow_id,
        run.version,
        run.task_queue,
        run.issuers,
        run.trigger,
        run.root_run_id,
        run.reference,
        run.tags,
        run.priority,
        run.input,
        run.start_at,
        locks.EVENTS,
        "run",
        event,
        command.session_id,
        run.subject,
    )
    return recorded_at
