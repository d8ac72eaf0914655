"""The statements that write the projection's tables: each writes any number of rows and skips rows that don't differ."""

from __future__ import annotations

from agentgrid.domain.runs import RunTrigger
from agentgrid.projector import rows
from agentgrid.projector.fold.passing import LIVE_CLEARED
from agentgrid.projector.store import subjects

STEP = ("execution_id", "event_id")
APPROVAL = ("execution_id", "approval_id")
EXECUTION = ("execution_id",)
RUN = ("run_id",)
LIVE = tuple(LIVE_CLEARED)

STEP_DEFAULTS: dict[str, object] = {"inherited": False, "attempts": 0, "local": False, "governed": False}
APPROVAL_DEFAULTS: dict[str, object] = {"inherited": False, "decidable": False}

_STEP_SEEN = "t.run_id, t.execution_id, t.event_id, t.kind, t.name, t.title, t.status, t.attempts, t.inherited"
_APPROVAL_SEEN = "t.execution_id, t.run_id, t.approval_id, t.status, t.title, t.tool, t.expires_at, t.inherited"

INSERT_STEPS = rows.insert("steps", key=STEP, columns=rows.columns_of("steps", without=LIVE), returning=_STEP_SEEN)
PATCH_STEPS = rows.patch("steps", key=STEP, columns=rows.columns_of("steps"), returning=_STEP_SEEN)
INSERT_APPROVALS = rows.insert(
    "approvals", key=APPROVAL, columns=rows.columns_of("approvals"), returning=_APPROVAL_SEEN
)
PATCH_APPROVALS = rows.patch("approvals", key=APPROVAL, columns=rows.columns_of("approvals"), returning=_APPROVAL_SEEN)
INSERT_DECISIONS = rows.insert(
    "decisions", key=STEP, columns=rows.columns_of("decisions"), returning="t.execution_id, t.event_id"
)
INSERT_CONTROLS = rows.insert(
    "controls", key=STEP, columns=rows.columns_of("controls"), returning="t.execution_id, t.event_id"
)
PATCH_EXECUTIONS = rows.patch(
    "executions",
    key=EXECUTION,
    columns=rows.columns_of("executions"),
    returning="t.execution_id",
    ignoring=("projected_at", "live_checked_at"),
)
PATCH_RUNS = rows.patch(
    "runs",
    key=RUN,
    columns=rows.columns_of("runs"),
    returning=f"t.run_id, {subjects.DUE} AS subject_due",
    stamp="updated_at",
    joins="""
LEFT JOIN executions AS e ON e.execution_id = n.execution_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN n.closed_at IS NOT NULL THEN e.result END AS result,
           CASE WHEN n.closed_at IS NOT NULL THEN e.error END AS error,
           coalesce((SELECT v.version FROM workflow_versions AS v WHERE v.name = n.workflow AND v.build = n.build
                     ORDER BY v.first_seen_at DESC LIMIT 1), n.version) AS version
) AS x""",
    joined={"result": "x.result", "error": "x.error", "version": "x.version"},
)
"""Sets a run's derived columns. Result and error come from the newest execution; the version is the one registered for its build."""

SHOWN = (
    "status",
    "waiting_on",
    "current_step",
    "current_kind",
    "asked",
    "steps_done",
    "step_count",
    "approvals_pending",
)
"""The columns of a run whose changes are sent to live readers."""

ARCHIVE = """
INSERT INTO histories (execution_id, run_id, workflow_id, namespace, event_count, events)
SELECT a.execution_id, a.run_id, a.workflow_id, $1, a.event_count, a.events
FROM unnest($2::text[], $3::text[], $4::text[], $5::integer[], $6::bytea[])
    AS a(execution_id, run_id, workflow_id, event_count, events)
ON CONFLICT (execution_id) DO UPDATE SET
    run_id = excluded.run_id, event_count = excluded.event_count, events = excluded.events
WHERE histories.event_count < excluded.event_count OR histories.run_id <> excluded.run_id
"""

