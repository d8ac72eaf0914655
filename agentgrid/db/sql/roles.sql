-- The roles that every installation on this server shares. Roles belong to the whole server, so another database may have made them.
--   agentgrid_worker:  what a worker's login is a member of. It may read the policy and call three functions.
--   agentgrid_control: what the login of the API and the projector is a member of. It reads and writes rows, and changes no table.
--   agentgrid_reports: owns the workers' three functions, and may touch no table but those that they write. Nobody logs in as it.
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['agentgrid_worker', 'agentgrid_control', 'agentgrid_reports'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
    -- Who migrates hands the functions over, and may run an API itself. A superuser may do both anyway.
    FOREACH v_role IN ARRAY ARRAY['agentgrid_control', 'agentgrid_reports'] LOOP
        IF NOT pg_has_role(current_user, v_role, 'USAGE') THEN
            EXECUTE format('GRANT %I TO %I', v_role, current_user);
        END IF;
    END LOOP;
END
$$;
