"""What history shows as a person's act, and what it can't attribute.

Revision ID: 0008
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

STATEMENTS: tuple[str, ...] = ()


def upgrade() -> None:
    """Add to what 0007 made."""
    for statement in STATEMENTS:
        op.execute(statement)