RUN_BEGINS = (
    "run_id",
    "namespace",
    "workflow_id",
    "first_execution_id",
    "workflow",
    "task_queue",
    "status",
    "created_at",
    "initiator",
    "issuers",
    "trigger",
    "version",
    "root_run_id",
)

INSERT_RUNS = f"""
INSERT INTO runs ({", ".join(RUN_BEGINS)})
SELECT {", ".join(RUN_BEGINS)} FROM json_populate_recordset(NULL::runs, $1::json) ORDER BY run_id
ON CONFLICT (run_id) DO UPDATE SET first_execution_id = excluded.first_execution_id
WHERE runs.first_execution_id IS NULL AND runs.workflow_id = excluded.workflow_id
   OR runs.first_execution_id = excluded.first_execution_id
RETURNING run_id, first_execution_id
"""  # noqa: S608
"""Inserts new runs, or joins queued ones with their first execution; skips a run whose id belongs to another chain."""

JOIN_PARENTS = f"""
UPDATE runs AS child SET parent_run_id = parent.run_id, trigger = '{RunTrigger.CHILD}', initiator = parent.initiator,
    issuers = parent.issuers, root_run_id = coalesce(parent.root_run_id, parent.run_id)
FROM unnest($1::text[], $2::text[]) AS link(run_id, execution_id)
JOIN executions AS e ON e.execution_id = link.execution_id
JOIN runs AS parent ON parent.run_id = e.run_id
WHERE child.run_id = link.run_id AND (child.parent_run_id IS DISTINCT FROM parent.run_id
    OR child.root_run_id IS DISTINCT FROM coalesce(parent.root_run_id, parent.run_id)
    OR child.initiator <> parent.initiator OR child.issuers <> parent.issuers)
"""  # noqa: S608

LEAVE_BEHIND = """
UPDATE executions AS e SET reset_to = b.reset_to FROM unnest($1::text[], $2::text[]) AS b(id, reset_to)
WHERE e.execution_id = b.id AND e.reset_to IS DISTINCT FROM b.reset_to
"""

SETTLE = """
UPDATE commands AS c SET status = s.j->>'status', outcome = s.j->'outcome', settled_at = now(),
    next_attempt_at = NULL, delivered_at = coalesce(c.delivered_at, now())
FROM json_array_elements($1::json) AS s(j)
WHERE c.command_id = s.j->>'command_id' AND c.kind = s.j->>'kind' AND c.run_id = s.j->>'run_id'
    AND (c.status IN ('pending', 'delivered') OR c.status = 'refused' AND c.kind = 'approval.decide'
        OR c.status = 'failed' AND c.kind = 'run.update' AND c.outcome->>'code' = 'update_expired')
"""
"""A command's effect may be seen before its sender has recorded the delivery. Anyone can send a signal with a command's id as request id, so a
command is settled only by a signal of its own kind in its own run. A decision can be settled even after it was refused: the signature proves
that an earlier attempt reached Temporal and only the retry was refused. An update can be accepted after its sender gave up on it."""

SUPERSEDE = """
UPDATE commands AS c SET status = 'superseded', settled_at = now(),
    outcome = json_build_object('run_status', r.status)
FROM runs AS r
WHERE c.run_id = ANY($1) AND r.run_id = c.run_id AND c.status = 'delivered' AND c.kind = ANY($2)
"""
"""`control.commands.settle` does the same for a delivery that is recorded only after the run has ended."""

ENQUEUE = """
INSERT INTO run_changes AS c (execution_id, workflow_id, namespace)
SELECT t.execution_id, t.workflow_id, $1 FROM unnest($2::text[], $3::text[]) AS t(execution_id, workflow_id)
ORDER BY t.execution_id
ON CONFLICT (execution_id) DO UPDATE SET generation = c.generation + 1, due_at = least(c.due_at, excluded.due_at)
"""
