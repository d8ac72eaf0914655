"""Who reads which workflows' payloads, and a record of the reading.

Revision ID: 0009
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STATEMENTS: tuple[str, ...] = ()


def upgrade() -> None:
    """Add to what 0008 made."""
    for statement in STATEMENTS:
        op.execute(statement)
