"""Proposed commands, and the issuers of a key.

Revision ID: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATUSES = "'proposed', 'pending', 'delivered', 'applied', 'superseded', 'refused', 'failed'"

STATEMENTS = (
    "ALTER TABLE commands DROP CONSTRAINT ck_commands_status",
    f"ALTER TABLE commands ADD CONSTRAINT ck_commands_status CHECK (status IN ({STATUSES}))",
    "ALTER TABLE api_keys ADD COLUMN issuers TEXT[] DEFAULT '{}' NOT NULL",
    # Which key was used to create another is unknown. Everybody who created any of the creator's keys may have used that key.
    """
    WITH RECURSIVE hand(key_id, who) AS (
        SELECT key_id, created_by FROM api_keys
        UNION
        SELECT hand.key_id, k.created_by FROM hand JOIN api_keys AS k ON k.principal = hand.who
        WHERE k.created_by <> 'system'
    )
    UPDATE api_keys AS k SET issuers = ARRAY(SELECT who FROM hand WHERE hand.key_id = k.key_id ORDER BY who)
    """,
    "ALTER TABLE runs ADD COLUMN issuers TEXT[] DEFAULT '{}' NOT NULL",
)


def upgrade() -> None:
    """Upgrade from 0005."""
    for statement in STATEMENTS:
        op.execute(statement)
