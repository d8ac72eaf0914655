"""Scopes of principals, the record of reads, changed arguments, browser sessions, and live events of commands and policy.

Revision ID: 0009
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STATEMENTS: tuple[str, ...] = (
    "ALTER TABLE steps ADD COLUMN changed_input JSON",
    "ALTER TABLE approvals ADD COLUMN changed JSON, ADD COLUMN changed_digest TEXT, ADD COLUMN proposed_by TEXT, "
    "ADD COLUMN change_refused TEXT",
    "ALTER TABLE approvals ADD COLUMN tool_version TEXT, ADD COLUMN risk TEXT, ADD COLUMN shape TEXT, ADD COLUMN arguments JSON, "
    "ADD COLUMN asked TEXT",
    "ALTER TABLE runs ADD COLUMN asked TEXT",
    # Without templates: at the time, they were not registered by version.
    "UPDATE approvals SET asked = title WHERE kind = 'explicit'",
    "CREATE INDEX ix_approvals_urgency ON approvals (risk, coalesce(expires_at, 'infinity'::timestamptz), approval_id) "
    "WHERE status = 'pending' AND NOT inherited",
    "CREATE INDEX ix_approvals_titles ON approvals USING gin (agentgrid_grams(lower(asked))) WITH (gin_pending_list_limit = 512) "
    "WHERE asked IS NOT NULL AND NOT inherited",
    "CREATE INDEX ix_approvals_shape ON approvals (shape, closed_at DESC) WHERE NOT inherited AND closed_at IS NOT NULL",
    "CREATE INDEX ix_approvals_decided_by ON approvals (decided_by, opened_at DESC, approval_id DESC) "
    "WHERE NOT inherited AND decided_by IS NOT NULL",
    "ALTER TABLE tools ADD COLUMN reach TEXT[] DEFAULT '{}' NOT NULL, ADD COLUMN undoable BOOLEAN, ADD COLUMN asks TEXT",
    """
    CREATE TABLE tool_versions (
        name TEXT NOT NULL,
        version TEXT NOT NULL,
        title TEXT NOT NULL,
        reach TEXT[] DEFAULT '{}' NOT NULL,
        undoable BOOLEAN,
        asks TEXT,
        input_schema JSON NOT NULL,
        first_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_tool_versions PRIMARY KEY (name, version)
    )
    """,
    "ALTER TABLE policies ADD COLUMN title TEXT DEFAULT '' NOT NULL",
    "ALTER TABLE policies ADD COLUMN changes TEXT DEFAULT 'one_person' NOT NULL, "
    "ADD CONSTRAINT ck_policies_changes CHECK (changes IN ('one_person', 'second_person'))",
    "ALTER TABLE principals ADD COLUMN workflows TEXT[] DEFAULT '{*}' NOT NULL",
    # The projector's rolling check fills the column in for runs that have already ended.
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
    # Most rows have the outcome `read`; scanning the list finds those.
    "CREATE INDEX ix_reads_outcome ON reads (outcome, at DESC, read_id DESC) WHERE outcome <> 'read'",
    "ALTER TABLE commands ADD COLUMN session_id TEXT",
    """
    CREATE TABLE sessions (
        session_id TEXT NOT NULL,
        token_hash TEXT NOT NULL,
        key_id TEXT NOT NULL,
        opened_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        last_used_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        ended_at TIMESTAMP WITH TIME ZONE,
        address TEXT,
        user_agent TEXT,
        CONSTRAINT pk_sessions PRIMARY KEY (session_id),
        CONSTRAINT fk_sessions_key_id FOREIGN KEY (key_id) REFERENCES api_keys (key_id) ON DELETE CASCADE
    )
    """,
    "CREATE UNIQUE INDEX uq_sessions_token_hash ON sessions (token_hash)",
    "CREATE INDEX ix_sessions_key ON sessions (key_id)",
    "CREATE INDEX ix_sessions_open ON sessions (opened_at DESC, session_id DESC) WHERE ended_at IS NULL",
    """
    CREATE TABLE sign_in_codes (
        code_hash TEXT NOT NULL,
        key_id TEXT NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        used_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_sign_in_codes PRIMARY KEY (code_hash),
        CONSTRAINT fk_sign_in_codes_key_id FOREIGN KEY (key_id) REFERENCES api_keys (key_id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_sign_in_codes_key ON sign_in_codes (key_id, expires_at)",
)

# Live events for commands and policy. `db/feed.py` explains why a lock is needed and is taken last: here, when the transaction commits. Only
# the control plane writes these tables. A trigger on a table that workers write would let them hold the lock.
TELL = """
CREATE FUNCTION agentgrid_tell() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_event bigint;
BEGIN
    PERFORM FROM public.locks WHERE name = 'events' FOR UPDATE;
    IF TG_TABLE_NAME = 'commands' THEN
        INSERT INTO public.events (run_id, kind, subject, data)
        VALUES (coalesce(NEW.run_id, ''), 'command', NEW.command_id, json_build_object('status', NEW.status))
        RETURNING event_id INTO v_event;
    ELSE
        INSERT INTO public.events (run_id, kind, data) VALUES ('', 'policy', json_build_object('version', NEW.version))
        RETURNING event_id INTO v_event;
    END IF;
    PERFORM pg_notify('agentgrid_events', v_event::text);
    RETURN NULL;
END
$$
"""
TRIGGERS = (
    "CREATE CONSTRAINT TRIGGER command_recorded AFTER INSERT ON commands DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION agentgrid_tell()",
    "CREATE CONSTRAINT TRIGGER command_changed AFTER UPDATE OF status ON commands DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION agentgrid_tell()",
    "CREATE CONSTRAINT TRIGGER policy_changed AFTER INSERT ON policy_snapshots DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION agentgrid_tell()",
)


def upgrade() -> None:
    """Upgrade from 0008."""
    for statement in (*STATEMENTS, TELL, *TRIGGERS):
        op.execute(statement)
