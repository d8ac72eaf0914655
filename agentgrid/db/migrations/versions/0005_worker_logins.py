"""Worker logins: bound to a grid and its queues, which is checked by the functions that they may call.

The functions and their grants are in `agentgrid/db/sql`, which is applied after every upgrade.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE worker_logins (
        login TEXT NOT NULL,
        grid TEXT NOT NULL,
        queues TEXT[] DEFAULT '{}' NOT NULL,
        rate FLOAT,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        closed_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_worker_logins PRIMARY KEY (login),
        CONSTRAINT ck_worker_logins_rate CHECK (rate > 0)
    )
    """,
    # Written with every report by a worker; not needed after a server crash.
    """
    CREATE UNLOGGED TABLE worker_budgets (
        login TEXT NOT NULL,
        reports FLOAT NOT NULL,
        strangers FLOAT NOT NULL,
        refilled_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        dropped BIGINT DEFAULT 0 NOT NULL,
        bad BIGINT DEFAULT 0 NOT NULL,
        unattributed BIGINT DEFAULT 0 NOT NULL,
        registered FLOAT DEFAULT 0 NOT NULL,
        registered_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_worker_budgets PRIMARY KEY (login)
    )
    """,
    # Workers append rows and projectors delete them, so a worker's open transaction never locks a row that others need. A touch that
    # is lost in a server crash costs a few seconds: the sweep finds executions without a touch.
    """
    CREATE UNLOGGED TABLE touches (
        touch_id BIGSERIAL NOT NULL,
        execution_id TEXT NOT NULL,
        workflow_id TEXT NOT NULL,
        namespace TEXT NOT NULL,
        expect BIGINT DEFAULT 0 NOT NULL,
        urgent BOOLEAN DEFAULT false NOT NULL,
        touched_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_touches PRIMARY KEY (touch_id)
    )
    """,
    "CREATE TABLE locks (name TEXT NOT NULL, CONSTRAINT pk_locks PRIMARY KEY (name))",
    "INSERT INTO locks (name) VALUES ('policy'), ('events')",
    "CREATE TABLE delta_channels (name TEXT NOT NULL, CONSTRAINT pk_delta_channels PRIMARY KEY (name))",
    "INSERT INTO delta_channels (name) SELECT 'agentgrid_deltas_' || replace(gen_random_uuid()::text, '-', '')",
    "ALTER TABLE jobs ADD COLUMN login TEXT DEFAULT '' NOT NULL",
    "ALTER TABLE jobs DROP CONSTRAINT pk_jobs",
    "ALTER TABLE jobs ADD CONSTRAINT pk_jobs PRIMARY KEY (job_id, started_at, login)",
    "ALTER TABLE logs ADD COLUMN login TEXT DEFAULT '' NOT NULL",
    "ALTER TABLE logs ADD COLUMN task_queue TEXT",
    "ALTER FUNCTION agentgrid_search_run() SET search_path = pg_catalog, public, pg_temp",
    "ALTER FUNCTION agentgrid_unsearch_runs() SET search_path = pg_catalog, public, pg_temp",
)


def upgrade() -> None:
    """Upgrade from 0004."""
    for statement in STATEMENTS:
        op.execute(statement)
