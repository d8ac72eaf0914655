"""A hostile worker's login (R35) can report on its own queues, and nothing else.

Each attack uses a real login over a real connection, like a process that runs a project's code.
"""

from __future__ import annotations

import json
import uuid

import asyncpg
import pytest

from agentgrid.db import logins, migrate
from agentgrid.db.away import DATABASE_FAULTS
from tests.conftest import control_login, worker_login
from tests.security.reporting import (
    CATALOG,
    MINE,
    TELEMETRY,
    TOUCH,
    admin,
    document,
    hostile,
    job,
    line,
)

__all__ = ["admin", "hostile"]

TABLE_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
SEQUENCE_PRIVILEGES = ("USAGE", "SELECT", "UPDATE")
SHADOWS = (
    "touches",
    "run_changes",
    "worker_logins",
    "worker_budgets",
    "executions",
    "runs",
    "jobs",
    "logs",
    "tools",
    "workflows",
    "delta_channels",
)


async def test_r35_a_temporary_table_can_not_shadow_one_of_ours(empty_database: str, postgres_dsn: str) -> None:
    """Regression: a trigger on a temporary `run_changes` ran as the schema's owner, and created an approver (CVE-2018-1058)."""
    await migrate.upgrade(empty_database)
    strict = await asyncpg.connect(await worker_login(empty_database))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await strict.execute("CREATE TEMPORARY TABLE run_changes (execution_id text)")
    await strict.close()
    # A copied database lacks this revocation, and an owner may have undone it: the functions must be safe on their own.
    admin = await asyncpg.connect(postgres_dsn)
    login = await worker_login(postgres_dsn)
    await admin.execute(f"GRANT TEMPORARY ON DATABASE {await admin.fetchval('SELECT current_database()')} TO PUBLIC")
    lax = await asyncpg.connect(login)
    await lax.execute(
        "CREATE FUNCTION pg_temp.steal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO public.principals (name, kind, roles) VALUES ('thief', 'human', '{approver}'); RETURN NEW; END $$"
    )
    for name in SHADOWS:
        columns = await admin.fetch(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type FROM pg_attribute AS a "
            "WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped",
            name,
        )
        shape = ", ".join(f'"{column["attname"]}" {column["type"]}' for column in columns)
        await lax.execute(f"CREATE TEMPORARY TABLE {name} ({shape})")
        await lax.execute(
            f"CREATE TRIGGER steal BEFORE INSERT OR UPDATE ON pg_temp.{name} FOR EACH ROW EXECUTE FUNCTION pg_temp.steal()"
        )
    execution = str(uuid.uuid4())
    await lax.execute(TOUCH, [execution], ["w"], [1])
    await lax.execute(TELEMETRY, json.dumps([job(execution, "q")]), json.dumps([line(execution, "q")]))
    await lax.execute(CATALOG, document())
    assert await admin.fetchval("SELECT count(*) FROM principals") == 0
    assert await admin.fetchval("SELECT count(*) FROM public.touches") == 1
    assert await admin.fetchval("SELECT count(*) FROM public.jobs") == 1
    await lax.close()
    await admin.close()


