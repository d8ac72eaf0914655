-- Functions that workers call, and functions that the projector needs from the schema's owner. Every SECURITY DEFINER function sets its search
-- path with pg_temp last, so that a caller's temporary table can't shadow one of ours. Names are also qualified.

-- The calling login, with its grid and queues. A control-plane login may report for all grids and queues: it can write the tables anyway.
CREATE OR REPLACE FUNCTION agentgrid_login() RETURNS worker_logins
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_login public.worker_logins;
BEGIN
    SELECT * INTO v_login FROM public.worker_logins AS w WHERE w.login = session_user AND w.closed_at IS NULL;
    IF FOUND THEN
        RETURN v_login;
    END IF;
    IF pg_has_role(session_user, 'agentgrid_control', 'MEMBER') THEN
        v_login.login := session_user;
        v_login.grid := '*';
        v_login.queues := ARRAY['*'];
        RETURN v_login;
    END IF;
    RAISE insufficient_privilege USING
        MESSAGE = format('the login %I is not bound to a grid; bind it with `agentgrid db worker-login`', session_user);
END
$$;

-- Charges the login's budget: reports about known executions, and touches of strangers (executions that the projection doesn't know yet).
-- Returns how many of each are granted. Bursts: ten seconds' worth of reports, twenty of strangers. Refused reports are counted.
CREATE OR REPLACE FUNCTION agentgrid_spend(
    p_login worker_logins, p_reports integer, p_strangers integer, p_bad integer, p_foreign integer,
    OUT reports integer, OUT strangers integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_budget public.worker_budgets;
    v_seconds double precision;
BEGIN
    reports := p_reports;
    strangers := p_strangers;
    IF p_login.rate IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO public.worker_budgets AS b (login, reports, strangers)
    VALUES (p_login.login, p_login.rate * 10, p_login.rate)
    ON CONFLICT (login) DO NOTHING;
    SELECT * INTO v_budget FROM public.worker_budgets AS b WHERE b.login = p_login.login FOR UPDATE;
    v_seconds := greatest(extract(epoch FROM clock_timestamp() - v_budget.refilled_at), 0);
    v_budget.reports := least(v_budget.reports + p_login.rate * v_seconds, p_login.rate * 10);
    v_budget.strangers := least(v_budget.strangers + p_login.rate / 20 * v_seconds, p_login.rate);
    reports := least(p_reports, floor(v_budget.reports)::integer);
    strangers := least(p_strangers, floor(v_budget.strangers)::integer);
    UPDATE public.worker_budgets AS b SET
        reports = v_budget.reports - agentgrid_spend.reports,
        strangers = v_budget.strangers - agentgrid_spend.strangers,
        refilled_at = clock_timestamp(),
        dropped = b.dropped + (p_reports - agentgrid_spend.reports) + (p_strangers - agentgrid_spend.strangers),
        bad = b.bad + p_bad,
        unattributed = b.unattributed + p_foreign
    WHERE b.login = p_login.login;
END
$$;

-- A touch is a hint that history has grown. Workers only append touches, and a projector collects them, so a worker's transaction never
-- locks shared rows. A login can touch only executions on its own queues.
CREATE OR REPLACE FUNCTION agentgrid_touch(
    p_namespace text, p_executions text[], p_workflows text[], p_expect bigint[], p_urgent boolean[] DEFAULT NULL
)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
-- Otherwise a plan cached while the tables were small would keep scanning them.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v_login public.worker_logins := public.agentgrid_login();
    v_taken text[] := p_executions;
    v_strangers text[];
    v_foreign integer;
    v_bad integer;
    v_granted record;
BEGIN
    IF v_login.rate IS NOT NULL THEN
        SELECT
            coalesce(array_agg(g.execution_id) FILTER (WHERE g.sound AND g.queue IS NOT NULL AND g.mine), '{}'),
            coalesce(array_agg(g.execution_id) FILTER (WHERE g.sound AND g.queue IS NULL), '{}'),
            count(*) FILTER (WHERE g.sound AND g.queue IS NOT NULL AND NOT g.mine),
            count(*) FILTER (WHERE NOT g.sound)
        INTO v_taken, v_strangers, v_foreign, v_bad
        FROM (
            SELECT t.execution_id, t.sound, q.queue, q.queue = ANY (v_login.queues) OR '*' = ANY (v_login.queues) AS mine
            FROM (
                SELECT u.execution_id, min(u.workflow_id) AS workflow_id,
                       coalesce(bool_and(
                           u.execution_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
                           AND octet_length(u.workflow_id) BETWEEN 1 AND 1000 AND u.expect BETWEEN 0 AND 1000000
                       ), false) AS sound
                FROM unnest(p_executions, p_workflows, p_expect) AS u(execution_id, workflow_id, expect)
                GROUP BY u.execution_id
            ) AS t
            -- A run that the API has queued has no execution here yet; its workflow id is its run id.
            LEFT JOIN public.executions AS e ON e.execution_id = t.execution_id
            LEFT JOIN public.runs AS r ON r.run_id = t.workflow_id AND e.execution_id IS NULL
            CROSS JOIN LATERAL (SELECT coalesce(e.task_queue, r.task_queue) AS queue) AS q
        ) AS g;
        v_granted := public.agentgrid_spend(v_login, cardinality(v_taken), cardinality(v_strangers), v_bad, v_foreign);
        v_taken := v_taken[1:v_granted.reports] || v_strangers[1:v_granted.strangers];
    END IF;
    -- Without a running projector, touches pile up; the sweep finds the executions that are skipped here.
    IF pg_relation_size('public.touches') < 268435456 THEN
        INSERT INTO public.touches (execution_id, workflow_id, namespace, expect, urgent)
        SELECT t.execution_id, t.workflow_id, left(p_namespace, 300), t.expect, coalesce(t.urgent, false)
        FROM unnest(p_executions, p_workflows, p_expect, p_urgent) AS t(execution_id, workflow_id, expect, urgent)
        WHERE t.execution_id = ANY (v_taken);
    END IF;
    PERFORM pg_notify('agentgrid_changes', '');
END
$$;

-- Jobs and logs in batches, from the login's own queues. Whether the run belongs to such a queue is checked when reading, because the projection
-- may not know the run yet. A job's end may arrive before its start, and more than once. One login can't change another's rows.
CREATE OR REPLACE FUNCTION agentgrid_telemetry(p_jobs json, p_logs json)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v_login public.worker_logins := public.agentgrid_login();
    v_all boolean := '*' = ANY (v_login.queues);
    v_oldest timestamptz := now() - interval '30 days';
    v_newest timestamptz := now() + interval '3 days';
    v_jobs public.jobs[];
    v_logs public.logs[];
    v_sent integer := json_array_length(p_jobs) + json_array_length(p_logs);
    v_foreign integer;
    v_granted record;
BEGIN
    SELECT coalesce(array_agg(j ORDER BY j.job_id, j.started_at) FILTER (
               WHERE j.started_at BETWEEN v_oldest AND v_newest AND octet_length(j.job_id) <= 2000
               AND (v_all OR j.task_queue = ANY (v_login.queues))
           ), '{}'),
           count(*) FILTER (WHERE NOT v_all AND NOT j.task_queue = ANY (v_login.queues))
    INTO v_jobs, v_foreign
    FROM json_populate_recordset(NULL::public.jobs, p_jobs) AS j;
    SELECT coalesce(array_agg(l) FILTER (
               WHERE l.logged_at BETWEEN v_oldest AND v_newest AND (v_all OR l.task_queue = ANY (v_login.queues))
           ), '{}'),
           v_foreign + count(*) FILTER (WHERE NOT v_all AND NOT coalesce(l.task_queue = ANY (v_login.queues), false))
    INTO v_logs, v_foreign
    FROM json_populate_recordset(NULL::public.logs, p_logs) AS l;
    v_granted := public.agentgrid_spend(
        v_login, cardinality(v_jobs) + cardinality(v_logs), 0,
        v_sent - v_foreign - cardinality(v_jobs) - cardinality(v_logs), v_foreign
    );
    v_jobs := v_jobs[1:v_granted.reports];
    v_logs := v_logs[1:v_granted.reports - cardinality(v_jobs)];
    INSERT INTO public.jobs AS j (job_id, started_at, login, execution_id, workflow_id, activity_id, activity_type, attempt,
                                  local, call_key, worker, task_queue, status, finished_at, error)
    SELECT DISTINCT ON (r.job_id, r.started_at)
           r.job_id, r.started_at, v_login.login, left(r.execution_id, 100), left(r.workflow_id, 1000), left(r.activity_id, 1000),
           left(r.activity_type, 1000), r.attempt, r.local, left(r.call_key, 100), left(r.worker, 300), r.task_queue, r.status,
           r.finished_at, CASE WHEN octet_length(r.error::text) <= 32768 THEN r.error END
    FROM unnest(v_jobs) AS r
    ORDER BY r.job_id, r.started_at, r.finished_at NULLS LAST
    ON CONFLICT (job_id, started_at, login) DO UPDATE SET
        status = excluded.status, finished_at = excluded.finished_at, error = excluded.error
        WHERE j.finished_at IS NULL;
    INSERT INTO public.logs (logged_at, login, execution_id, workflow_id, activity_id, attempt, level, logger, message, fields,
                             worker, task_queue)
    SELECT r.logged_at, v_login.login, left(r.execution_id, 100), left(r.workflow_id, 1000), left(r.activity_id, 1000), r.attempt,
           left(r.level, 20), left(r.logger, 300), left(r.message, 8192),
           CASE WHEN octet_length(r.fields::text) <= 65536 THEN r.fields END, left(r.worker, 300), r.task_queue
    FROM unnest(v_logs) AS r;
    -- History doesn't show failed attempts, so the projector must ask Temporal.
    INSERT INTO public.touches (execution_id, workflow_id, namespace)
    SELECT e.execution_id, e.workflow_id, e.namespace FROM public.executions AS e
    WHERE e.status = 'running' AND e.execution_id IN (SELECT r.execution_id FROM unnest(v_jobs) AS r WHERE r.status = 'failed')
      AND (v_all OR e.task_queue = ANY (v_login.queues) OR EXISTS (
          SELECT FROM public.steps AS s WHERE s.execution_id = e.execution_id
          AND s.status IN ('scheduled', 'running', 'waiting') AND s.task_queue = ANY (v_login.queues)
      ));
END
$$;

-- Sends part of a model's answer to those watching the run; returns whether it was sent. Nothing is stored. Anybody may listen on and notify
-- a channel if they know its name, so this name is a secret of the control plane: only the API and this function, which checks the sender,
-- know it. A long delta costs as much of the login's budget as several reports.
CREATE OR REPLACE FUNCTION agentgrid_delta(
    p_execution text, p_agent text, p_call text, p_turn integer, p_attempt integer, p_sequence integer, p_text text, p_tools text[]
)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v_login public.worker_logins := public.agentgrid_login();
    v_run text;
    v_own boolean;
    v_cost integer;
    v_sent text;
BEGIN
    -- Model requests are made on the execution's own queue. A worker that only serves one of the run's tools can't send deltas for its agent.
    SELECT e.run_id, '*' = ANY (v_login.queues) OR e.task_queue = ANY (v_login.queues)
    INTO v_run, v_own
    FROM public.executions AS e WHERE e.execution_id = p_execution AND e.status = 'running';
    IF v_run IS NULL THEN
        RETURN false;
    END IF;
    v_sent := json_build_object(
        'run_id', v_run, 'execution_id', p_execution, 'agent', left(p_agent, 255), 'call', left(p_call, 100), 'turn', p_turn,
        'attempt', p_attempt, 'sequence', p_sequence, 'text', p_text, 'tools', p_tools
    )::text;
    v_cost := 1 + octet_length(v_sent) / 1000;
    IF NOT v_own OR octet_length(v_sent) > 7900 THEN
        PERFORM public.agentgrid_spend(v_login, 0, 0, v_own::integer, (NOT v_own)::integer);
        RETURN false;
    END IF;
    IF (public.agentgrid_spend(v_login, v_cost, 0, 0, 0)).reports < v_cost THEN
        RETURN false;
    END IF;
    PERFORM pg_notify((SELECT c.name FROM public.delta_channels AS c), v_sent);
    RETURN true;
END
$$;

-- A list of texts sent by a worker, without nulls, which no reader of such a list expects.
CREATE OR REPLACE FUNCTION agentgrid_texts(p_list json)
RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT ARRAY(SELECT t FROM json_array_elements_text(p_list) AS t WHERE t IS NOT NULL)
$$;

-- A worker's registration: {"grid", "build", "task_queue", "workflows": [...], "tools": [...], "agents": [...]}. A name belongs to the grid that registered it.
CREATE OR REPLACE FUNCTION agentgrid_catalog(p_document json)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_login public.worker_logins := public.agentgrid_login();
    v_grid text := p_document->>'grid';
    v_build text := p_document->>'build';
    v_queue text := p_document->>'task_queue';
    v_taken text;
    -- The cost is capped at the full budget, ten seconds' worth of reports.
    v_cost integer := least(1 + octet_length(p_document::text) / 10000, floor(v_login.rate * 10));
    v_new bigint;
    v_registered double precision;
BEGIN
    IF v_login.grid <> '*' AND v_login.grid IS DISTINCT FROM v_grid THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('the login %I may register the grid %L, not %L', session_user, v_login.grid, v_grid);
    END IF;
    IF NOT coalesce('*' = ANY (v_login.queues) OR v_queue = ANY (v_login.queues), false) THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('the login %I does not serve the task queue %L', session_user, v_queue);
    END IF;
    IF octet_length(p_document::text) > 8388608 THEN
        RAISE program_limit_exceeded USING MESSAGE = 'the catalog document is over 8 MiB';
    END IF;
    -- Unlike a report, a registration is not dropped: its worker retries.
    IF (public.agentgrid_spend(v_login, v_cost, 0, 0, 0)).reports < v_cost THEN
        RAISE program_limit_exceeded USING
            MESSAGE = format('the login %I has sent too many reports and registrations; try again in a few seconds', session_user);
    END IF;
    SELECT string_agg(format('%s %L of the grid %L', t.kind, t.name, t.grid), ', ') INTO v_taken FROM (
        SELECT 'workflow' AS kind, k.name, k.grid FROM public.workflows AS k
        WHERE k.grid <> v_grid AND k.name IN (SELECT w->>'name' FROM json_array_elements(p_document->'workflows') AS w)
        UNION ALL
        SELECT 'tool', k.name, k.grid FROM public.tools AS k
        WHERE k.grid <> v_grid AND k.name IN (SELECT w->>'name' FROM json_array_elements(p_document->'tools') AS w)
        UNION ALL
        SELECT 'agent', k.name, k.grid FROM public.agents AS k
        WHERE k.grid <> v_grid AND k.name IN (SELECT w->>'name' FROM json_array_elements(p_document->'agents') AS w)
    ) AS t;
    IF v_taken IS NOT NULL THEN
        RAISE unique_violation USING MESSAGE = format(
            'the grid %L can''t register names that belong to another grid: %s. Rename them, or move them with `agentgrid db move-grid`',
            v_grid, left(v_taken, 2000)
        );
    END IF;
    -- Versions are never deleted. A login can add at most 64 MiB of them at once, and 64 MiB a day.
    IF v_login.rate IS NOT NULL THEN
        SELECT sum(octet_length(t.sent) + 100) INTO v_new FROM (
            SELECT w::text AS sent FROM json_array_elements(p_document->'workflows') AS w WHERE NOT EXISTS (
                SELECT FROM public.workflow_versions AS k WHERE k.name = w->>'name' AND k.version = w->>'version'
            )
            UNION ALL
            SELECT concat(v_build, w->>'name', w->>'version') FROM json_array_elements(p_document->'workflows') AS w WHERE NOT EXISTS (
                SELECT FROM public.workflow_builds AS k WHERE k.build = v_build AND k.name = w->>'name'
            )
            UNION ALL
            SELECT r::text FROM json_array_elements(p_document->'tools') AS r WHERE NOT EXISTS (
                SELECT FROM public.tool_versions AS k WHERE k.name = r->>'name' AND k.version = r->>'version'
            )
            UNION ALL
            SELECT r::text FROM json_array_elements(p_document->'agents') AS r WHERE NOT EXISTS (
                SELECT FROM public.agent_versions AS k WHERE k.agent = r->>'name' AND k.version = r->>'version'
            )
        ) AS t;
        UPDATE public.worker_budgets AS b SET
            registered = v_new + greatest(
                b.registered - 67108864 / 86400.0 * greatest(extract(epoch FROM clock_timestamp() - b.registered_at), 0), 0
            ),
            registered_at = clock_timestamp()
        WHERE b.login = v_login.login AND v_new > 0 RETURNING b.registered INTO v_registered;
        IF v_registered > 67108864 THEN
            RAISE program_limit_exceeded USING
                MESSAGE = format('the login %I has registered over 64 MiB of new versions within a day', session_user);
        END IF;
    END IF;
    -- A version's schemas never change. Its handlers may be missing if a worker didn't send them, and changed docstrings don't create a version.
    INSERT INTO public.workflow_versions AS t (name, version, input_schema, output_schema, handlers, build, subject)
    SELECT w->>'name', w->>'version', w->'input_schema', w->'output_schema', w->'handlers', v_build, w->>'subject'
    FROM json_array_elements(p_document->'workflows') AS w ORDER BY 1, 2
    ON CONFLICT (name, version) DO UPDATE SET handlers = excluded.handlers
        WHERE excluded.handlers IS NOT NULL AND t.handlers::text IS DISTINCT FROM excluded.handlers::text;
    INSERT INTO public.workflow_builds (build, name, version)
    SELECT v_build, w->>'name', w->>'version'
    FROM json_array_elements(p_document->'workflows') AS w ORDER BY 2
    ON CONFLICT (build, name) DO NOTHING;
    INSERT INTO public.workflows AS t (name, version, title, description, tags, task_queue, grid)
    SELECT w->>'name', w->>'version', w->>'title', coalesce(w->>'description', ''),
           public.agentgrid_texts(w->'tags'), v_queue, v_grid
    FROM json_array_elements(p_document->'workflows') AS w ORDER BY 1
    ON CONFLICT (name) DO UPDATE SET
        version = excluded.version, title = excluded.title, description = excluded.description, tags = excluded.tags,
        task_queue = excluded.task_queue, grid = excluded.grid, registered_at = now()
        WHERE t.grid = excluded.grid;
    INSERT INTO public.tool_versions (name, version, title, reach, undoable, asks, input_schema)
    SELECT r->>'name', r->>'version', r->>'title', public.agentgrid_texts(r->'reach'), (r->>'undoable')::boolean,
           r->>'asks', r->'input_schema'
    FROM json_array_elements(p_document->'tools') AS r ORDER BY 1, 2
    ON CONFLICT (name, version) DO NOTHING;
    INSERT INTO public.tools AS t (name, version, title, description, risk, tags, input_schema, output_schema, timeout_seconds,
                                   retries, local, idempotent, reach, undoable, asks, task_queue, grid)
    SELECT r->>'name', r->>'version', r->>'title', coalesce(r->>'description', ''), r->>'risk',
           public.agentgrid_texts(r->'tags'), r->'input_schema', r->'output_schema',
           (r->>'timeout_seconds')::float, (r->>'retries')::integer, (r->>'local')::boolean, (r->>'idempotent')::boolean,
           public.agentgrid_texts(r->'reach'), (r->>'undoable')::boolean, r->>'asks', v_queue, v_grid
    FROM json_array_elements(p_document->'tools') AS r ORDER BY 1
    ON CONFLICT (name) DO UPDATE SET
        version = excluded.version, title = excluded.title, description = excluded.description, risk = excluded.risk,
        tags = excluded.tags, input_schema = excluded.input_schema, output_schema = excluded.output_schema,
        timeout_seconds = excluded.timeout_seconds, retries = excluded.retries, local = excluded.local,
        idempotent = excluded.idempotent, reach = excluded.reach, undoable = excluded.undoable, asks = excluded.asks, task_queue = excluded.task_queue, grid = excluded.grid, registered_at = now()
        WHERE t.grid = excluded.grid;
    -- A worker's versions are digests. Operators' versions have different names, which the table's check denies to workers.
    INSERT INTO public.agent_versions AS t (agent, version, source, made_for, models, instructions, tools, output_schema, limits)
    SELECT r->>'name', r->>'version', 'code', r->>'version', public.agentgrid_texts(r->'models'), r->>'instructions',
           public.agentgrid_texts(r->'tools'), r->'output_schema', r->'limits'
    FROM json_array_elements(p_document->'agents') AS r ORDER BY 1, 2
    ON CONFLICT (agent, version) DO NOTHING;
    INSERT INTO public.agents AS t (name, version, title, timeout_seconds, retries, task_queue, grid)
    SELECT r->>'name', r->>'version', r->>'title', (r->>'timeout_seconds')::float, (r->>'retries')::integer, v_queue, v_grid
    FROM json_array_elements(p_document->'agents') AS r ORDER BY 1
    ON CONFLICT (name) DO UPDATE SET
        version = excluded.version, title = excluded.title, timeout_seconds = excluded.timeout_seconds,
        retries = excluded.retries, task_queue = excluded.task_queue, grid = excluded.grid, registered_at = now()
        WHERE t.grid = excluded.grid;
    -- MCP servers that were removed from the code: what workers reported about them is outdated.
    DELETE FROM public.mcp_servers AS t WHERE t.grid = v_grid AND t.task_queue = v_queue
        AND NOT t.tools && ARRAY(SELECT r->>'name' FROM json_array_elements(p_document->'tools') AS r);
    PERFORM pg_notify('agentgrid_catalog', '');
END
$$;

-- A worker's comparison of its MCP servers with their pins: {"grid", "task_queue", "servers": [...]}, all servers in one report.
-- The workers of a queue report only for that queue. A long report costs as much of the login's budget as many short ones.
CREATE OR REPLACE FUNCTION agentgrid_mcp_servers(p_report json)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_login public.worker_logins := public.agentgrid_login();
    v_grid text := p_report->>'grid';
    v_queue text := p_report->>'task_queue';
    v_cost integer := least(1 + octet_length(p_report::text) / 10000, floor(v_login.rate * 10));
BEGIN
    IF v_grid IS NULL OR (v_login.grid <> '*' AND v_login.grid <> v_grid) THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('the login %I may report for the grid %L, not %L', session_user, v_login.grid, v_grid);
    END IF;
    IF NOT coalesce('*' = ANY (v_login.queues) OR v_queue = ANY (v_login.queues), false) THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('the login %I does not serve the task queue %L', session_user, v_queue);
    END IF;
    IF octet_length(p_report::text) > 1048576 OR json_array_length(p_report->'servers') > 100 THEN
        RAISE program_limit_exceeded USING MESSAGE = 'a report of MCP servers can have at most 1 MiB and 100 servers';
    END IF;
    IF (public.agentgrid_spend(v_login, v_cost, 0, 0, 0)).reports < v_cost THEN
        RETURN;
    END IF;
    -- A report lists all servers of its queue.
    DELETE FROM public.mcp_servers AS t WHERE t.grid = v_grid AND t.task_queue = v_queue
        AND t.name <> ALL (ARRAY(SELECT left(r->>'name', 100) FROM json_array_elements(p_report->'servers') AS r));
    -- A login that serves every queue can invent queues. This limit does not block logins that are bound to queues.
    IF '*' = ANY (v_login.queues) AND (SELECT count(*) FROM public.mcp_servers AS t WHERE t.grid = v_grid) > 1000 THEN
        RAISE program_limit_exceeded USING MESSAGE = format('the grid %L has reported over 1000 MCP servers', v_grid);
    END IF;
    INSERT INTO public.mcp_servers AS t (grid, name, task_queue, reached_by, tools, state, reason, changes)
    SELECT v_grid, left(r->>'name', 100), v_queue, left(r->>'reached_by', 300),
           ARRAY(SELECT left(n, 255) FROM json_array_elements_text(r->'tools') AS n WHERE n IS NOT NULL LIMIT 500), r->>'state',
           left(r->>'reason', 2000), CASE WHEN octet_length((r->'changes')::text) <= 262144 THEN r->'changes' ELSE '[]' END
    FROM json_array_elements(p_report->'servers') AS r ORDER BY 2
    ON CONFLICT (grid, task_queue, name) DO UPDATE SET
        reached_by = excluded.reached_by, tools = excluded.tools, state = excluded.state,
        reason = excluded.reason, changes = excluded.changes, reported_at = now(),
        since = CASE WHEN t.state = excluded.state AND t.changes::text = excluded.changes::text THEN t.since ELSE now() END;
    PERFORM pg_notify('agentgrid_catalog', '');
END
$$;

-- The projector creates daily partitions ahead of time. Its login owns no tables, so it calls these two functions of the schema's owner. Both need a
-- lock that waits for every open transaction with a report, and that new reports queue behind. So they give up quickly, and the projector retries.
CREATE OR REPLACE FUNCTION agentgrid_ensure_partitions(days_ahead integer)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    parent text;
    day date;
BEGIN
    FOREACH parent IN ARRAY ARRAY['jobs', 'logs'] LOOP
        FOR day IN SELECT generate_series(current_date, current_date + least(days_ahead, 60), interval '1 day')::date LOOP
            BEGIN
                EXECUTE format(
                    'CREATE TABLE IF NOT EXISTS public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)',
                    parent || '_' || to_char(day, 'YYYYMMDD'), parent,
                    day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC'
                );
            EXCEPTION WHEN check_violation THEN
                -- The default partition already holds rows of that day; they stay there.
                NULL;
            END;
        END LOOP;
    END LOOP;
END
$$;

-- Drops partitions older than this many days, and returns their names. At least a week is always kept.
CREATE OR REPLACE FUNCTION agentgrid_drop_partitions(days_kept integer)
RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    v_name text;
BEGIN
    FOR v_name IN
        SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent IN ('public.jobs'::regclass, 'public.logs'::regclass) AND c.relname ~ '^(jobs|logs)_[0-9]{8}$'
          AND right(c.relname, 8) < to_char(current_date - greatest(days_kept, 7), 'YYYYMMDD')
    LOOP
        EXECUTE format('DROP TABLE public.%I', v_name);
        RETURN NEXT v_name;
    END LOOP;
END
$$;

-- Drops the policy snapshots that were replaced more than this many days ago, and returns how many. Only the newest snapshot is ever read; the
-- others show which policy workers applied at the time. At least a week is always kept. Control logins can't delete from this table themselves.
CREATE OR REPLACE FUNCTION agentgrid_drop_snapshots(days_kept integer)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_dropped integer;
BEGIN
    DELETE FROM public.policy_snapshots AS s WHERE EXISTS (
        SELECT FROM public.policy_snapshots AS later
        WHERE later.version > s.version AND later.made_at < now() - make_interval(days => greatest(days_kept, 7))
    );
    GET DIAGNOSTICS v_dropped = ROW_COUNT;
    RETURN v_dropped;
END
$$;
