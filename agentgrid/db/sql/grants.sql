-- All grants in this database, applied after each migration. `docs/security.md` explains them.

-- Revoke PostgreSQL's default rights: creating tables, temporary ones (which could shadow ours) and large objects.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
DO $$
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END
$$;
DO $$
BEGIN
    REVOKE EXECUTE ON FUNCTION pg_catalog.lo_create(oid), pg_catalog.lo_creat(integer), pg_catalog.lo_from_bytea(oid, bytea) FROM PUBLIC;
EXCEPTION WHEN insufficient_privilege THEN
    NULL; -- requires a superuser; without it, a worker's login can fill the disk with large objects
END
$$;

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, agentgrid_worker, agentgrid_control, agentgrid_reports;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, agentgrid_worker, agentgrid_control, agentgrid_reports;

GRANT USAGE ON SCHEMA public TO agentgrid_worker, agentgrid_control, agentgrid_reports;

-- The API and the projector: rows, not tables. Only the owner can bind worker logins.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO agentgrid_control;
REVOKE INSERT, UPDATE, DELETE ON worker_logins, locks, delta_channels, alembic_version FROM agentgrid_control;
REVOKE DELETE ON commands, principals, sessions, policies, switches, signing_keys FROM agentgrid_control; -- records are kept
REVOKE UPDATE, DELETE ON policy_snapshots, agent_versions, agent_choices FROM agentgrid_control; -- and these never change
GRANT UPDATE ON locks TO agentgrid_control; -- required to lock a row
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO agentgrid_control;

-- Workers.
GRANT SELECT ON policy_snapshots TO agentgrid_worker;

-- Limits what the workers' functions can access, even if one has a security hole.
GRANT SELECT ON worker_logins, executions, runs, steps, delta_channels TO agentgrid_reports;
GRANT INSERT ON touches, logs TO agentgrid_reports;
GRANT SELECT, INSERT, UPDATE ON worker_budgets, jobs, workflows, workflow_versions, workflow_builds, tools, agents, mcp_servers
    TO agentgrid_reports;
GRANT SELECT, INSERT ON agent_versions, tool_versions TO agentgrid_reports;
GRANT DELETE ON mcp_servers TO agentgrid_reports;
GRANT USAGE ON SEQUENCE touches_touch_id_seq, logs_log_id_seq TO agentgrid_reports;

REVOKE ALL ON FUNCTION agentgrid_login(), agentgrid_spend(worker_logins, integer, integer, integer, integer),
    agentgrid_touch(text, text[], text[], bigint[], boolean[]), agentgrid_telemetry(json, json), agentgrid_catalog(json), agentgrid_mcp_servers(json),
    agentgrid_delta(text, text, text, integer, integer, integer, text, text[]), agentgrid_ensure_partitions(integer), agentgrid_drop_partitions(integer), agentgrid_drop_snapshots(integer)
    FROM PUBLIC, agentgrid_worker;
GRANT EXECUTE ON FUNCTION agentgrid_touch(text, text[], text[], bigint[], boolean[]), agentgrid_telemetry(json, json),
    agentgrid_catalog(json), agentgrid_mcp_servers(json), agentgrid_delta(text, text, text, integer, integer, integer, text, text[])
    TO agentgrid_worker, agentgrid_control;
GRANT EXECUTE ON FUNCTION agentgrid_ensure_partitions(integer), agentgrid_drop_partitions(integer), agentgrid_drop_snapshots(integer)
    TO agentgrid_control;

-- The new owner of a function needs CREATE on its schema while ownership changes.
GRANT CREATE ON SCHEMA public TO agentgrid_reports;
ALTER FUNCTION agentgrid_login() OWNER TO agentgrid_reports;
ALTER FUNCTION agentgrid_spend(worker_logins, integer, integer, integer, integer) OWNER TO agentgrid_reports;
ALTER FUNCTION agentgrid_touch(text, text[], text[], bigint[], boolean[]) OWNER TO agentgrid_reports;
ALTER FUNCTION agentgrid_telemetry(json, json) OWNER TO agentgrid_reports;
ALTER FUNCTION agentgrid_catalog(json) OWNER TO agentgrid_reports;
ALTER FUNCTION agentgrid_mcp_servers(json) OWNER TO agentgrid_reports;
ALTER FUNCTION agentgrid_delta(text, text, text, integer, integer, integer, text, text[]) OWNER TO agentgrid_reports;
REVOKE CREATE ON SCHEMA public FROM agentgrid_reports;
