"""Kill switches of workflows; who made an API key, and the lists of keys by time.

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
    # Until now keys were made on the database's side alone.
    "ALTER TABLE api_keys ADD COLUMN created_by TEXT DEFAULT 'system' NOT NULL",
    "DROP INDEX ix_api_keys_principal",
    "CREATE INDEX ix_api_keys_principal ON api_keys (principal, created_at DESC, key_id DESC)",
    "CREATE INDEX ix_api_keys_newest ON api_keys (created_at DESC, key_id DESC)",
)


def upgrade() -> None:
    """Add to what 0001 made."""
    for statement in STATEMENTS:
        op.execute(statement)
