"""The first schema: catalog, projection, telemetry, control; the worker's role and its three functions.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE commands (
    command_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    principal TEXT NOT NULL,
    key_id TEXT,
    run_id TEXT,
    execution_id TEXT,
    approval_id TEXT,
    target TEXT,
    route TEXT DEFAULT '' NOT NULL,
    idempotency_key TEXT,
    body_digest TEXT,
    body JSON,
    reason TEXT,
    outcome JSON,
    address TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    delivered_at TIMESTAMP WITH TIME ZONE,
    settled_at TIMESTAMP WITH TIME ZONE,
    attempts INTEGER DEFAULT '0' NOT NULL,
    next_attempt_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_commands PRIMARY KEY (command_id),
    CONSTRAINT ck_commands_status CHECK (status IN ('pending', 'delivered', 'applied', 'superseded', 'refused', 'failed'))
);

CREATE INDEX ix_commands_newest ON commands (created_at DESC, command_id DESC);
CREATE INDEX ix_commands_principal ON commands (principal, created_at DESC);
CREATE INDEX ix_commands_run ON commands (run_id, created_at);
CREATE INDEX ix_commands_undelivered ON commands (next_attempt_at) WHERE status = 'pending';
CREATE UNIQUE INDEX uq_commands_idempotency ON commands (principal, route, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE events (
    event_id BIGSERIAL NOT NULL,
    run_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT,
    data JSON NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_events PRIMARY KEY (event_id)
);

CREATE INDEX ix_events_created ON events (created_at);
CREATE INDEX ix_events_run ON events (run_id, event_id);

CREATE TABLE histories (
    execution_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    event_count INTEGER NOT NULL,
    events BYTEA NOT NULL,
    archived_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_histories PRIMARY KEY (execution_id)
);

CREATE TABLE jobs (
    job_id TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    execution_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    activity_id TEXT NOT NULL,
    activity_type TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    local BOOLEAN DEFAULT false NOT NULL,
    call_key TEXT,
    worker TEXT NOT NULL,
    task_queue TEXT NOT NULL,
    status TEXT NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    error JSON,
    CONSTRAINT pk_jobs PRIMARY KEY (job_id, started_at),
    CONSTRAINT ck_jobs_status CHECK (status IN ('running', 'completed', 'failed', 'cancelled'))
)
 PARTITION BY RANGE (started_at);

CREATE INDEX ix_jobs_execution ON jobs (execution_id, started_at);

CREATE TABLE logs (
    log_id BIGSERIAL NOT NULL,
    logged_at TIMESTAMP WITH TIME ZONE NOT NULL,
    execution_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    activity_id TEXT,
    attempt INTEGER,
    level TEXT NOT NULL,
    logger TEXT NOT NULL,
    message TEXT NOT NULL,
    fields JSON,
    worker TEXT NOT NULL,
    CONSTRAINT pk_logs PRIMARY KEY (log_id, logged_at)
)
 PARTITION BY RANGE (logged_at);

CREATE INDEX ix_logs_execution ON logs (execution_id, log_id);

CREATE TABLE policies (
    rule_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    kind TEXT,
    tool TEXT NOT NULL,
    agent TEXT,
    "when" JSON DEFAULT '[]' NOT NULL,
    effect TEXT NOT NULL,
    approvers TEXT[] DEFAULT '{}' NOT NULL,
    expires_seconds FLOAT NOT NULL,
    reason TEXT DEFAULT '' NOT NULL,
    disabled BOOLEAN DEFAULT false NOT NULL,
    withdrawn BOOLEAN DEFAULT false NOT NULL,
    created_by TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_policies PRIMARY KEY (rule_id, version),
    CONSTRAINT ck_policies_kind CHECK (kind IN ('tool', 'model', 'agent', 'approval', 'timer', 'child', 'signal', 'activity', 'update', 'nexus')),
    CONSTRAINT ck_policies_effect CHECK (effect IN ('allow', 'require_approval', 'deny')),
    CONSTRAINT ck_policies_expires_seconds CHECK (expires_seconds > 0)
);

CREATE TABLE policy_snapshots (
    version BIGSERIAL NOT NULL,
    document JSON NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_policy_snapshots PRIMARY KEY (version)
);

CREATE TABLE principals (
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    roles TEXT[] DEFAULT '{}' NOT NULL,
    groups TEXT[] DEFAULT '{}' NOT NULL,
    disabled_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_principals PRIMARY KEY (name),
    CONSTRAINT ck_principals_kind CHECK (kind IN ('human', 'service', 'agent', 'system'))
);

CREATE TABLE projector_state (
    name TEXT NOT NULL,
    value JSON NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_projector_state PRIMARY KEY (name)
);

CREATE TABLE run_changes (
    execution_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    generation BIGINT DEFAULT 1 NOT NULL,
    expect BIGINT DEFAULT 0 NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    claimed_until TIMESTAMP WITH TIME ZONE,
    failures INTEGER DEFAULT '0' NOT NULL,
    last_error TEXT,
    CONSTRAINT pk_run_changes PRIMARY KEY (execution_id)
);

CREATE INDEX ix_run_changes_due ON run_changes (due_at);

CREATE TABLE runs (
    run_id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    first_execution_id TEXT,
    execution_id TEXT,
    workflow TEXT NOT NULL,
    version TEXT,
    build TEXT,
    task_queue TEXT NOT NULL,
    status TEXT NOT NULL,
    waiting_on TEXT,
    status_reason TEXT,
    hold TEXT,
    temporal_status TEXT,
    governed BOOLEAN DEFAULT false NOT NULL,
    initiator TEXT DEFAULT 'unknown' NOT NULL,
    trigger TEXT DEFAULT 'external' NOT NULL,
    command_id TEXT,
    parent_run_id TEXT,
    root_run_id TEXT,
    reference TEXT,
    tags TEXT[] DEFAULT '{}' NOT NULL,
    tools TEXT[] DEFAULT '{}' NOT NULL,
    priority INTEGER,
    note TEXT,
    template TEXT,
    template_version INTEGER,
    input JSON,
    result JSON,
    error JSON,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    start_at TIMESTAMP WITH TIME ZONE,
    started_at TIMESTAMP WITH TIME ZONE,
    closed_at TIMESTAMP WITH TIME ZONE,
    current_step TEXT,
    current_kind TEXT,
    next_at TIMESTAMP WITH TIME ZONE,
    usage JSON,
    step_count INTEGER DEFAULT '0' NOT NULL,
    steps_done INTEGER DEFAULT '0' NOT NULL,
    steps_failed INTEGER DEFAULT '0' NOT NULL,
    approvals_pending INTEGER DEFAULT '0' NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_runs PRIMARY KEY (run_id),
    CONSTRAINT ck_runs_status CHECK (status IN ('queued', 'running', 'waiting', 'paused', 'cancelling', 'completed', 'failed', 'cancelled', 'terminated', 'timed_out')),
    CONSTRAINT ck_runs_waiting_on CHECK (waiting_on IN ('approval', 'timer', 'signal', 'child', 'worker', 'retry', 'policy')),
    CONSTRAINT ck_runs_trigger CHECK (trigger IN ('api', 'schedule', 'child', 'external', 'other')),
    CONSTRAINT uq_runs_chain UNIQUE (namespace, workflow_id, first_execution_id)
);

CREATE INDEX ix_runs_closed ON runs (closed_at DESC, status) WHERE closed_at IS NOT NULL;
CREATE INDEX ix_runs_initiator ON runs (initiator, created_at DESC, run_id DESC);
CREATE INDEX ix_runs_newest ON runs (created_at DESC, run_id DESC);
CREATE INDEX ix_runs_parent ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX ix_runs_reference ON runs (reference, created_at DESC) WHERE reference IS NOT NULL;
CREATE INDEX ix_runs_status ON runs (status, created_at DESC, run_id DESC);
CREATE INDEX ix_runs_tags ON runs USING gin (tags);
CREATE INDEX ix_runs_tools ON runs USING gin (tools);
CREATE INDEX ix_runs_workflow ON runs (workflow, created_at DESC, run_id DESC);
CREATE INDEX ix_runs_workflow_id ON runs (workflow_id);

CREATE TABLE signing_keys (
    key_id TEXT NOT NULL,
    public_key TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    retired_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_signing_keys PRIMARY KEY (key_id)
);

CREATE TABLE tools (
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT DEFAULT '' NOT NULL,
    risk TEXT NOT NULL,
    tags TEXT[] DEFAULT '{}' NOT NULL,
    input_schema JSON NOT NULL,
    output_schema JSON,
    timeout_seconds FLOAT NOT NULL,
    retries INTEGER NOT NULL,
    local BOOLEAN DEFAULT false NOT NULL,
    idempotent BOOLEAN DEFAULT false NOT NULL,
    task_queue TEXT NOT NULL,
    grid TEXT NOT NULL,
    registered_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_tools PRIMARY KEY (name),
    CONSTRAINT ck_tools_risk CHECK (risk IN ('read', 'write', 'destructive'))
);

CREATE TABLE agents (
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    title TEXT NOT NULL,
    timeout_seconds FLOAT NOT NULL,
    retries INTEGER NOT NULL,
    task_queue TEXT NOT NULL,
    grid TEXT NOT NULL,
    registered_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_agents PRIMARY KEY (name)
);

CREATE TABLE agent_versions (
    agent TEXT NOT NULL,
    version TEXT NOT NULL,
    source TEXT NOT NULL,
    made_for TEXT NOT NULL,
    models TEXT[] DEFAULT '{}' NOT NULL,
    instructions TEXT NOT NULL,
    tools TEXT[] DEFAULT '{}' NOT NULL,
    output_schema JSON,
    limits JSON NOT NULL,
    note TEXT DEFAULT '' NOT NULL,
    created_by TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_agent_versions PRIMARY KEY (agent, version),
    CONSTRAINT ck_agent_versions_source CHECK (source IN ('code', 'operator')),
    CONSTRAINT ck_agent_versions_named CHECK ((source = 'operator') = (version LIKE 'edit-%'))
);

CREATE INDEX ix_agent_versions_newest ON agent_versions (agent, created_at DESC, version);

CREATE TABLE agent_choices (
    agent TEXT NOT NULL,
    number INTEGER NOT NULL,
    version TEXT,
    note TEXT DEFAULT '' NOT NULL,
    created_by TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_agent_choices PRIMARY KEY (agent, number)
);

CREATE TABLE workflow_builds (
    build TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    CONSTRAINT pk_workflow_builds PRIMARY KEY (build, name)
);

CREATE TABLE workflow_versions (
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    input_schema JSON NOT NULL,
    output_schema JSON,
    handlers JSON,
    build TEXT NOT NULL,
    first_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_workflow_versions PRIMARY KEY (name, version)
);

CREATE INDEX ix_workflow_versions_name ON workflow_versions (name, first_seen_at DESC);

CREATE TABLE workflows (
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT DEFAULT '' NOT NULL,
    tags TEXT[] DEFAULT '{}' NOT NULL,
    task_queue TEXT NOT NULL,
    grid TEXT NOT NULL,
    registered_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_workflows PRIMARY KEY (name)
);

CREATE TABLE api_keys (
    key_id TEXT NOT NULL,
    principal TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    note TEXT DEFAULT '' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_api_keys PRIMARY KEY (key_id),
    CONSTRAINT fk_api_keys_principal FOREIGN KEY(principal) REFERENCES principals (name) ON DELETE CASCADE
);

CREATE INDEX ix_api_keys_principal ON api_keys (principal);

CREATE TABLE executions (
    execution_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    first_execution_id TEXT NOT NULL,
    workflow TEXT NOT NULL,
    task_queue TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    build TEXT,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE,
    continued_from TEXT,
    continued_to TEXT,
    reset_from TEXT,
    reset_to TEXT,
    reset_event_id BIGINT,
    reset_reason TEXT,
    result JSON,
    error JSON,
    last_event_id BIGINT DEFAULT 0 NOT NULL,
    fold_version INTEGER DEFAULT '0' NOT NULL,
    fold_state JSON,
    taken BOOLEAN DEFAULT false NOT NULL,
    opaque_events INTEGER DEFAULT '0' NOT NULL,
    last_event_at TIMESTAMP WITH TIME ZONE,
    live_task_attempt INTEGER,
    live_problem TEXT,
    live_checked_at TIMESTAMP WITH TIME ZONE,
    projected_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_executions PRIMARY KEY (execution_id),
    CONSTRAINT ck_executions_status CHECK (status IN ('running', 'completed', 'failed', 'canceled', 'terminated', 'continued_as_new', 'timed_out')),
    CONSTRAINT ck_executions_kind CHECK (kind IN ('first', 'continued', 'retry', 'cron', 'reset')),
    CONSTRAINT fk_executions_run_id FOREIGN KEY(run_id) REFERENCES runs (run_id) ON DELETE CASCADE
);

CREATE INDEX ix_executions_open ON executions (live_checked_at) WHERE status = 'running';
CREATE INDEX ix_executions_run ON executions (run_id, started_at);
CREATE INDEX ix_executions_workflow ON executions (workflow_id);

CREATE TABLE approvals (
    execution_id TEXT NOT NULL,
    approval_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    step_event_id BIGINT NOT NULL,
    opened_event_id BIGINT NOT NULL,
    inherited BOOLEAN DEFAULT false NOT NULL,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    tool TEXT,
    agent TEXT,
    agent_version TEXT,
    turn BIGINT,
    digest TEXT NOT NULL,
    policy TEXT,
    approvers TEXT[] DEFAULT '{}' NOT NULL,
    initiator TEXT,
    terms JSON NOT NULL,
    payload JSON,
    status TEXT NOT NULL,
    decidable BOOLEAN DEFAULT false NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    closed_at TIMESTAMP WITH TIME ZONE,
    decided_by TEXT,
    decision_event_id BIGINT,
    command_id TEXT,
    CONSTRAINT pk_approvals PRIMARY KEY (execution_id, approval_id),
    CONSTRAINT ck_approvals_status CHECK (status IN ('pending', 'approved', 'rejected', 'expired', 'cancelled')),
    CONSTRAINT fk_approvals_execution_id FOREIGN KEY(execution_id) REFERENCES executions (execution_id) ON DELETE CASCADE
);

CREATE INDEX ix_approvals_approvers ON approvals USING gin (approvers) WHERE status = 'pending';
CREATE INDEX ix_approvals_id ON approvals (approval_id);
CREATE INDEX ix_approvals_inbox ON approvals (status, opened_at DESC) WHERE NOT inherited;
CREATE INDEX ix_approvals_run ON approvals (run_id, opened_at);

CREATE TABLE decisions (
    execution_id TEXT NOT NULL,
    event_id BIGINT NOT NULL,
    run_id TEXT NOT NULL,
    approval_id TEXT,
    judged TEXT NOT NULL,
    reason TEXT,
    verdict TEXT,
    principal TEXT,
    approver TEXT,
    key_id TEXT,
    decided_at TIMESTAMP WITH TIME ZONE,
    signalled_at TIMESTAMP WITH TIME ZONE NOT NULL,
    identity TEXT,
    command_id TEXT,
    inherited BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_decisions PRIMARY KEY (execution_id, event_id),
    CONSTRAINT ck_decisions_judged CHECK (judged IN ('counted', 'superseded', 'refused')),
    CONSTRAINT fk_decisions_execution_id FOREIGN KEY(execution_id) REFERENCES executions (execution_id) ON DELETE CASCADE
);

CREATE INDEX ix_decisions_approval ON decisions (approval_id);
CREATE INDEX ix_decisions_run ON decisions (run_id, signalled_at);

CREATE TABLE steps (
    execution_id TEXT NOT NULL,
    event_id BIGINT NOT NULL,
    run_id TEXT NOT NULL,
    parent BIGINT,
    turn BIGINT,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    title TEXT,
    status TEXT NOT NULL,
    inherited BOOLEAN DEFAULT false NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    activity_id TEXT,
    task_queue TEXT,
    worker TEXT,
    call_key TEXT,
    tool_version TEXT,
    local BOOLEAN DEFAULT false NOT NULL,
    governed BOOLEAN DEFAULT false NOT NULL,
    approval_id TEXT,
    child_workflow_id TEXT,
    child_execution_id TEXT,
    scheduled_at TIMESTAMP WITH TIME ZONE NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    closed_at TIMESTAMP WITH TIME ZONE,
    due_at TIMESTAMP WITH TIME ZONE,
    closed_event_id BIGINT,
    input JSON,
    output JSON,
    error JSON,
    usage JSON,
    live_state TEXT,
    live_attempt INTEGER,
    live_error JSON,
    live_next_retry_at TIMESTAMP WITH TIME ZONE,
    live_heartbeat_at TIMESTAMP WITH TIME ZONE,
    live_worker TEXT,
    CONSTRAINT pk_steps PRIMARY KEY (execution_id, event_id),
    CONSTRAINT ck_steps_kind CHECK (kind IN ('tool', 'model', 'agent', 'approval', 'timer', 'child', 'signal', 'activity', 'update', 'nexus')),
    CONSTRAINT ck_steps_status CHECK (status IN ('scheduled', 'running', 'waiting', 'completed', 'failed', 'cancelled', 'timed_out', 'abandoned')),
    CONSTRAINT fk_steps_execution_id FOREIGN KEY(execution_id) REFERENCES executions (execution_id) ON DELETE CASCADE
);

CREATE INDEX ix_steps_name ON steps (name, scheduled_at DESC);
CREATE INDEX ix_steps_pending ON steps (execution_id) WHERE status IN ('scheduled', 'running', 'waiting');
CREATE INDEX ix_steps_run ON steps (run_id, scheduled_at, event_id)
"""

