"""Everything that a run's detail shows, in a single query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agentgrid.db import scopes
from agentgrid.db.pool import Connection
from agentgrid.db.rows import columns, loaded, loaded_json
from agentgrid.db.steps import PENDING
from agentgrid.db.tables import Approval, Control, ExecutionRow, Run, Step
from agentgrid.domain.approval_status import ApprovalStatus
from agentgrid.domain.scopes import admits

MAX_CHILDREN = 100
MAX_OPEN_STEPS = 50
MAX_APPROVALS = 100


@dataclass(frozen=True, kw_only=True)
class Details:
    """A run with everything that belongs to it. The defaults fit a run that was just recorded."""

    run: Run
    workflow_title: str | None = None
    """The current title of the registered workflow."""
    taken: bool = False
    """Whether a worker has completed a workflow task of the run's current execution, according to the fold."""
    agent_running: bool = False
    """Whether an agent's call is open in the run's current execution."""
    open_steps: Sequence[Step] = ()
    """The running or waiting steps of each segment's newest execution, oldest first, without inputs and outputs."""
    executions: Sequence[ExecutionRow] = ()
    """The run's executions, oldest first, without results, errors and the fold's state."""
    children: Sequence[Run] = ()
    """The child runs in the scope, newest first, with only their id, workflow, status and times."""
    approvals: Sequence[Approval] = ()
    """The pending approvals, oldest first, without payloads."""
    revoked_keys: frozenset[str] = frozenset()
    """The ids of the revoked signing keys."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    """The time on the database's clock."""
    refused_signals: int = 0
    """The number of decision signals without effect: unsigned, forged or for something else."""
    unattributed_signals: int = 0
    """The number of unattributed decisions that counted, pauses, resumes and interruptions."""
    last_control: Control | None = field(default=None)
    """The last signal that paused, resumed or interrupted the run's current execution."""


_GET = """
SELECT {run}, clock_timestamp() AS now, ARRAY(SELECT key_id FROM signing_keys WHERE revoked_at IS NOT NULL) AS revoked_keys,
    (SELECT w.title FROM workflows w WHERE w.name = r.workflow) AS workflow_title,
    (SELECT e.taken FROM executions e WHERE e.execution_id = r.execution_id) AS taken,
    EXISTS (
        SELECT FROM steps s WHERE s.execution_id = r.execution_id AND s.kind = 'agent' AND s.status = 'running'
    ) AS agent_running,
    (SELECT json_agg(item) FROM (
        SELECT {step} FROM steps s WHERE s.run_id = r.run_id AND s.status = ANY($3)
            AND s.execution_id IN (SELECT e.execution_id FROM executions e WHERE e.run_id = r.run_id AND e.reset_to IS NULL)
        ORDER BY s.scheduled_at, s.event_id, s.execution_id LIMIT $4
    ) AS item) AS open_steps,
    (SELECT json_agg(item) FROM (
        SELECT {execution} FROM executions e WHERE e.run_id = r.run_id ORDER BY e.started_at, e.execution_id
    ) AS item) AS executions,
    (SELECT json_agg(item) FROM (
        SELECT c.run_id, c.workflow, c.status, c.created_at, c.closed_at FROM runs c
        WHERE c.parent_run_id = r.run_id AND ($2::text[] IS NULL OR c.workflow LIKE ANY ($2))
        ORDER BY c.created_at DESC, c.run_id DESC LIMIT $5
    ) AS item) AS children,
    (SELECT json_agg(item) FROM (
        SELECT {approval} FROM approvals a WHERE a.run_id = r.run_id AND a.status = $6 AND NOT a.inherited
        ORDER BY a.opened_at, a.approval_id LIMIT $7
    ) AS item) AS approvals,
    (SELECT count(*) FROM decisions d WHERE d.run_id = r.run_id AND d.judged = 'refused' AND NOT d.inherited) AS refused_signals,
    (SELECT count(*) FROM decisions d WHERE d.run_id = r.run_id AND d.judged = 'counted' AND NOT d.attributed AND NOT d.inherited)
        + (SELECT count(*) FROM controls k WHERE k.run_id = r.run_id AND NOT k.attributed AND NOT k.inherited) AS unattributed_signals,
    (SELECT row_to_json(item) FROM (
        SELECT {control} FROM controls k WHERE k.execution_id = r.execution_id ORDER BY k.event_id DESC LIMIT 1
    ) AS item) AS last_control
FROM runs r WHERE r.run_id = $1
""".replace("{run}", columns(Run, "r"))
_GET = (
    _GET.replace("{step}", columns(Step, "s", without=("input", "changed_input", "output")))
    .replace("{execution}", columns(ExecutionRow, "e", without=("result", "error", "fold_state")))
    .replace("{approval}", columns(Approval, "a", without=("payload", "changed")))
    .replace("{control}", columns(Control, "k"))
)


async def get(connection: Connection, run_id: str, *, scope: frozenset[str]) -> Details | None:
    """One run with everything that belongs to it; None if it doesn't exist or is outside the scope."""
    row = await connection.fetchrow(
        _GET,
        run_id,
        scopes.patterns(scope),
        PENDING,
        MAX_OPEN_STEPS,
        MAX_CHILDREN,
        ApprovalStatus.PENDING.value,
        MAX_APPROVALS,
    )
    if row is None or not admits(scope, row["workflow"]):
        return None
    values: dict[str, Any] = dict(row)
    control = values.pop("last_control")
    return Details(
        workflow_title=values.pop("workflow_title"),
        taken=values.pop("taken") is True,
        now=values.pop("now"),
        revoked_keys=frozenset(values.pop("revoked_keys")),
        agent_running=values.pop("agent_running"),
        open_steps=[loaded_json(Step, step) for step in values.pop("open_steps") or ()],
        executions=[loaded_json(ExecutionRow, execution) for execution in values.pop("executions") or ()],
        children=[loaded_json(Run, child) for child in values.pop("children") or ()],
        approvals=[loaded_json(Approval, approval) for approval in values.pop("approvals") or ()],
        refused_signals=values.pop("refused_signals"),
        unattributed_signals=values.pop("unattributed_signals"),
        last_control=None if control is None else loaded_json(Control, control),
        run=loaded(Run, values),
    )
