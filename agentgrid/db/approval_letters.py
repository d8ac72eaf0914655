"""What the page of an approval shows besides its row: the rule, the model turn that requested the call, the agent's earlier calls, and the approvals
of the same shape. Each query is bounded and uses an index."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from agentgrid.db import scopes
from agentgrid.db.approvals import ApprovalFacts
from agentgrid.db.pool import Connection
from agentgrid.db.rows import loaded
from agentgrid.db.tables import Approval, PolicyRow, Run, Step

MAX_LOOKED_AT = 8
SINCE = timedelta(days=30)
MAX_COUNTED = 10_000
MAX_WALKED = 2_000
"""Maximum approvals of a shape to search for one in the scope, and maximum steps to search before the call."""
MAX_PREVIOUS_BYTES = 8 * 1024

_RULE = "SELECT * FROM policies WHERE rule_id = $1 AND version = $2"

_PARENT = "SELECT parent, turn FROM steps WHERE execution_id = $1 AND event_id = $2"

# The steps within an agent's call come after the agent's own step, and have its event id as parent.
_TURN = """
    SELECT s.output::text AS output, s.usage::text AS usage FROM steps s
    WHERE s.execution_id = $1 AND s.event_id > $2 AND s.event_id < $3 AND s.parent = $2 AND s.kind = 'model' AND s.turn = $4
    ORDER BY s.event_id DESC LIMIT 1
"""
_LOOKED_AT = """
    SELECT w.event_id, w.kind, w.name, w.title, w.status, w.started_at, w.scheduled_at, w.closed_at, s.input::text AS input
    FROM (
        SELECT * FROM (
            SELECT e.event_id, e.kind, e.name, e.title, e.status, e.parent, e.started_at, e.scheduled_at, e.closed_at FROM steps e
            WHERE e.execution_id = $1 AND e.event_id > $2 AND e.event_id < $3 ORDER BY e.event_id DESC LIMIT $5
        ) AS walked WHERE parent = $2 AND kind IN ('tool', 'agent') ORDER BY event_id DESC LIMIT $4
    ) AS w JOIN steps s ON s.execution_id = $1 AND s.event_id = w.event_id ORDER BY w.event_id
"""
_PREVIOUS = """
    SELECT a.*, r.workflow_id AS run_workflow_id, r.workflow AS run_workflow, r.initiator AS run_initiator, r.issuers AS run_issuers,
        r.reference AS run_reference, r.run_id AS run_run_id
    FROM (
        SELECT execution_id, approval_id, run_id, closed_at FROM approvals
        WHERE shape = $1 AND NOT inherited AND closed_at IS NOT NULL AND closed_at <= $2 AND approval_id <> $3 AND status IN ('approved', 'rejected')
        ORDER BY closed_at DESC LIMIT $6
    ) AS p JOIN runs r ON r.run_id = p.run_id JOIN approvals a ON a.execution_id = p.execution_id AND a.approval_id = p.approval_id
    WHERE ($4::text[] IS NULL OR r.workflow LIKE ANY ($4)) AND ($5::text IS NULL OR r.initiator = $5)
    ORDER BY p.closed_at DESC LIMIT 1
"""
_COUNTS = """
    SELECT status, count(*) AS count FROM (
        SELECT a.status FROM approvals a JOIN runs r ON r.run_id = a.run_id
        WHERE a.shape = $1 AND NOT a.inherited AND a.closed_at > $2 AND a.approval_id <> $3
            AND ($4::text[] IS NULL OR r.workflow LIKE ANY ($4)) AND ($5::text IS NULL OR r.initiator = $5)
        ORDER BY a.closed_at DESC LIMIT $6
    ) AS ended GROUP BY status
"""
_RUN = ("run_id", "workflow_id", "workflow", "initiator", "issuers", "reference")


@dataclass(frozen=True, kw_only=True)
class Letter:
    """What the page of an approval shows besides its row."""

    rule: PolicyRow | None = None
    """The rule that required approval; None for a built-in rule and for an explicit approval."""
    turn: Step | None = None
    """The model turn that requested the call, with only its output and usage."""
    looked_at: Sequence[Step] = ()
    """The agent's earlier calls, oldest first, without outputs."""
    previous: ApprovalFacts | None = None
    """The most recently decided approval of the same shape in the scope."""
    ended: dict[str, int] = field(default_factory=dict)
    """Other approvals of the same shape in the scope that ended in the last 30 days, counted by status."""


async def read(
    connection: Connection, facts: ApprovalFacts, *, scope: frozenset[str], started_by: str | None
) -> Letter:
    """The letter of this approval. `scope` and `started_by` limit the approvals of the same shape, as they limit lists."""
    row = facts.approval
    turn, looked_at = await _before(connection, row)
    previous, ended = None, {}
    if row.shape is not None:
        limits = (scopes.patterns(scope), started_by)
        until = row.closed_at or facts.now
        previous = await _previous(
            connection,
            facts,
            await connection.fetchrow(_PREVIOUS, row.shape, until, row.approval_id, *limits, MAX_WALKED),
        )
        counts = await connection.fetch(_COUNTS, row.shape, facts.now - SINCE, row.approval_id, *limits, MAX_COUNTED)
        ended = {count["status"]: count["count"] for count in counts}
    return Letter(
        rule=await _rule(connection, row.policy), turn=turn, looked_at=looked_at, previous=previous, ended=ended
    )


async def _rule(connection: Connection, reference: str | None) -> PolicyRow | None:
    rule_id, _, version = (reference or "").rpartition("@")
    if not rule_id or not version.isascii() or not version.isdecimal() or len(version) > 9:
        return None
    row = await connection.fetchrow(_RULE, rule_id, int(version))
    return None if row is None else loaded(PolicyRow, dict(row))


async def _before(connection: Connection, row: Approval) -> tuple[Step | None, Sequence[Step]]:
    if row.agent is None:
        return None, ()
    step = await connection.fetchrow(_PARENT, row.execution_id, row.step_event_id)
    if step is None or step["parent"] is None:
        return None, ()
    place = (row.execution_id, step["parent"], row.step_event_id)
    turn = None if row.turn is None else await connection.fetchrow(_TURN, *place, row.turn)
    looked_at = await connection.fetch(_LOOKED_AT, *place, MAX_LOOKED_AT, MAX_WALKED)
    return (
        None if turn is None else _step(turn),
        [_step({**dict(call), "execution_id": row.execution_id}) for call in looked_at],
    )


def _step(values: Any) -> Step:
    # The JSON is read as text: the driver would fail for the whole row if it is nested too deeply.
    parsed = {
        name: _parsed(value) if name in ("output", "usage", "input") else value for name, value in dict(values).items()
    }
    return loaded(Step, parsed)


def _parsed(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except RecursionError:
        return None


async def _previous(connection: Connection, facts: ApprovalFacts, row: Any) -> ApprovalFacts | None:
    if row is None:
        return None
    values = dict(row)
    run = loaded(Run, {name: values.pop(f"run_{name}") for name in _RUN})
    return ApprovalFacts(approval=loaded(Approval, values), run=run, now=facts.now, revoked_keys=facts.revoked_keys)
