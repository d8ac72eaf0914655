"""Indexes and tables for the console's statistics and lists.

Revision ID: 0010
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

STATEMENTS: tuple[str, ...] = (
    # What is due next, ordered by time.
    "CREATE INDEX ix_runs_next ON runs (next_at, run_id) WHERE next_at IS NOT NULL",
    "CREATE INDEX ix_runs_delayed ON runs (start_at) WHERE status = 'queued' AND start_at IS NOT NULL",
    "CREATE INDEX ix_runs_updated ON runs (updated_at DESC, run_id DESC)",
    "CREATE INDEX ix_runs_took ON runs ((closed_at - coalesce(started_at, created_at))) WHERE closed_at IS NOT NULL",
    "CREATE INDEX ix_steps_tool_time ON steps (name, scheduled_at) WHERE kind = 'tool'",
    "CREATE INDEX ix_approvals_expiring ON approvals (expires_at) WHERE status = 'pending' AND NOT inherited",
    "CREATE INDEX ix_decisions_refused ON decisions (signalled_at DESC) WHERE judged = 'refused' AND NOT inherited",
    "CREATE INDEX ix_commands_target ON commands (target, created_at DESC, command_id DESC) WHERE target IS NOT NULL",
    "CREATE INDEX ix_commands_address ON commands (address, created_at DESC, command_id DESC) WHERE address IS NOT NULL",
    """
    CREATE TABLE views (
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        title TEXT NOT NULL,
        filter JSON NOT NULL,
        changed_by TEXT NOT NULL,
        changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_views PRIMARY KEY (owner, name)
    )
    """,
    """
    CREATE TABLE mcp_servers (
        grid TEXT NOT NULL,
        task_queue TEXT NOT NULL,
        name TEXT NOT NULL,
        reached_by TEXT NOT NULL,
        tools TEXT[] DEFAULT '{}' NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL,
        changes JSON NOT NULL,
        since TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        reported_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_mcp_servers PRIMARY KEY (grid, task_queue, name),
        CONSTRAINT ck_mcp_servers_state CHECK (state IN ('ready', 'held', 'unreachable'))
    )
    """,
)


def upgrade() -> None:
    """Upgrade from 0009."""
    for statement in STATEMENTS:
        op.execute(statement)
