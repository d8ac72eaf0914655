"""Two administrators for the power to decide; who issued a key.

Revision ID: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATEMENTS: tuple[str, ...] = ()


def upgrade() -> None:
    """Add to what 0005 made."""
    for statement in STATEMENTS:
        op.execute(statement)
