"""Kill switches of workflows; the creator of an API key, and lists of keys by time.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE workflow_policies (
        workflow TEXT NOT NULL,
        version INTEGER NOT NULL,
        disabled BOOLEAN DEFAULT false NOT NULL,
        reason TEXT DEFAULT '' NOT NULL,
        created_by TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_workflow_policies PRIMARY KEY (workflow, version)
    )
    """,
    # Until now, keys were only created on the database's machine.
    "ALTER TABLE api_keys ADD COLUMN created_by TEXT DEFAULT 'system' NOT NULL",
    "DROP INDEX ix_api_keys_principal",
    "CREATE INDEX ix_api_keys_principal ON api_keys (principal, created_at DESC, key_id DESC)",
    "CREATE INDEX ix_api_keys_newest ON api_keys (created_at DESC, key_id DESC)",
)


def upgrade() -> None:
    """Upgrade from 0001."""
    for statement in STATEMENTS:
        op.execute(statement)