PARTITIONS = """
CREATE TABLE jobs_default PARTITION OF jobs DEFAULT;

CREATE TABLE logs_default PARTITION OF logs DEFAULT
"""

# The projector creates daily partitions ahead of time, and drops them when their retention ends.
ENSURE_PARTITIONS = """
CREATE FUNCTION agentgrid_ensure_partitions(days_ahead integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    day date;
BEGIN
    FOREACH parent IN ARRAY ARRAY['jobs', 'logs'] LOOP
        FOR day IN SELECT generate_series(current_date, current_date + days_ahead, interval '1 day')::date LOOP
            BEGIN
                EXECUTE format(
                    'CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                    parent || '_' || to_char(day, 'YYYYMMDD'), parent,
                    day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC'
                );
            EXCEPTION WHEN check_violation THEN
                -- The default partition already holds rows of that day: they stay there.
                NULL;
            END;
        END LOOP;
    END LOOP;
END
$$
"""

# A touch is a hint that history has grown: it never lowers the expected event id and never releases a claim.
TOUCH = """
CREATE FUNCTION agentgrid_touch(p_namespace text, p_executions text[], p_workflows text[], p_expect bigint[])
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    INSERT INTO run_changes AS c (execution_id, workflow_id, namespace, expect, due_at)
    SELECT t.execution_id, min(t.workflow_id), p_namespace, max(t.expect), now()
    FROM unnest(p_executions, p_workflows, p_expect) AS t(execution_id, workflow_id, expect)
    GROUP BY t.execution_id ORDER BY t.execution_id
    ON CONFLICT (execution_id) DO UPDATE SET
        generation = c.generation + 1,
        expect = greatest(c.expect, excluded.expect),
        due_at = least(c.due_at, excluded.due_at);
    SELECT pg_notify('agentgrid_changes', '');
$$
"""

