"""Attributed and unattributed decisions, pauses and resumes.

Revision ID: 0008
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

CONTROLS = """
CREATE TABLE controls (
    execution_id TEXT NOT NULL,
    event_id BIGINT NOT NULL,
    run_id TEXT NOT NULL,
    action TEXT NOT NULL,
    principal TEXT,
    attributed BOOLEAN DEFAULT false NOT NULL,
    unattributed_because TEXT,
    signalled_at TIMESTAMP WITH TIME ZONE NOT NULL,
    identity TEXT,
    command_id TEXT,
    inherited BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_controls PRIMARY KEY (execution_id, event_id),
    CONSTRAINT ck_controls_action CHECK (action IN ('pause', 'resume', 'interrupt')),
    CONSTRAINT fk_controls_execution_id FOREIGN KEY(execution_id) REFERENCES executions (execution_id) ON DELETE CASCADE
)
"""

# Deciders written by an older projector are not trusted. The fold has a new version, so each execution is folded again when it changes, when
# the rolling check reaches it, or in a rebuild.
STATEMENTS = (
    "ALTER TABLE approvals ADD COLUMN attributed BOOLEAN, ADD COLUMN unattributed_because TEXT",
    "UPDATE approvals SET decided_by = NULL, command_id = NULL WHERE decided_by IS NOT NULL",
    "UPDATE decisions SET command_id = NULL WHERE command_id IS NOT NULL",
    "ALTER TABLE decisions ADD COLUMN attributed BOOLEAN DEFAULT false NOT NULL, ADD COLUMN unattributed_because TEXT",
    "CREATE INDEX ix_decisions_unattributed ON decisions (signalled_at DESC, execution_id DESC, event_id DESC) "
    "WHERE judged = 'counted' AND NOT attributed AND NOT inherited",
    CONTROLS,
    "CREATE INDEX ix_controls_run ON controls (run_id, signalled_at)",
    "CREATE INDEX ix_controls_unattributed ON controls (signalled_at DESC, execution_id DESC, event_id DESC) "
    "WHERE NOT attributed AND NOT inherited",
)


def upgrade() -> None:
    """Upgrade from 0007."""
    for statement in STATEMENTS:
        op.execute(statement)
