"""Reports and registrations by a hostile worker's login (R35): only about its own queues and names, bounded, and delaying nobody."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from temporalio.client import Client

from agentgrid.db import locks, logins
from agentgrid.projector import main as projector_main
from agentgrid.projector.store import Store
from agentgrid.projector.store.opening import open_store
from agentgrid.settings import Settings
from agentgrid.worker import catalog
from tests.api import factories
from tests.api.conftest import Api, api, as_, eventually
from tests.conftest import control_login, worker_login
from tests.projector.conftest import (
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
from tests.security.reporting import (
    AGENT,
    CATALOG,
    MCP_SERVERS,
    MINE,
    TELEMETRY,
    THEIRS,
    TOUCH,
    admin,
    document,
    hostile,
    job,
    line,
    refused_of,
)

__all__ = ["admin", "api", "as_", "client", "hostile", "queue", "settings", "store", "tables"]


async def test_r35_a_grid_registers_only_its_own_names_on_its_own_queues(
    hostile: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    """Regression: another grid's login moved `support_triage` to its queue, dropped its schema, and set the risk of `refund_ticket` to read."""
    await admin.execute(CATALOG, document(THEIRS, THEIRS, build="b1"))
    catalog = ("workflows", "tools", "agents", "agent_versions")
    before = [dict(row) for name in catalog for row in await admin.fetch(f"SELECT * FROM {name}")]
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="may register the grid 'mine', not 'theirs'"):
        await hostile.execute(CATALOG, document(THEIRS, MINE))
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="does not serve the task queue 'theirs'"):
        await hostile.execute(CATALOG, document(MINE, THEIRS))
    with pytest.raises(
        asyncpg.UniqueViolationError, match="names that belong to another grid: workflow 'support_triage'"
    ):
        await hostile.execute(CATALOG, document())
    with pytest.raises(asyncpg.UniqueViolationError, match="names that belong to another grid: agent 'triager'"):
        await hostile.execute(CATALOG, document(workflows=[], tools=[]))
    assert [dict(row) for name in catalog for row in await admin.fetch(f"SELECT * FROM {name}")] == before
    assert await admin.fetchval("SELECT count(*) FROM workflow_builds WHERE build = 'b9'") == 0
    assert await logins.move_grid(admin, THEIRS, MINE) == 3
    await hostile.execute(CATALOG, document())
    assert await admin.fetchval("SELECT version FROM workflows") == "v9"