# Jobs and logs in batches. A job's end may arrive before its start, and more than once.
TELEMETRY = """
CREATE FUNCTION agentgrid_telemetry(p_jobs json, p_logs json)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    INSERT INTO jobs AS j (job_id, started_at, execution_id, workflow_id, activity_id, activity_type, attempt, local,
                           call_key, worker, task_queue, status, finished_at, error)
    SELECT DISTINCT ON (r.job_id, r.started_at)
           r.job_id, r.started_at, r.execution_id, r.workflow_id, r.activity_id, r.activity_type, r.attempt, r.local,
           r.call_key, r.worker, r.task_queue, r.status, r.finished_at, r.error
    FROM json_populate_recordset(NULL::jobs, p_jobs) AS r
    ORDER BY r.job_id, r.started_at, r.finished_at NULLS LAST
    ON CONFLICT (job_id, started_at) DO UPDATE SET
        status = excluded.status, finished_at = excluded.finished_at, error = excluded.error
        WHERE j.finished_at IS NULL;
    INSERT INTO logs (logged_at, execution_id, workflow_id, activity_id, attempt, level, logger, message, fields, worker)
    SELECT r.logged_at, r.execution_id, r.workflow_id, r.activity_id, r.attempt, r.level, r.logger, r.message, r.fields, r.worker
    FROM json_populate_recordset(NULL::logs, p_logs) AS r;
    -- History doesn't show a failed attempt: the projector must ask Temporal for it.
    INSERT INTO run_changes AS c (execution_id, workflow_id, namespace)
    SELECT e.execution_id, e.workflow_id, e.namespace FROM executions AS e
    WHERE e.status = 'running' AND e.execution_id IN (
        SELECT r.execution_id FROM json_populate_recordset(NULL::jobs, p_jobs) AS r WHERE r.status = 'failed'
    )
    ORDER BY e.execution_id
    ON CONFLICT (execution_id) DO UPDATE SET
        generation = c.generation + 1, due_at = least(c.due_at, excluded.due_at);
$$
"""

