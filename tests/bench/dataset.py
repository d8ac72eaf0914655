"""A database as it looks after a month in use: any number of runs with ten steps each, and their related rows.

The database generates the rows itself, in the real tables, with a realistic skew: a few workflows account for most runs, most runs completed,
open runs are mostly recent, and some values occur only for some workflows or times. Hard cases for lists are included on purpose: all `legacy`
runs are old, `nightly` starts only one workflow, and one run has 5,000 steps instead of ten.
"""

from __future__ import annotations

import asyncpg

DAYS = 30
STEPS = 10
"""Steps per run."""
LONG = 5_000
"""Steps of the one long run."""

NOON = "(date_trunc('day', now() - interval '12 hours') + interval '12 hours')"
"""The most recent noon (UTC), so that the newest runs share their partition with half a day of others at any time of day."""

MADE = """
CREATE TEMP TABLE made AS
SELECT i, age, uuidv7(-(age * interval '1 second'))::text AS run_id, gen_random_uuid()::text AS execution_id,
    $3 - age * interval '1 second' AS at, random() AS dice, workflow, status,
    CASE WHEN status <> 'waiting' THEN NULL WHEN d2 < 0.6 THEN 'approval' WHEN d2 < 0.8 THEN 'timer' WHEN d2 < 0.9 THEN 'signal'
         WHEN d2 < 0.95 THEN 'child' WHEN d2 < 0.98 THEN 'retry' ELSE 'worker' END AS waiting_on,
    CASE WHEN d3 < 0.05 THEN 'external' WHEN d3 < 0.2 THEN 'child' ELSE 'api' END AS trigger,
    CASE WHEN d3 < 0.05 THEN 'unknown' WHEN workflow = 'workflow-3' AND d3 < 0.5 THEN 'nightly'
         ELSE 'person-' || floor(40 * d4 * d4)::int END AS initiator,
    status IN ('queued', 'running', 'waiting', 'paused', 'cancelling') AS open
FROM (
    SELECT i, random() AS d2, random() AS d3, random() AS d4, (($1 - i + 0.5) * $2 / $1)::float AS age,
        'workflow-' || floor(12 * power(random(), 2))::int AS workflow,
        CASE WHEN random() < CASE WHEN i > 0.9 * $1 THEN 0.4 ELSE 0.01 END THEN
            (ARRAY['running', 'waiting', 'waiting', 'waiting', 'waiting', 'running', 'paused', 'queued', 'waiting', 'running'])[1 + floor(10 * random())::int]
        ELSE (ARRAY['completed', 'completed', 'completed', 'completed', 'completed', 'completed', 'completed', 'completed', 'completed',
                    'completed', 'completed', 'completed', 'completed', 'completed', 'completed', 'completed', 'failed', 'failed',
                    'cancelled', 'timed_out'])[1 + floor(20 * random())::int] END AS status
    FROM generate_series(1, $1) AS i
) AS dice
"""

