-- The roles shared by all installations on this server. Roles are server-wide, so another database may have created them already.
--   agentgrid_worker:  group of the worker logins. Reads the policy and calls the workers' functions.
--   agentgrid_control: group of the API's and the projector's logins. Reads and writes rows, but can't change tables.
--   agentgrid_reports: owns the workers' functions, with access only to the tables that they use. It can't log in.
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
    -- The migrating login transfers ownership of the functions, and may also run an API. A superuser needs no grant for either.
    FOREACH v_role IN ARRAY ARRAY['agentgrid_control', 'agentgrid_reports'] LOOP
        IF NOT pg_has_role(current_user, v_role, 'USAGE') THEN
            EXECUTE format('GRANT %I TO %I', v_role, current_user);
        END IF;
    END LOOP;
END
$$;