async def test_r35_a_workers_login_reads_only_the_policy_and_calls_five_functions(
    hostile: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    relations = await admin.fetch(
        "SELECT c.oid::regclass::text AS name, relkind = 'S' AS sequence FROM pg_class AS c "
        "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'S', 'v')"
    )
    assert len(relations) > 30
    for name, sequence in relations:
        kind = "sequence" if sequence else "table"
        for privilege in SEQUENCE_PRIVILEGES if sequence else TABLE_PRIVILEGES:
            granted = await hostile.fetchval(f"SELECT has_{kind}_privilege($1, $2)", name, privilege)
            assert granted == ((name, privilege) == ("policy_snapshots", "SELECT")), (name, privilege)
    callable_now = await hostile.fetch(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef "
        "AND has_function_privilege(oid, 'EXECUTE') ORDER BY 1"
    )
    assert [row["proname"] for row in callable_now] == [
        "agentgrid_catalog",
        "agentgrid_delta",
        "agentgrid_mcp_servers",
        "agentgrid_telemetry",
        "agentgrid_touch",
    ]
    for attempt in (
        "SELECT * FROM principals",
        "SELECT * FROM worker_logins",
        "UPDATE worker_logins SET grid = '*'",
        "INSERT INTO policy_snapshots (document) VALUES ('{}')",
        "CREATE TABLE mine (x integer)",
        "CREATE ROLE more LOGIN",
        "SET ROLE agentgrid_reports",
        "SET SESSION AUTHORIZATION agentgrid",
        "GRANT agentgrid_control TO agentgrid_worker",
        "SELECT lo_create(0)",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY policy_snapshots TO PROGRAM 'true'",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await hostile.execute(attempt)


async def test_r35_every_security_definer_function_sets_its_search_path(admin: asyncpg.Connection) -> None:
    functions = await admin.fetch(
        "SELECT proname, proconfig, prosecdef, proowner::regrole::text AS owner FROM pg_proc "
        "WHERE pronamespace = 'public'::regnamespace AND (prosecdef OR prorettype = 'trigger'::regtype)"
    )
    assert len(functions) >= 9
    for function in functions:
        paths = [setting for setting in function["proconfig"] or () if setting.startswith("search_path=")]
        assert paths == ["search_path=pg_catalog, public, pg_temp"], function["proname"]
    reachable = {
        f"agentgrid_{name}" for name in ("touch", "telemetry", "catalog", "mcp_servers", "delta", "login", "spend")
    }
    assert {function["owner"] for function in functions if function["proname"] in reachable} == {"agentgrid_reports"}
    rights = await admin.fetchrow(
        "SELECT rolsuper, rolcanlogin, rolcreaterole FROM pg_roles WHERE rolname = 'agentgrid_reports'"
    )
    assert not any(rights.values())


async def test_r35_an_unbound_login_is_refused_and_the_error_says_what_to_do(
    admin: asyncpg.Connection, postgres_dsn: str
) -> None:
    name = f"loose_{uuid.uuid4().hex[:12]}"
    await logins.put_role(admin, name, password="for-this-test")
    await admin.execute(f"GRANT agentgrid_worker TO {name}")
    loose = await asyncpg.connect(f"postgresql://{name}:for-this-test@{postgres_dsn.rsplit('@', 1)[1]}")
    with pytest.raises(
        asyncpg.InsufficientPrivilegeError, match="not bound to a grid; bind it with `agentgrid db worker-login`"
    ):
        await loose.execute(TOUCH, [str(uuid.uuid4())], ["w"], [1])
    await loose.close()


async def test_r35_a_closed_login_loses_its_sessions_and_can_not_connect(
    admin: asyncpg.Connection, postgres_dsn: str
) -> None:
    dsn = await worker_login(postgres_dsn, name=f"leaver_{uuid.uuid4().hex[:12]}")
    leaver = await asyncpg.connect(dsn)
    await logins.close_worker(admin, dsn.split("//")[1].split(":")[0])
    with pytest.raises(DATABASE_FAULTS):
        await leaver.execute(TOUCH, [str(uuid.uuid4())], ["w"], [1])
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await asyncpg.connect(dsn)


async def test_r35_the_control_planes_login_owns_nothing_and_can_not_bind_logins(postgres_dsn: str) -> None:
    """An attacker in the API can write rows, but can't change the schema, its functions or the workers' logins."""
    control = await asyncpg.connect(await control_login(postgres_dsn))
    for attempt in (
        "CREATE TABLE mine (x integer)",
        "ALTER TABLE runs ADD COLUMN mine text",
        "DROP TABLE runs",
        "CREATE ROLE more LOGIN",
        "INSERT INTO worker_logins (login, grid, queues, rate) VALUES ('x', '*', '{*}', 1)",
        "UPDATE alembic_version SET version_num = '0001'",
        "TRUNCATE commands",
        "GRANT agentgrid_control TO agentgrid_worker",
        "CREATE OR REPLACE FUNCTION agentgrid_login() RETURNS worker_logins LANGUAGE sql AS 'SELECT NULL::worker_logins'",
        "SET ROLE agentgrid_reports",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await control.execute(attempt)
    await control.execute("SELECT agentgrid_ensure_partitions(3)")
    assert await control.fetch("SELECT agentgrid_drop_partitions(30)") == []
    await control.close()


async def test_r35_a_worker_with_a_signing_keys_application_name_does_not_keep_the_key_in_use(
    admin: asyncpg.Connection, postgres_dsn: str
) -> None:
    from agentgrid.db import signing_keys
    from agentgrid.db.session import make_engine, reading

    hostile = await asyncpg.connect(await worker_login(postgres_dsn))
    honest = await asyncpg.connect(await control_login(postgres_dsn))
    await signing_keys.announce(hostile, "a" * 16)
    await signing_keys.announce(honest, "b" * 16)
    engine = make_engine(postgres_dsn, pool_size=1)
    async with reading(engine) as session:
        assert await signing_keys.in_use(session, ["a" * 16, "b" * 16]) == {"b" * 16}
    await engine.dispose()
    await hostile.close()
    await honest.close()


async def test_a_login_with_more_rights_can_not_become_a_workers(admin: asyncpg.Connection) -> None:
    from agentgrid.errors import Conflict, InvalidInput

    strong = f"strong_{uuid.uuid4().hex[:12]}"
    await logins.put_control(admin, strong, password="for-this-test")
    binding = logins.Binding(grid=MINE, queues=(MINE,))
    with pytest.raises(Conflict, match="more rights"):
        await logins.put_worker(admin, strong, binding, password="for-this-test")
    for name in ("agentgrid_worker", "Upper", "pg_x", "a; DROP TABLE runs", ""):
        with pytest.raises(InvalidInput):
            await logins.put_worker(admin, name, binding, password="for-this-test")
    with pytest.raises(InvalidInput):
        await logins.put_worker(admin, "fine", logins.Binding(grid=" ", queues=()), password="for-this-test")
