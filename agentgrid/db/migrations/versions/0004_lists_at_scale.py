"""Indexes that return every list in order, and a text index for searching runs.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INDEXES = (
    "CREATE INDEX ix_runs_waiting ON runs (waiting_on, created_at DESC, run_id DESC) WHERE waiting_on IS NOT NULL",
    "CREATE INDEX ix_runs_trigger ON runs (trigger, created_at DESC, run_id DESC) WHERE trigger <> 'api'",
    "DROP INDEX ix_runs_parent",
    "CREATE INDEX ix_runs_parent ON runs (parent_run_id, created_at DESC, run_id DESC) WHERE parent_run_id IS NOT NULL",
    # Readers scan the pending list sequentially; at the default of 4 MB that would take most of their time.
    "ALTER INDEX ix_runs_tags SET (gin_pending_list_limit = 512)",
    "ALTER INDEX ix_runs_tools SET (gin_pending_list_limit = 512)",
    "CREATE INDEX ix_executions_failing ON executions (run_id) WHERE status = 'running' AND live_problem IS NOT NULL",
    # Only the list of an agent's runs looks up steps by name.
    "DROP INDEX ix_steps_name",
    "CREATE INDEX ix_steps_agent ON steps (name, run_id) WHERE kind = 'agent'",
    "CREATE INDEX ix_steps_agent_open ON steps (name) WHERE kind = 'agent' AND status = 'running'",
    # Totals of an agent, and of a workflow's runs, over a time range.
    "CREATE INDEX ix_steps_agent_time ON steps (name, scheduled_at) WHERE kind = 'agent'",
    "CREATE INDEX ix_steps_model_time ON steps (name, scheduled_at) WHERE kind = 'model'",
    "CREATE INDEX ix_steps_model_run ON steps (run_id, scheduled_at) WHERE kind = 'model'",
    # Names depend on kinds: assuming independence, the planner underestimates an agent's steps by a factor of ten.
    "CREATE STATISTICS st_steps_kind_name (mcv) ON kind, name FROM steps",
    "CREATE INDEX ix_approvals_newest ON approvals (opened_at DESC, approval_id DESC) WHERE NOT inherited",
    "DROP INDEX ix_approvals_inbox",
    "CREATE INDEX ix_approvals_inbox ON approvals (status, opened_at DESC, approval_id DESC) WHERE NOT inherited",
    """
    CREATE INDEX ix_approvals_tool ON approvals (tool, opened_at DESC, approval_id DESC)
        WHERE NOT inherited AND tool IS NOT NULL
    """,
    """
    CREATE INDEX ix_approvals_agent ON approvals (agent, opened_at DESC, approval_id DESC)
        WHERE NOT inherited AND agent IS NOT NULL
    """,
    "CREATE INDEX ix_commands_kind ON commands (kind, created_at DESC, command_id DESC)",
    # Most commands are applied, and scanning the list finds those.
    "CREATE INDEX ix_commands_status ON commands (status, created_at DESC, command_id DESC) WHERE status <> 'applied'",
    """
    CREATE INDEX ix_commands_approval ON commands (approval_id, created_at DESC, command_id DESC)
        WHERE approval_id IS NOT NULL
    """,
)

SEARCH = (
    "ALTER TABLE runs ADD COLUMN subject TEXT",
    "ALTER TABLE workflow_versions ADD COLUMN subject TEXT",
    # The extension pg_trgm would do this, but it isn't available on every server, and can't be installed on every one.
    """
    CREATE FUNCTION agentgrid_grams(words text) RETURNS tsvector LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
        SELECT array_to_tsvector(ARRAY(SELECT DISTINCT substr(words, n, 3) FROM generate_series(1, length(words)) AS n))
    $$
    """,
    # Adjacent grams and the last one are enough, because the query also compares the words themselves. One or two characters are the prefix of
    # some gram, because the last grams of a text are that short.
    r"""
    CREATE FUNCTION agentgrid_wanted(words text) RETURNS tsquery LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
        SELECT string_agg(
            '''' || replace(replace(substr(words, n, 3), '\', '\\'), '''', '''''') || ''''
            || CASE WHEN length(words) < 3 THEN ':*' ELSE '' END, ' & '
        )::tsquery FROM generate_series(1, greatest(length(words) - 2, 1)) AS n
        WHERE n % 3 = 1 OR n = length(words) - 2
    $$
    """,
    r"""
    CREATE FUNCTION agentgrid_words(run_id text, workflow_id text, workflow text, reference text, note text)
    RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
        SELECT lower(concat_ws(E'\n', workflow, reference, note, nullif(workflow_id, run_id)))
    $$
    """,
    "CREATE TABLE run_search (run_id TEXT NOT NULL, words TEXT NOT NULL, subject TEXT, CONSTRAINT pk_run_search PRIMARY KEY (run_id))",
    "INSERT INTO run_search (run_id, words) SELECT run_id, agentgrid_words(run_id, workflow_id, workflow, reference, note) FROM runs",
    "CREATE INDEX ix_run_search_grams ON run_search USING gin (agentgrid_grams(words)) WITH (gin_pending_list_limit = 512)",
    "CREATE INDEX ix_run_search_subjects ON run_search USING gin (agentgrid_grams(lower(subject))) WITH (gin_pending_list_limit = 512) "
    "WHERE subject IS NOT NULL",
    "CREATE INDEX ix_run_search_beginning ON run_search (run_id text_pattern_ops)",
    "CREATE INDEX ix_run_search_end ON run_search (reverse(run_id) text_pattern_ops)",
    """
    CREATE FUNCTION agentgrid_search_run() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
    BEGIN
        INSERT INTO run_search AS s (run_id, words, subject)
        VALUES (NEW.run_id, agentgrid_words(NEW.run_id, NEW.workflow_id, NEW.workflow, NEW.reference, NEW.note), nullif(NEW.subject, ''))
        ON CONFLICT (run_id) DO UPDATE SET words = excluded.words, subject = excluded.subject
            WHERE (s.words, s.subject) IS DISTINCT FROM (excluded.words, excluded.subject);
        RETURN NULL;
    END
    $$
    """,
    "CREATE TRIGGER search_inserted AFTER INSERT ON runs FOR EACH ROW EXECUTE FUNCTION agentgrid_search_run()",
    """
    CREATE TRIGGER search_updated AFTER UPDATE ON runs FOR EACH ROW
        WHEN (
            (OLD.workflow, OLD.reference, OLD.note, OLD.workflow_id, OLD.subject)
            IS DISTINCT FROM (NEW.workflow, NEW.reference, NEW.note, NEW.workflow_id, NEW.subject)
        )
        EXECUTE FUNCTION agentgrid_search_run()
    """,
    """
    CREATE FUNCTION agentgrid_unsearch_runs() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
    BEGIN
        DELETE FROM run_search AS s USING gone AS g WHERE s.run_id = g.run_id;
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER search_deleted AFTER DELETE ON runs REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
        EXECUTE FUNCTION agentgrid_unsearch_runs()
    """,
)


def upgrade() -> None:
    """Upgrade from 0003. Tables are locked while their indexes are built; decision 15 says for how long."""
    for statement in (*INDEXES, *SEARCH):
        op.execute(statement)
