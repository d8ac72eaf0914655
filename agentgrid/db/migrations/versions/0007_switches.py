"""Kill switches of tools and workflows, apart from rules.

Revision ID: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STATEMENTS: tuple[str, ...] = ()


def upgrade() -> None:
    """Add to what 0006 made."""
    for statement in STATEMENTS:
        op.execute(statement)
