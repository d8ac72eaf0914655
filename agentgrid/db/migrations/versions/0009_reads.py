"""Who reads which workflows' payloads, and a record of the reading.

Revision ID: 0009
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STATEMENTS: tuple[str, ...] = (
    "ALTER TABLE principals ADD COLUMN workflows TEXT[] DEFAULT '{*}' NOT NULL",
    # Of runs that had ended before, the projector's rolling check fills it in.
    "ALTER TABLE runs ADD COLUMN error_type TEXT",
    """
    CREATE TABLE reads (
        read_id TEXT NOT NULL,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        last_at TIMESTAMP WITH TIME ZONE NOT NULL,
        principal TEXT,
        key_id TEXT,
        address TEXT,
        route TEXT NOT NULL,
        subject TEXT,
        outcome TEXT NOT NULL,
        count INTEGER NOT NULL,
        CONSTRAINT pk_reads PRIMARY KEY (read_id),
        CONSTRAINT ck_reads_outcome CHECK (outcome IN ('read', 'refused', 'unauthenticated'))
    )
    """,
    "CREATE INDEX ix_reads_newest ON reads (at DESC, read_id DESC)",
    "CREATE INDEX ix_reads_principal ON reads (principal, at DESC, read_id DESC) WHERE principal IS NOT NULL",
    "CREATE INDEX ix_reads_subject ON reads (subject, at DESC, read_id DESC) WHERE subject IS NOT NULL",
    # What was read is most of them, and found by walking the list.
    "CREATE INDEX ix_reads_outcome ON reads (outcome, at DESC, read_id DESC) WHERE outcome <> 'read'",
)


def upgrade() -> None:
    """Add to what 0008 made."""
    for statement in STATEMENTS:
        op.execute(statement)
