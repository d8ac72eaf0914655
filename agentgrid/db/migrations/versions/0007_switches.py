"""Kill switches of tools and workflows, separate from rules.

Revision ID: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STATEMENTS: tuple[str, ...] = (
    """
    CREATE TABLE switches (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        disabled BOOLEAN DEFAULT false NOT NULL,
        reason TEXT DEFAULT '' NOT NULL,
        created_by TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_switches PRIMARY KEY (kind, name, version),
        CONSTRAINT ck_switches_kind CHECK (kind ~ '^[a-z][a-z_]{0,62}$')
    )
    """,
    """
    INSERT INTO switches (kind, name, version, disabled, reason, created_by, created_at)
    SELECT 'workflow', workflow, version, disabled, reason, created_by, created_at FROM workflow_policies
    """,
    # Only switches that are currently on are migrated from rules; earlier settings are dropped.
    """
    INSERT INTO switches (kind, name, version, disabled, reason, created_by, created_at)
    SELECT DISTINCT ON (tool) 'tool', tool, 1, true, reason, created_by, created_at FROM (
        SELECT DISTINCT ON (rule_id) * FROM policies ORDER BY rule_id, version DESC
    ) AS newest
    WHERE disabled AND NOT withdrawn ORDER BY tool, created_at DESC
    """,
    "DROP TABLE workflow_policies",
    "ALTER TABLE policies DROP COLUMN disabled",
    """
    UPDATE commands SET kind = CASE WHEN outcome->>'disabled' = 'false' THEN 'workflow.enable' ELSE 'workflow.disable' END
    WHERE kind = 'workflow.policy'
    """,
)


def upgrade() -> None:
    """Upgrade from 0006."""
    for statement in STATEMENTS:
        op.execute(statement)
