"""A hostile worker's login (R35): it can report about its own queues and do nothing else.

Each attack uses a real login over a real connection, like a process that runs a project's code.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from temporalio.client import Client

from agentgrid.db import locks, logins, migrate
from agentgrid.db.away import DATABASE_FAULTS
from agentgrid.projector import main as projector
from agentgrid.projector.store import Store
from agentgrid.settings import Settings
from agentgrid.worker import catalog
from tests.api import factories
from tests.api.conftest import Api, api, as_, eventually  # noqa: F401 (fixtures)
from tests.conftest import control_login, worker_login
from tests.projector.conftest import (  # noqa: F401 (fixtures)
    Tables,
    client,
    projecting,
    queue,
    settings,
    store,
    tables,
    unique,
)
from tests.projector.scenarios import Sequence

TOUCH = "SELECT agentgrid_touch('default', $1::text[], $2::text[], $3::bigint[], NULL)"
TELEMETRY = "SELECT agentgrid_telemetry($1::json, $2::json)"
CATALOG = "SELECT agentgrid_catalog($1::json)"
AGENT = {
    "name": "triager",
    "version": "v9",
    "title": "t",
    "models": [],
    "instructions": "obey",
    "tools": ["refund_ticket"],
    "output_schema": None,
    "limits": {},
    "timeout_seconds": 1,
    "retries": 1,
}
MINE = "mine"
THEIRS = "theirs"

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


@pytest.fixture
async def admin(postgres_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection, to see the outcome."""
    connection = await asyncpg.connect(postgres_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def hostile(postgres_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A session of a login bound to one grid and one queue."""
    connection = await asyncpg.connect(await worker_login(postgres_dsn, grid=MINE, queues=(MINE,), rate=1_000))
    yield connection
    connection.terminate()


async def refused_of(admin: asyncpg.Connection) -> dict[str, int]:
    """The refused reports of all logins so far."""
    (found,) = [dict(row) for row in await admin.fetch("SELECT dropped, bad, unattributed FROM worker_budgets")]
    return found


def document(grid: str = MINE, task_queue: str = MINE, **over: Any) -> str:
    workflow = {
        "name": "support_triage",
        "version": "v9",
        "title": "t",
        "tags": [],
        "input_schema": {},
        "output_schema": None,
    }
    tool = {
        "name": "refund_ticket",
        "version": "v9",
        "title": "t",
        "risk": "read",
        "tags": [],
        "input_schema": {},
        "output_schema": None,
        "timeout_seconds": 1,
        "retries": 1,
        "local": False,
        "idempotent": False,
    }
    return json.dumps(
        {
            "grid": grid,
            "build": "b9",
            "task_queue": task_queue,
            "workflows": [workflow],
            "tools": [tool],
            "agents": [AGENT],
            **over,
        }
    )


def job(execution_id: str, task_queue: str, **over: Any) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat()
    return {
        "job_id": f"{execution_id}/1/1",
        "started_at": at,
        "execution_id": execution_id,
        "workflow_id": "w",
        "activity_id": "1",
        "activity_type": "tool.post_reply",
        "attempt": 1,
        "local": False,
        "call_key": None,
        "worker": "forged",
        "task_queue": task_queue,
        "status": "completed",
        "finished_at": at,
        "error": None,
    } | over


def line(execution_id: str, task_queue: str, **over: Any) -> dict[str, Any]:
    return {
        "logged_at": datetime.now(UTC).isoformat(),
        "execution_id": execution_id,
        "workflow_id": "w",
        "activity_id": None,
        "attempt": None,
        "level": "info",
        "logger": "forged",
        "message": "forged",
        "fields": None,
        "worker": "forged",
        "task_queue": task_queue,
    } | over


async def test_r35_a_temporary_table_can_not_shadow_one_of_ours(empty_database: str, postgres_dsn: str) -> None:
    """Seen: a trigger on a temporary `run_changes` ran as the schema's owner, and made an approver (CVE-2018-1058)."""
    await migrate.upgrade(empty_database)
    strict = await asyncpg.connect(await worker_login(empty_database))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await strict.execute("CREATE TEMPORARY TABLE run_changes (execution_id text)")
    await strict.close()
    # A copied database lacks this revocation, and an owner may have undone it: the functions must be safe by themselves.
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


async def test_r35_a_workers_login_reads_only_the_policy_and_calls_four_functions(
    hostile: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    found = await admin.fetch(
        "SELECT c.oid::regclass::text AS name, relkind = 'S' AS sequence FROM pg_class AS c "
        "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'S', 'v')"
    )
    assert len(found) > 30
    for name, sequence in found:
        kind = "sequence" if sequence else "table"
        for privilege in SEQUENCE_PRIVILEGES if sequence else TABLE_PRIVILEGES:
            held = await hostile.fetchval(f"SELECT has_{kind}_privilege($1, $2)", name, privilege)
            assert held == ((name, privilege) == ("policy_snapshots", "SELECT")), (name, privilege)
    callable_now = await hostile.fetch(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef "
        "AND has_function_privilege(oid, 'EXECUTE') ORDER BY 1"
    )
    assert [row["proname"] for row in callable_now] == [
        "agentgrid_catalog",
        "agentgrid_delta",
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
    found = await admin.fetch(
        "SELECT proname, proconfig, prosecdef, proowner::regrole::text AS owner FROM pg_proc "
        "WHERE pronamespace = 'public'::regnamespace AND (prosecdef OR prorettype = 'trigger'::regtype)"
    )
    assert len(found) >= 9
    for function in found:
        paths = [setting for setting in function["proconfig"] or () if setting.startswith("search_path=")]
        assert paths == ["search_path=pg_catalog, public, pg_temp"], function["proname"]
    reachable = {f"agentgrid_{name}" for name in ("touch", "telemetry", "catalog", "delta", "login", "spend")}
    assert {function["owner"] for function in found if function["proname"] in reachable} == {"agentgrid_reports"}
    rights = await admin.fetchrow(
        "SELECT rolsuper, rolcanlogin, rolcreaterole FROM pg_roles WHERE rolname = 'agentgrid_reports'"
    )
    assert not any(rights.values())


async def test_r35_an_unbound_login_is_refused_and_told_what_to_do(
    admin: asyncpg.Connection, postgres_dsn: str
) -> None:
    name = f"loose_{uuid.uuid4().hex[:12]}"
    await logins.put_role(admin, name, password="for-this-test")
    await admin.execute(f"GRANT agentgrid_worker TO {name}")
    loose = await asyncpg.connect(f"postgresql://{name}:for-this-test@{postgres_dsn.rsplit('@', 1)[1]}")
    with pytest.raises(
        asyncpg.InsufficientPrivilegeError, match="bound to no grid; bind it with `agentgrid db worker-login`"
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


async def test_r35_a_grid_registers_only_its_own_names_on_its_own_queues(
    hostile: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    """Seen: another grid's login moved `support_triage` to its queue, dropped its schema, and set the risk of `refund_ticket` to read."""
    await admin.execute(CATALOG, document(THEIRS, THEIRS, build="b1"))
    catalog = ("workflows", "tools", "agents", "agent_versions")
    before = [dict(row) for name in catalog for row in await admin.fetch(f"SELECT * FROM {name}")]
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="registers the grid 'mine', not 'theirs'"):
        await hostile.execute(CATALOG, document(THEIRS, MINE))
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="does not serve the task queue 'theirs'"):
        await hostile.execute(CATALOG, document(MINE, THEIRS))
    with pytest.raises(asyncpg.UniqueViolationError, match="names that another one has: workflow 'support_triage'"):
        await hostile.execute(CATALOG, document())
    with pytest.raises(asyncpg.UniqueViolationError, match="names that another one has: agent 'triager'"):
        await hostile.execute(CATALOG, document(workflows=[], tools=[]))
    assert [dict(row) for name in catalog for row in await admin.fetch(f"SELECT * FROM {name}")] == before
    assert await admin.fetchval("SELECT count(*) FROM workflow_builds WHERE build = 'b9'") == 0
    assert await logins.move_grid(admin, THEIRS, MINE) == 3
    await hostile.execute(CATALOG, document())
    assert await admin.fetchval("SELECT version FROM workflows") == "v9"


async def test_r35_a_worker_changes_no_version_of_an_agent_and_makes_none_that_looks_like_an_operators(
    hostile: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    """An operator's version is chosen by its name: a worker that could write one would give instructions in the operator's name."""
    await hostile.execute(CATALOG, document())
    await hostile.execute(CATALOG, document(agents=[{**AGENT, "instructions": "disobey"}]))
    assert await admin.fetchval("SELECT instructions FROM agent_versions") == "obey"
    with pytest.raises(asyncpg.CheckViolationError, match="ck_agent_versions_named"):
        await hostile.execute(CATALOG, document(agents=[{**AGENT, "version": "edit-1"}]))
    assert await admin.fetchval("SELECT count(*) FROM agent_versions") == 1


async def test_r35_reports_about_other_queues_are_counted_and_not_shown(
    api: Api,  # noqa: F811
    as_: Callable[[str], httpx.AsyncClient],  # noqa: F811
    module_postgres_dsn: str,
) -> None:
    run = factories.run(task_queue=THEIRS)
    step = factories.step(run, 5, activity_id="5", task_queue="their-activities")
    await factories.insert(api.plane.engine, run, factories.execution(run), step)
    execution = run.execution_id or ""
    hostile = await asyncpg.connect(await worker_login(module_postgres_dsn, grid=MINE, queues=(MINE,)))
    honest = await asyncpg.connect(
        await worker_login(module_postgres_dsn, grid="x", queues=(THEIRS, "their-activities"))
    )
    real = job(execution, THEIRS, status="running", finished_at=None, worker="honest")
    await honest.execute(TELEMETRY, json.dumps([real]), json.dumps([line(execution, THEIRS, message="honest")]))
    for task_queue in (THEIRS, MINE):  # a foreign queue, and its own queue, for another grid's run
        ended = {
            **real,
            "task_queue": task_queue,
            "status": "failed",
            "finished_at": real["started_at"],
            "worker": "forged",
        }
        await hostile.execute(TELEMETRY, json.dumps([ended]), json.dumps([line(execution, task_queue)]))
    other = job(execution, "their-activities", activity_id="5", job_id=f"{execution}/5/1", worker="honest")
    await honest.execute(TELEMETRY, json.dumps([other]), "[]")
    place = f"/api/v1/runs/{run.run_id}"
    jobs = (await as_("operator").get(f"{place}/jobs")).json()["items"]
    assert [(each["worker"], each["status"]) for each in jobs] == [("honest", "running"), ("honest", "completed")]
    logs = (await as_("operator").get(f"{place}/logs")).json()["items"]
    assert [each["message"] for each in logs] == ["honest"]
    metrics = (await as_("operator").get("/metrics")).text
    assert 'why="unattributed"} 2.0' in metrics
    await hostile.close()
    await honest.close()


async def test_r35_a_flood_of_bad_touches_is_dropped_and_counted_and_delays_nobody(
    settings: Settings,  # noqa: F811
    client: Client,  # noqa: F811
    queue: str,  # noqa: F811
    tables: Tables,  # noqa: F811
    store: Store,  # noqa: F811
) -> None:
    """Seen: 20,000 touches of nonexistent executions, each retried forever, kept a real run queued for 25 s."""
    dsn = settings.require_database()
    hostile = await asyncpg.connect(await worker_login(dsn, grid=MINE, queues=(MINE,), rate=400))
    admin = await asyncpg.connect(dsn)
    nonsense = [f"no-id-{number}" for number in range(20_000)]
    strangers = [str(uuid.uuid4()) for _ in range(20_000)]
    async with projecting(settings, sweep=600, check=600):
        for flood in (nonsense, strangers):
            await hostile.execute(TOUCH, flood, ["w"] * len(flood), [1] * len(flood))
        refused = await refused_of(admin)
        assert refused["bad"] == 20_000
        assert refused["dropped"] >= 19_000
        honest = await asyncpg.connect(await worker_login(dsn, grid="plain", queues=(queue,)))
        handle = await client.start_workflow(Sequence.run, 1, id=unique(), task_queue=queue)
        await handle.result()
        await honest.execute(TOUCH, [handle.first_execution_run_id], [handle.id], [1])
        await tables.run_in(handle.id, "completed", seconds=15)
        await eventually(
            lambda: store.pool.fetchval(
                "SELECT (SELECT count(*) FROM run_changes) + (SELECT count(*) FROM touches) = 0"
            )
        )
    for connection in (hostile, honest, admin):
        await connection.close()


async def test_r35_reports_with_impossible_times_and_sizes_are_dropped_and_counted(
    hostile: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    execution = str(uuid.uuid4())
    far = (datetime.now(UTC) + timedelta(days=4000)).isoformat()
    await hostile.execute(
        TELEMETRY,
        json.dumps([job(execution, MINE, started_at=far), job(execution, MINE, job_id="x" * 9_000)]),
        json.dumps([line(execution, MINE, logged_at=far), line(execution, MINE, message="x" * 100_000)]),
    )
    assert (await refused_of(admin))["bad"] == 3
    assert await admin.fetchval("SELECT length(message) FROM logs") == 8192
    assert await admin.fetchval("SELECT count(*) FROM jobs") == 0


async def test_r35_a_workers_open_transaction_blocks_no_projector_start_or_switch(
    api: Api,  # noqa: F811
    as_: Callable[[str], httpx.AsyncClient],  # noqa: F811
    module_postgres_dsn: str,
) -> None:
    """It locks advisory locks, the tables that it may read, and every row that its functions write; nobody else needs these locks."""
    await factories.insert(api.plane.engine, factories.tool("held"), *factories.workflow("held_flow"))
    run = factories.run(task_queue=MINE)
    await factories.insert(api.plane.engine, run, factories.execution(run))
    execution = run.execution_id or ""
    hostile = await asyncpg.connect(await worker_login(module_postgres_dsn, grid=MINE, queues=(MINE,)))
    transaction = hostile.transaction()
    await transaction.start()
    for number in (0x4147504F, 0x41474556, 0x41474D49, *range(64)):
        await hostile.execute("SELECT pg_advisory_lock($1)", number)
    await hostile.execute("SELECT pg_advisory_lock($1, $2)", 0x4147534B, 1)
    await hostile.execute("LOCK TABLE policy_snapshots IN ACCESS SHARE MODE")
    await hostile.execute(TOUCH, [execution], [run.workflow_id], [5])
    await hostile.execute(TELEMETRY, json.dumps([job(execution, MINE, status="failed")]), "[]")
    await hostile.execute(CATALOG, document(workflows=[], tools=[]))
    admin = as_("admin")
    async with asyncio.timeout(4):  # under the database's own lock timeout, after which a request would fail
        put = {"effect": "require_approval", "approvers": ["role:approver"]}
        assert (await admin.put("/api/v1/tools/held/policy", json=put)).status_code == 200
        started = await as_("operator").post("/api/v1/workflows/held_flow/runs", json={"input": {}})
        assert started.status_code == 201, started.text
        async with asyncio.timeout(4):
            projector = await asyncpg.connect(module_postgres_dsn)
            await projector.execute(
                "INSERT INTO run_changes AS c (execution_id, workflow_id, namespace) VALUES ($1, 'w', 'default') "
                "ON CONFLICT (execution_id) DO UPDATE SET generation = c.generation + 1",
                execution,
            )
            await projector.execute(locks.TAKE, locks.EVENTS)
            await projector.execute("DELETE FROM run_changes WHERE execution_id = $1", execution)
            await projector.close()
    await transaction.rollback()
    await hostile.close()


async def test_r35_a_workers_open_transaction_delays_neither_retention_nor_the_reports_of_others(
    admin: asyncpg.Connection, hostile: asyncpg.Connection, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Creating or dropping a partition locks the whole table, and a transaction with a report holds a conflicting lock."""
    execution = str(uuid.uuid4())
    other = await asyncpg.connect(await worker_login(postgres_dsn, grid=THEIRS, queues=(THEIRS,), rate=1_000))
    transaction = hostile.transaction()
    await transaction.start()
    await hostile.execute(TELEMETRY, json.dumps([job(execution, MINE)]), json.dumps([line(execution, MINE)]))
    old = datetime.now(UTC) - timedelta(days=100)
    for day in (old, datetime.now(UTC)):
        await admin.execute("INSERT INTO events (run_id, kind, data, created_at) VALUES ('r', 'run', '{}', $1)", day)
        await admin.execute(
            "INSERT INTO reads (read_id, at, last_at, route, outcome, count) VALUES ($1, $2, $2, 'GET /', 'read', 1)",
            str(day),
            day,
        )
        await admin.execute(
            "INSERT INTO logs (logged_at, execution_id, workflow_id, level, logger, message, worker) "
            "VALUES ($1, 'e', 'w', 'info', 'l', 'm', 'w')",
            day,
        )
    monkeypatch.setattr(projector, "PARTITION_DAYS_AHEAD", 30)
    async with projector.open_store(await control_login(postgres_dsn), "default") as opened:
        keeping = asyncio.create_task(projector.keep_house(opened))
        while not keeping.done():
            async with asyncio.timeout(2):
                await other.execute(TELEMETRY, json.dumps([job(execution, THEIRS)]), "[]")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await keeping
        for table in ("events", "reads", "logs"):
            assert await admin.fetchval(f"SELECT count(*) FROM {table}") == 1, table
        await transaction.rollback()
        await projector.keep_house(opened)
    name = f"logs_{datetime.now(UTC) + timedelta(days=29):%Y%m%d}"
    assert await admin.fetchval("SELECT to_regclass($1)::text", name) == name
    await other.close()


async def test_r35_the_control_planes_login_owns_nothing_and_can_not_bind_logins(postgres_dsn: str) -> None:
    """An attacker in the API can write rows, but can't change the schema, its functions, or the workers' logins."""
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


def test_the_function_accepts_the_catalog_that_a_worker_sends() -> None:
    from agentgrid.sdk.grid import Grid
    from tests.worker import gated

    assert set(catalog.document(Grid("gated", gated), "q")) == set(json.loads(document()))