async def test_r35_a_worker_cannot_change_an_agents_version_or_make_one_that_looks_like_an_operators(
    hostile: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    """An operator's version is chosen by name, so a worker that could write one could give instructions in the operator's name."""
    await hostile.execute(CATALOG, document())
    await hostile.execute(CATALOG, document(agents=[{**AGENT, "instructions": "disobey"}]))
    assert await admin.fetchval("SELECT instructions FROM agent_versions") == "obey"
    with pytest.raises(asyncpg.CheckViolationError, match="ck_agent_versions_named"):
        await hostile.execute(CATALOG, document(agents=[{**AGENT, "version": "edit-1"}]))
    assert await admin.fetchval("SELECT count(*) FROM agent_versions") == 1


async def test_r35_reports_about_other_queues_are_counted_and_not_shown(
    api: Api,
    as_: Callable[[str], httpx.AsyncClient],
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
    assert [(row["worker"], row["status"]) for row in jobs] == [("honest", "running"), ("honest", "completed")]
    logs = (await as_("operator").get(f"{place}/logs")).json()["items"]
    assert [entry["message"] for entry in logs] == ["honest"]
    metrics = (await as_("operator").get("/metrics")).text
    assert 'why="unattributed"} 2.0' in metrics
    await hostile.close()
    await honest.close()


async def test_r35_a_flood_of_bad_touches_is_dropped_and_counted_and_delays_nobody(
    settings: Settings,
    client: Client,
    queue: str,
    tables: Tables,
    store: Store,
) -> None:
    """Regression: 20,000 touches of nonexistent executions, each retried forever, kept a real run queued for 25 s."""
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
    api: Api,
    as_: Callable[[str], httpx.AsyncClient],
    module_postgres_dsn: str,
) -> None:
    """It takes advisory locks and locks the tables it may read and every row its functions write. Nobody else needs these locks."""
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
    async with asyncio.timeout(4):  # less than the database's lock timeout, after which a request would fail
        put = {"effect": "require_approval", "approvers": ["role:approver"]}
        assert (await admin.put("/api/v1/tools/held/policy", json=put)).status_code == 200
        started = await as_("operator").post("/api/v1/workflows/held_flow/runs", json={"input": {}})
        assert started.status_code == 201, started.text
        async with asyncio.timeout(4):
            projecting = await asyncpg.connect(module_postgres_dsn)
            await projecting.execute(
                "INSERT INTO run_changes AS c (execution_id, workflow_id, namespace) VALUES ($1, 'w', 'default') "
                "ON CONFLICT (execution_id) DO UPDATE SET generation = c.generation + 1",
                execution,
            )
            await projecting.execute(locks.TAKE, locks.EVENTS)
            await projecting.execute("DELETE FROM run_changes WHERE execution_id = $1", execution)
            await projecting.close()
    await transaction.rollback()
    await hostile.close()


async def test_r35_a_workers_open_transaction_delays_neither_retention_nor_the_reports_of_others(
    admin: asyncpg.Connection, hostile: asyncpg.Connection, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Creating or dropping a partition locks the whole table, and a transaction with a report holds a conflicting lock."""
    execution = str(uuid.uuid4())
    other = await asyncpg.connect(await worker_login(postgres_dsn, grid=THEIRS, queues=(THEIRS,), rate=1_000))
    old = datetime.now(UTC) - timedelta(days=100)
    await hostile.execute(MCP_SERVERS, report(MINE, MINE))
    await admin.execute("UPDATE mcp_servers SET reported_at = $1", old)
    transaction = hostile.transaction()
    await transaction.start()
    await hostile.execute(MCP_SERVERS, report(MINE, MINE))  # locks the row that is due for deletion
    await hostile.execute(TELEMETRY, json.dumps([job(execution, MINE)]), json.dumps([line(execution, MINE)]))
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
        await admin.execute(
            "INSERT INTO mcp_servers (grid, task_queue, name, reached_by, state, reason, changes, reported_at) "
            "VALUES ('g', $1, 'n', 'uvx', 'ready', '', '[]', $2)",
            str(day),
            day,
        )
    monkeypatch.setattr(projector_main, "PARTITION_DAYS_AHEAD", 30)
    async with open_store(await control_login(postgres_dsn), "default") as opened:
        keeping = asyncio.create_task(projector_main.keep_house(opened))
        while not keeping.done():
            async with asyncio.timeout(2):
                await other.execute(TELEMETRY, json.dumps([job(execution, THEIRS)]), "[]")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await keeping
        for table in ("events", "reads", "logs"):
            assert await admin.fetchval(f"SELECT count(*) FROM {table}") == 1, table
        assert await admin.fetchval("SELECT count(*) FROM mcp_servers") == 2, "the new one and the locked one"
        await transaction.rollback()
        await projector_main.keep_house(opened)
        assert await admin.fetchval("SELECT count(*) FROM mcp_servers") == 1
    name = f"logs_{datetime.now(UTC) + timedelta(days=29):%Y%m%d}"
    assert await admin.fetchval("SELECT to_regclass($1)::text", name) == name
    await other.close()


async def test_r35_a_flood_of_registrations_spends_the_budget_and_a_days_new_versions_are_bounded(
    hostile: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    await admin.execute("UPDATE worker_logins SET rate = 1 WHERE grid = $1", MINE)
    long = document(tools=[], agents=[], more="x" * 1_000_000)
    await hostile.execute(CATALOG, long)  # a full budget is always enough, whatever the length
    with pytest.raises(asyncpg.ProgramLimitExceededError, match="too many reports and registrations"):
        await hostile.execute(CATALOG, long)
    await admin.execute("UPDATE worker_logins SET rate = 1000 WHERE grid = $1", MINE)
    await admin.execute("UPDATE worker_budgets SET reports = 10000, registered = 67108864 - 1000")

    def named(number: int) -> str:
        (made,) = json.loads(document())["workflows"]
        return document(tools=[], agents=[], workflows=[made | {"name": f"w{index}"} for index in range(number)])

    counts = "SELECT (SELECT count(*) FROM workflow_versions), (SELECT count(*) FROM workflow_builds)"
    before = await admin.fetchrow(counts)
    with pytest.raises(asyncpg.ProgramLimitExceededError, match="64 MiB of new versions"):
        await hostile.execute(CATALOG, named(9))
    with pytest.raises(asyncpg.ProgramLimitExceededError, match="64 MiB of new versions"):
        await hostile.execute(CATALOG, document(build="b" * 2_000))
    assert await admin.fetchrow(counts) == before
    await hostile.execute(CATALOG, document(tools=[], agents=[]))  # nothing in it is new
    await admin.execute("UPDATE worker_budgets SET registered_at = now() - interval '1 hour'")
    await hostile.execute(CATALOG, named(9))
    assert await admin.fetchval("SELECT count(*) FROM workflow_versions WHERE build = 'b9'") == 10


def test_the_function_accepts_the_catalog_that_a_worker_sends() -> None:
    from agentgrid.sdk.grid import Grid
    from tests.worker import gated

    assert set(catalog.document(Grid("gated", gated), "q")) == set(json.loads(document()))


NEWS: dict[str, Any] = {
    "name": "news",
    "reached_by": "python3",
    "tools": ["news_a"],
    "state": "held",
    "reason": "r",
    "changes": [],
}
READY: dict[str, Any] = {"state": "ready", "reason": ""}


def report(grid: str = MINE, task_queue: str = MINE, *servers: dict[str, Any]) -> str:
    return json.dumps({"grid": grid, "task_queue": task_queue, "servers": [NEWS, *servers]})


async def test_r35_a_worker_reports_only_its_own_grids_mcp_servers_and_never_too_much(
    hostile: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    await admin.execute(MCP_SERVERS, report(THEIRS, THEIRS))
    before = [dict(row) for row in await admin.fetch("SELECT * FROM mcp_servers")]
    for refused in (report(THEIRS, MINE), report(MINE, THEIRS), json.dumps({"task_queue": MINE, "servers": []})):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await hostile.execute(MCP_SERVERS, refused)
    many = report(MINE, MINE, *({"name": str(number)} for number in range(100)))
    for refused in (many, report(MINE, MINE, {"reason": "x" * 1_100_000})):
        with pytest.raises(asyncpg.ProgramLimitExceededError):
            await hostile.execute(MCP_SERVERS, refused)
    wrong = {"name": "x", "reached_by": "", "tools": [], "state": "fine", "reason": "", "changes": []}
    with pytest.raises(asyncpg.CheckViolationError):
        await hostile.execute(MCP_SERVERS, report(MINE, MINE, wrong))
    assert [dict(row) for row in await admin.fetch("SELECT * FROM mcp_servers")] == before


async def test_r35_a_worker_neither_changes_nor_removes_another_queues_mcp_servers(
    hostile: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    """Otherwise it could hide that a server is held, by reporting that everything matches the pin."""
    theirs = "SELECT * FROM mcp_servers WHERE task_queue = $1"
    await admin.execute(MCP_SERVERS, report(MINE, THEIRS))
    before = [dict(row) for row in await admin.fetch(theirs, THEIRS)]
    await hostile.execute(MCP_SERVERS, json.dumps({"grid": MINE, "task_queue": MINE, "servers": [NEWS | READY]}))
    await hostile.execute(MCP_SERVERS, json.dumps({"grid": MINE, "task_queue": MINE, "servers": []}))
    await hostile.execute(CATALOG, document(tools=[], workflows=[], agents=[]))
    assert [dict(row) for row in await admin.fetch(theirs, THEIRS)] == before
    assert await admin.fetchval("SELECT count(*) FROM mcp_servers") == 1


async def test_r35_a_flood_of_mcp_reports_stores_only_the_last_one_and_spends_the_budget(
    hostile: asyncpg.Connection, admin: asyncpg.Connection, postgres_dsn: str
) -> None:
    names = [NEWS | {"name": str(number), "tools": ["t" * 1_000] * 600} for number in range(2)]
    for server in names:
        await hostile.execute(MCP_SERVERS, json.dumps({"grid": MINE, "task_queue": MINE, "servers": [server]}))
    (stored,) = await admin.fetch("SELECT name, tools FROM mcp_servers")
    assert (stored["name"], len(stored["tools"]), len(stored["tools"][0])) == ("1", 500, 255)
    for size, expected in ((200_000, 1), (300_000, 0)):
        changed = NEWS | {"name": "1", "changes": ["x" * size]}
        await hostile.execute(MCP_SERVERS, json.dumps({"grid": MINE, "task_queue": MINE, "servers": [changed]}))
        assert await admin.fetchval("SELECT json_array_length(changes) FROM mcp_servers") == expected
    await admin.execute("UPDATE worker_logins SET rate = 1 WHERE grid = $1", MINE)
    long = json.dumps({"grid": MINE, "task_queue": MINE, "servers": [NEWS | {"name": "2", "reason": "x" * 900_000}]})
    await hostile.execute(MCP_SERVERS, long)  # a full budget is always enough, whatever the length
    assert await admin.fetchval("SELECT min(name) FROM mcp_servers") == "2"
    await hostile.execute(MCP_SERVERS, report())
    assert (await refused_of(admin))["dropped"] > 0
    assert await admin.fetchval("SELECT min(name) FROM mcp_servers") == "2"

    everywhere = await asyncpg.connect(await worker_login(postgres_dsn, grid=MINE, queues=("*",)))
    many = [NEWS | {"name": str(number)} for number in range(100)]
    reports = [json.dumps({"grid": MINE, "task_queue": f"made-up-{number}", "servers": many}) for number in range(11)]
    for made_up in reports[:10]:
        await everywhere.execute(MCP_SERVERS, made_up)
    with pytest.raises(asyncpg.ProgramLimitExceededError, match="over 1000 MCP servers"):
        await everywhere.execute(MCP_SERVERS, reports[10])
    await everywhere.close()
    await admin.execute("UPDATE worker_logins SET rate = 1000 WHERE grid = $1", MINE)
    await admin.execute("UPDATE worker_budgets SET reports = 1000")
    await hostile.execute(MCP_SERVERS, report())
    assert await admin.fetchval("SELECT name FROM mcp_servers WHERE task_queue = $1", MINE) == "news"