ROWS = (
    """
    INSERT INTO runs (run_id, namespace, workflow_id, first_execution_id, execution_id, workflow, version, build, task_queue, status,
        waiting_on, status_reason, temporal_status, governed, initiator, trigger, parent_run_id, root_run_id, reference, tags, tools, note, subject, input,
        result, error, created_at, started_at, closed_at, current_step, asked, step_count, steps_done, steps_failed, approvals_pending, updated_at)
    SELECT m.run_id, 'default', CASE WHEN m.trigger = 'external' THEN 'orders/' || m.i ELSE m.run_id END, m.execution_id, m.execution_id,
        m.workflow, 'a1b2c3d4', 'bench.a1b2c3d4', 'queue-' || right(m.workflow, 1), m.status, m.waiting_on,
        CASE WHEN m.status = 'failed' THEN 'post_reply: Upstream: the mail service answered 503' END,
        CASE WHEN m.open THEN 'running' WHEN m.status = 'cancelled' THEN 'canceled' ELSE m.status END, m.trigger <> 'external',
        m.initiator, m.trigger, p.run_id, p.run_id, CASE WHEN m.dice < 0.7 THEN 'ORD-' || lpad((m.i * 7919 % 1000003)::text, 7, '0') END,
        ARRAY['env:' || CASE WHEN m.dice < 0.8 THEN 'prod' ELSE 'staging' END, 'team:' || m.i % 10]
            || CASE WHEN m.i % 200 = 0 THEN ARRAY['vip'] ELSE '{}' END
            || CASE WHEN m.age > 20 * 86400 AND m.i % 3 = 0 THEN ARRAY['legacy'] ELSE '{}' END,
        ARRAY['fetch_ticket', 'tool-' || m.i % 17]
            || CASE WHEN m.dice < 0.4 THEN ARRAY['post_reply'] ELSE '{}' END
            || CASE WHEN m.i % 1000 = 0 THEN ARRAY['purge_account'] ELSE '{}' END,
        CASE WHEN m.dice < 0.2 THEN 'Asked for by ' || m.initiator || ' after the call about case ' || (m.i * 31 % 65521)
            || CASE WHEN m.age > 20 * 86400 THEN '; migrated from the former system' ELSE '' END END,
        CASE WHEN m.dice < 0.6 THEN 'Ticket T-' || m.i END,
        json_build_object('size', 240, 'value', json_build_object('ticket_id', 'T-' || m.i, 'body', repeat('please look into this. ', 10))),
        CASE WHEN m.status = 'completed' THEN json_build_object('size', 90, 'value', json_build_object('answer', repeat('done. ', 12))) END,
        CASE WHEN m.status = 'failed' THEN json_build_object('type', 'Upstream', 'message', 'the mail service answered 503') END,
        m.at, m.at, CASE WHEN NOT m.open THEN m.at + m.dice * interval '2 hours' END, CASE WHEN m.open THEN 'Post reply' END,
        CASE WHEN m.waiting_on = 'approval' THEN 'Send a reply on ticket T-' || m.i END,
        10, CASE WHEN m.open THEN 9 ELSE 10 END, (m.status = 'failed')::int, (coalesce(m.waiting_on, '') = 'approval')::int, m.at
    FROM made AS m LEFT JOIN made AS p ON m.trigger = 'child' AND p.i = m.i - m.i % 50 ORDER BY m.i
    """,
    """
    INSERT INTO executions (execution_id, run_id, namespace, workflow_id, first_execution_id, workflow, task_queue, kind, status, build,
        started_at, closed_at, last_event_id, fold_version, fold_state, last_event_at, live_problem)
    SELECT execution_id, run_id, 'default', run_id, execution_id, workflow, 'queue-' || right(workflow, 1), 'first',
        CASE WHEN open THEN 'running' WHEN status = 'cancelled' THEN 'canceled' ELSE status END, 'bench.a1b2c3d4', at,
        CASE WHEN NOT open THEN at + dice * interval '2 hours' END, 61, 1,
        json_build_object('task_completed', '59', 'step_count', 10, 'seen', repeat('x', 300)), at + interval '1 hour',
        CASE WHEN status = 'running' AND i % 500 = 7 THEN 'the workflow task fails: KeyError' END
    FROM made ORDER BY i
    """,
    """
    INSERT INTO steps (execution_id, event_id, run_id, kind, name, title, status, attempts, activity_id, task_queue, worker, call_key,
        governed, scheduled_at, started_at, closed_at, closed_event_id, input, output, usage)
    SELECT m.execution_id, 5 + 6 * n, m.run_id, kind,
        CASE kind WHEN 'tool' THEN CASE WHEN n = 1 THEN 'fetch_ticket' ELSE 'tool-' || m.i % 17 END
                  WHEN 'approval' THEN 'Send reply' WHEN 'timer' THEN 'cool down'
                  ELSE CASE WHEN m.i % 400 = 0 THEN 'auditor' ELSE 'agent-' || m.i % 4 END END,
        'A step', CASE WHEN n < $1 OR NOT m.open THEN 'completed' WHEN m.waiting_on IS NULL THEN 'running' ELSE 'waiting' END, 1, n::text,
        'queue', 'worker@bench', gen_random_uuid()::text, true, m.at + n * interval '1 minute', m.at + n * interval '1 minute',
        CASE WHEN n < $1 OR NOT m.open THEN m.at + n * interval '1 minute' + interval '3 seconds' END, 10 + 6 * n,
        json_build_object('size', 120, 'value', json_build_object('ticket_id', 'T-' || m.i, 'body', repeat('text ', 20))),
        json_build_object('size', 80, 'value', repeat('result ', 10)),
        CASE WHEN kind IN ('agent', 'model') THEN json_build_object('requests', 1, 'input_tokens', 900 + m.i % 100, 'cached_tokens', 0,
            'output_tokens', 80, 'unpriced', (m.i % 50 = 0)::int, 'usd', CASE WHEN m.i % 50 <> 0 THEN 0.0012 END) END
    FROM made AS m CROSS JOIN generate_series(1, $1) AS n
    CROSS JOIN LATERAL (SELECT CASE WHEN n = 2 THEN 'agent' WHEN n = 3 THEN 'model' WHEN n = 7 THEN 'timer'
                               WHEN n = 10 AND m.i % 5 = 0 THEN 'approval' ELSE 'tool' END AS kind) AS k
    ORDER BY m.i, n
    """,
    """
    INSERT INTO approvals (execution_id, approval_id, run_id, step_event_id, opened_event_id, kind, title, asked, tool, agent, digest, policy, approvers,
        initiator, terms, payload, status, decidable, opened_at, expires_at, closed_at, decided_by, tool_version, risk, shape, arguments)
    SELECT execution_id, run_id || ':1', run_id, 65, 67, 'tool', 'Send reply', 'Send a reply on ticket T-' || i,
        CASE WHEN i % 300 = 0 THEN 'purge_account' ELSE 'post_reply' END,
        CASE WHEN i % 400 = 0 THEN 'auditor' WHEN i % 4 < 3 THEN 'agent-' || i % 4 END, md5(run_id), 'default:destructive@1',
        CASE i % 4 WHEN 0 THEN ARRAY['role:approver'] WHEN 1 THEN ARRAY['support-leads'] ELSE ARRAY['sales-leads', 'team-' || i % 7] END,
        initiator, json_build_object('approval_id', run_id || ':1', 'kind', 'tool', 'title', 'Send reply', 'namespace', 'default',
            'workflow_id', run_id, 'execution_id', execution_id, 'digest', md5(run_id), 'tool', 'post_reply', 'tool_version', 'a1b2c3d4',
            'key', md5(execution_id), 'approvers', ARRAY['role:approver'], 'initiator', initiator, 'policy', 'default:destructive@1',
            'keys', json_build_object('k1', 'public'), 'reason', repeat('because ', 20)),
        json_build_object('size', 240, 'value', repeat('a draft. ', 25)),
        CASE WHEN waiting_on = 'approval' THEN 'pending' WHEN i % 10 = 0 THEN 'rejected' WHEN i % 50 = 5 THEN 'expired' ELSE 'approved' END,
        coalesce(waiting_on, '') = 'approval', at + interval '10 minutes', at + interval '4 hours',
        CASE WHEN waiting_on IS NULL THEN at + interval '30 minutes' END, CASE WHEN waiting_on IS NULL THEN 'reviewer' END,
        'a1b2c3d4', (ARRAY['destructive', 'write', 'read', NULL])[1 + i % 4], 'shape-' || i % 9, json_build_object('ticket_id', 'T-' || i)
    FROM made WHERE waiting_on = 'approval' OR i % 5 = 0 AND NOT open ORDER BY i
    """,
    """
    INSERT INTO decisions (execution_id, event_id, run_id, approval_id, judged, verdict, principal, signalled_at, command_id)
    SELECT execution_id, 70, run_id, run_id || ':1', 'counted', CASE WHEN i % 10 = 0 THEN 'rejected' ELSE 'approved' END, 'reviewer',
        at + interval '30 minutes', gen_random_uuid()::text
    FROM made WHERE i % 5 = 0 AND NOT open ORDER BY i
    """,
    """
    INSERT INTO commands (command_id, kind, status, principal, key_id, run_id, route, body, created_at, delivered_at, settled_at)
    SELECT uuidv7(-(age * interval '1 second'))::text, 'run.start', 'applied', initiator, 'k1', run_id,
        'POST /api/v1/workflows/' || workflow || '/runs', json_build_object('input', repeat('please look into this. ', 10)), at, at, at
    FROM made WHERE trigger = 'api' ORDER BY i
    """,
    """
    INSERT INTO commands (command_id, kind, status, principal, key_id, run_id, approval_id, route, body, created_at, delivered_at, settled_at)
    SELECT uuidv7(-(age * interval '1 second'))::text, CASE WHEN i % 1000 = 0 THEN 'run.terminate' ELSE 'approval.decide' END,
        CASE WHEN i % 35 = 0 THEN 'refused' WHEN i % 50 = 0 THEN 'superseded' ELSE 'applied' END, 'reviewer', 'k2', run_id, run_id || ':1',
        'POST /api/v1/approvals/x/decisions', '{"verdict": "approved"}', at + interval '30 minutes', at, at
    FROM made WHERE i % 5 = 0 AND NOT open ORDER BY i
    """,
    """
    INSERT INTO jobs (job_id, started_at, execution_id, workflow_id, activity_id, activity_type, attempt, worker, task_queue, status, finished_at)
    SELECT m.execution_id || '/' || n || '/1', m.at + n * interval '1 minute', m.execution_id, m.run_id, n::text, 'tool-' || m.i % 17, 1,
        'worker@bench', 'queue', 'completed', m.at + n * interval '1 minute' + interval '3 seconds'
    FROM made AS m CROSS JOIN generate_series(1, 6) AS n ORDER BY m.i, n
    """,
    """
    INSERT INTO logs (logged_at, execution_id, workflow_id, activity_id, attempt, level, logger, message, worker, task_queue)
    SELECT m.at + n * interval '1 minute', m.execution_id, m.run_id, n::text, 1, CASE WHEN n = 4 THEN 'warning' ELSE 'info' END, 'tools',
        'looked up ticket ' || m.i || ' and found what was needed', 'worker@bench', 'queue'
    FROM made AS m CROSS JOIN generate_series(1, 5) AS n ORDER BY m.i, n
    """,
    """
    INSERT INTO events (run_id, kind, subject, data, created_at)
    SELECT run_id, CASE WHEN n = 5 THEN 'run' ELSE 'step' END, execution_id || ':' || n, '{"status": "completed"}', at
    FROM made CROSS JOIN generate_series(1, 5) AS n WHERE age < 7 * 86400 ORDER BY i, n
    """,
    # The long run is the newest of its workflow.
    """
    INSERT INTO steps (execution_id, event_id, run_id, kind, name, status, attempts, activity_id, task_queue, scheduled_at, closed_at)
    SELECT m.execution_id, 100 + 6 * n, m.run_id, 'tool', 'fetch_ticket', 'completed', 1, n::text, 'queue', m.at + n * interval '1 second', m.at
    FROM (SELECT * FROM made WHERE workflow = 'workflow-0' ORDER BY i DESC LIMIT 1) AS m CROSS JOIN generate_series(11, $1) AS n
    """,
    """
    INSERT INTO jobs (job_id, started_at, execution_id, workflow_id, activity_id, activity_type, attempt, worker, task_queue, status)
    SELECT m.execution_id || '/' || n || '/1', m.at + n * interval '1 second', m.execution_id, m.run_id, n::text, 'fetch_ticket', 1,
        'worker@bench', 'queue', 'completed'
    FROM (SELECT * FROM made WHERE workflow = 'workflow-0' ORDER BY i DESC LIMIT 1) AS m CROSS JOIN generate_series(11, $1) AS n
    """,
    """
    INSERT INTO logs (logged_at, execution_id, workflow_id, activity_id, attempt, level, logger, message, worker, task_queue)
    SELECT m.at + n * interval '1 second', m.execution_id, m.run_id, n::text, 1, 'info', 'tools', 'line ' || n, 'worker@bench', 'queue'
    FROM (SELECT * FROM made WHERE workflow = 'workflow-0' ORDER BY i DESC LIMIT 1) AS m CROSS JOIN generate_series(11, $1) AS n
    """,
    """
    INSERT INTO workflows (name, version, title, tags, task_queue, grid)
    SELECT 'workflow-' || n, 'a1b2c3d4', 'Workflow ' || n, ARRAY['bench'], 'queue-' || n % 10, 'bench' FROM generate_series(0, 39) AS n
    """,
    """
    INSERT INTO workflow_versions (name, version, input_schema, build)
    SELECT 'workflow-' || n, 'a1b2c3d4', '{"type": "object"}', 'bench.a1b2c3d4' FROM generate_series(0, 39) AS n
    """,
    """
    INSERT INTO tools (name, version, title, risk, tags, input_schema, timeout_seconds, retries, task_queue, grid)
    SELECT 'tool-' || n, 'a1b2c3d4', 'Tool ' || n, 'write', ARRAY['bench'], '{"type": "object"}', 10, 3, 'queue', 'bench'
    FROM generate_series(0, 99) AS n
    """,
    """
    INSERT INTO agents (name, version, title, timeout_seconds, retries, task_queue, grid)
    SELECT CASE n WHEN 4 THEN 'auditor' ELSE 'agent-' || n END, 'a1b2c3d4', 'Agent ' || n, 60, 3, 'queue', 'bench' FROM generate_series(0, 39) AS n
    """,
    # One agent has been edited many times, and each edit was activated.
    """
    INSERT INTO agent_versions (agent, version, source, made_for, models, instructions, tools, limits)
    SELECT name, 'a1b2c3d4', 'code', 'a1b2c3d4', ARRAY['openai:gpt-5-mini'], repeat('Be helpful. ', 100), ARRAY['tool-1', 'tool-2'],
        '{"requests": 10}'::json FROM agents
    UNION ALL
    SELECT 'agent-1', 'edit-' || n, 'operator', 'a1b2c3d4', ARRAY['openai:gpt-5-mini'], repeat('Be brief. ', 100), ARRAY['tool-1'],
        '{"requests": 10}'::json FROM generate_series(1, 200) AS n
    """,
    """
    INSERT INTO agent_choices (agent, number, version, created_by)
    SELECT 'agent-1', n, 'edit-' || n, 'operator' FROM generate_series(1, 200) AS n
    """,
    "INSERT INTO projector_state (name, value) VALUES ('lag', '{\"lag_seconds\": 0.1, \"calls\": {}}')",
)

PARTITIONS = """
DO $$
DECLARE day date; parent text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['jobs', 'logs'] LOOP
        FOR day IN SELECT generate_series(current_date - 31, current_date - 1, interval '1 day')::date LOOP
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', parent || '_' || to_char(day, 'YYYYMMDD'), parent,
                day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        END LOOP;
    END LOOP;
END
$$
"""


async def fill(dsn: str, runs: int) -> None:
    """Fill a migrated, empty database with this many runs, and update the planner's statistics as autovacuum would."""
    connection = await asyncpg.connect(
        dsn, server_settings={"synchronous_commit": "off", "timezone": "UTC", "work_mem": "256MB"}
    )
    try:
        await connection.execute(PARTITIONS)
        await connection.execute("SELECT setseed(0.5)")
        await connection.execute(MADE.replace("$1", str(runs)).replace("$2", str(DAYS * 86_400)).replace("$3", NOON))
        await connection.execute("CREATE UNIQUE INDEX ON made (i); ANALYZE made")
        for statement in ROWS:
            await connection.execute(statement.replace("$1", str(LONG if "generate_series(11" in statement else STEPS)))
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