# A worker's registration: {"grid", "build", "task_queue", "workflows": [...], "tools": [...]}.
CATALOG = """
CREATE FUNCTION agentgrid_catalog(p_document json)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    INSERT INTO workflow_versions (name, version, input_schema, output_schema, build)
    SELECT w->>'name', w->>'version', w->'input_schema', w->'output_schema', p_document->>'build'
    FROM json_array_elements(p_document->'workflows') AS w ORDER BY 1, 2
    ON CONFLICT (name, version) DO NOTHING;
    INSERT INTO workflow_builds (build, name, version)
    SELECT p_document->>'build', w->>'name', w->>'version'
    FROM json_array_elements(p_document->'workflows') AS w ORDER BY 2
    ON CONFLICT (build, name) DO NOTHING;
    INSERT INTO workflows AS t (name, version, title, description, tags, task_queue, grid)
    SELECT w->>'name', w->>'version', w->>'title', coalesce(w->>'description', ''),
           ARRAY(SELECT json_array_elements_text(w->'tags')), p_document->>'task_queue', p_document->>'grid'
    FROM json_array_elements(p_document->'workflows') AS w ORDER BY 1
    ON CONFLICT (name) DO UPDATE SET
        version = excluded.version, title = excluded.title, description = excluded.description, tags = excluded.tags,
        task_queue = excluded.task_queue, grid = excluded.grid, registered_at = now();
    INSERT INTO tools AS t (name, version, title, description, risk, tags, input_schema, output_schema, timeout_seconds,
                            retries, local, idempotent, task_queue, grid)
    SELECT r->>'name', r->>'version', r->>'title', coalesce(r->>'description', ''), r->>'risk',
           ARRAY(SELECT json_array_elements_text(r->'tags')), r->'input_schema', r->'output_schema',
           (r->>'timeout_seconds')::float, (r->>'retries')::integer, (r->>'local')::boolean, (r->>'idempotent')::boolean,
           p_document->>'task_queue', p_document->>'grid'
    FROM json_array_elements(p_document->'tools') AS r ORDER BY 1
    ON CONFLICT (name) DO UPDATE SET
        version = excluded.version, title = excluded.title, description = excluded.description, risk = excluded.risk,
        tags = excluded.tags, input_schema = excluded.input_schema, output_schema = excluded.output_schema,
        timeout_seconds = excluded.timeout_seconds, retries = excluded.retries, local = excluded.local,
        idempotent = excluded.idempotent, task_queue = excluded.task_queue, grid = excluded.grid, registered_at = now();
$$
"""

# Roles are server-wide, so another database may have created the role already, or may be creating it concurrently.
ROLE = """
DO $$
BEGIN
    CREATE ROLE agentgrid_worker NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END
$$
"""

GRANTS = """
REVOKE ALL ON FUNCTION agentgrid_touch, agentgrid_telemetry, agentgrid_catalog, agentgrid_ensure_partitions FROM PUBLIC;

GRANT EXECUTE ON FUNCTION agentgrid_touch, agentgrid_telemetry, agentgrid_catalog TO agentgrid_worker;

GRANT SELECT ON policy_snapshots TO agentgrid_worker
"""


def upgrade() -> None:
    """Create everything."""
    for block in (TABLES, PARTITIONS):
        for statement in block.split(";\n"):
            if statement.strip():
                op.execute(statement)
    for statement in (ENSURE_PARTITIONS, TOUCH, TELEMETRY, CATALOG, ROLE, *GRANTS.split(";\n")):
        op.execute(statement)
    op.execute("SELECT agentgrid_ensure_partitions(2)")
