"""A touch can say that no further events are expected soon, so that the projector doesn't wait for more.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Workers of the previous version call the function without the last argument.
TOUCH = """
CREATE FUNCTION agentgrid_touch(p_namespace text, p_executions text[], p_workflows text[], p_expect bigint[],
                                p_urgent boolean[] DEFAULT NULL)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    INSERT INTO run_changes AS c (execution_id, workflow_id, namespace, expect, due_at, urgent_at)
    SELECT t.execution_id, min(t.workflow_id), p_namespace, max(t.expect), now(), CASE WHEN bool_or(t.urgent) THEN now() END
    FROM unnest(p_executions, p_workflows, p_expect, p_urgent) AS t(execution_id, workflow_id, expect, urgent)
    GROUP BY t.execution_id ORDER BY t.execution_id
    ON CONFLICT (execution_id) DO UPDATE SET
        generation = c.generation + 1,
        expect = greatest(c.expect, excluded.expect),
        due_at = least(c.due_at, excluded.due_at),
        urgent_at = coalesce(excluded.urgent_at, c.urgent_at);
    SELECT pg_notify('agentgrid_changes', '');
$$
"""

STATEMENTS = (
    "ALTER TABLE run_changes ADD COLUMN urgent_at TIMESTAMP WITH TIME ZONE",
    "DROP FUNCTION agentgrid_touch(text, text[], text[], bigint[])",
    TOUCH,
    "REVOKE ALL ON FUNCTION agentgrid_touch FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION agentgrid_touch TO agentgrid_worker",
)


def upgrade() -> None:
    """Upgrade from 0002."""
    for statement in STATEMENTS:
        op.execute(statement)
