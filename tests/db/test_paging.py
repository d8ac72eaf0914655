"""Every list in the API over a month's data: uses indexes, and returns the same page by any method."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import event, text

from agentgrid.db import paging
from tests.api.conftest import Api, running, settings_for
from tests.bench import cases, dataset
from tests.conftest import Peopled, Temporal
from tests.db.ways import scan_only

RUNS = 10_000
LARGE = ("runs", "executions", "steps", "approvals", "decisions", "commands", "run_search", "jobs_", "logs_", "events")
"""The tables, and partitions, that grow with the runs."""
ADMINISTERED = ("/keys", "/principals", "/policies", "/signing-keys")
"""Lists of small tables, which only an administrator sees."""
TWO_BLOCKS = 2 * 8192
"""The size in bytes of a nearly empty partition, for which no index is cheaper."""


@pytest.fixture(scope="module")
async def dsn(module_postgres_dsn: str) -> str:
    await dataset.fill(module_postgres_dsn, RUNS)
    return module_postgres_dsn


@pytest.fixture(scope="module")
async def api(
    peopled: Peopled, dsn: str, temporal_server: Temporal, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Api]:
    settings = settings_for(dsn, temporal_server.address, tmp_path_factory.mktemp("lists"))
    async with running(settings, dict(peopled.tokens)) as api:
        yield api


@pytest.fixture(scope="module")
async def all_cases(dsn: str) -> list[cases.Case]:
    connection = await asyncpg.connect(dsn)
    try:
        return cases.cases(await cases.samples(connection)) + cases.overview()
    finally:
        await connection.close()


async def ask(client: httpx.AsyncClient, case: cases.Case) -> Any:
    answer = await client.get(case.target)
    assert answer.status_code == 200, (case, answer.text)
    return answer.json()


@contextmanager
def statements(api: Api) -> Iterator[list[tuple[str, Any]]]:
    """The statements executed in the block, with their parameters."""
    executed: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH", "SET LOCAL")):
            executed.append((statement, parameters))

    engine = api.plane.engine.sync_engine
    event.listen(engine, "before_cursor_execute", hear)
    try:
        yield executed
    finally:
        event.remove(engine, "before_cursor_execute", hear)


def scanned(plan: dict[str, Any]) -> Iterator[str]:
    """The tables that a plan scans sequentially."""
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from scanned(part)


async def test_no_list_scans_a_table_that_grows_with_the_runs(api: Api, all_cases: list[cases.Case]):
    scans: dict[str, list[str]] = {}
    async with api.plane.engine.connect() as connection:
        sized = text("SELECT relname FROM pg_class WHERE relkind = 'r' AND pg_relation_size(oid) > :bytes")
        large = {
            name
            for name in (await connection.execute(sized, {"bytes": TWO_BLOCKS})).scalars()
            if name.startswith(LARGE)
        }
    async with api.client("operator") as operator, api.client("auditor") as auditor, api.client("reviewer") as reviewer:
        clients = {"operator": auditor, "reviewer": reviewer}
        for case in (*all_cases, *cases.urgent()):
            if any(case.route.startswith(route) for route in ADMINISTERED):
                continue
            client = operator if case.route.endswith("/logs") else clients[case.who]
            with statements(api) as executed:
                await ask(client, case)
            async with api.plane.engine.connect() as connection:
                raw = (await connection.get_raw_connection()).driver_connection
                assert raw is not None
                async with raw.transaction():
                    for statement, parameters in executed:
                        if statement.startswith("SET LOCAL"):
                            await raw.execute(statement)
                            continue
                        (plan,) = await raw.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *parameters)
                        if names := [name for name in scanned(plan["Plan"]) if name in large]:
                            scans.setdefault(f"{case.route} {case.name}", []).extend(names)
    assert scans == {}


def reads(plan: dict[str, Any]) -> int:
    """The number of blocks that the statement read."""
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


async def test_reports_of_a_long_run_do_not_read_all_its_steps_per_report(api: Api, dsn: str):
    connection = await asyncpg.connect(dsn)
    try:
        run_id, count = await connection.fetchrow(
            "SELECT run_id, count(*) FROM steps GROUP BY run_id ORDER BY count(*) DESC LIMIT 1"
        )
    finally:
        await connection.close()
    for what in ("jobs", "logs"):
        async with api.client("operator") as client:
            with statements(api) as executed:
                answer = await client.get(f"/api/v1/runs/{run_id}/{what}", params={"limit": 200})
        assert len(answer.json()["items"]) == 200
        async with api.plane.engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            for statement, parameters in executed:
                if f"FROM {what} " in statement:
                    (plan,) = await raw.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *parameters)
                    assert reads(plan["Plan"]) < 5 * count, statement


async def page(api: Api, case: cases.Case) -> Any:
    async with api.client({"operator": "auditor", "reviewer": "reviewer"}[case.who]) as client:
        return await ask(client, case)


async def test_a_page_is_the_same_whether_it_is_scanned_or_collected(
    api: Api, all_cases: list[cases.Case], monkeypatch: pytest.MonkeyPatch
):
    """A single test, not one per method: each process of a parallel test run would fill its own database."""
    lists = [
        case
        for case in all_cases
        if case.route in ("/runs", "/approvals", "/commands")
        and "duration_over" not in case.target  # open runs start to match as they age
    ]
    lists = lists[::2]  # the benchmark's cases, each filter in several combinations
    shown = 0
    for case in lists:  # compares all methods for one case at a time: many filters depend on the time
        with monkeypatch.context() as scanning:
            scan_only(scanning, 2 * RUNS)
            scanned_page = await page(api, case)
        for stretch, longest in ((0, 0), (400, 4_000)):  # collected immediately, and after scanning
            with monkeypatch.context() as collecting:
                collecting.setattr(paging, "STRETCH", stretch)
                collecting.setattr(paging, "LONGEST", longest)
                assert await page(api, case) == scanned_page, case
        shown += bool(scanned_page["items"])
    assert shown > len(lists) / 2


async def test_a_list_continues_across_pages_found_by_different_methods(api: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(paging, "STRETCH", 300)
    monkeypatch.setattr(paging, "LONGEST", 600)
    async with api.plane.engine.connect() as connection:
        every = (
            await connection.execute(
                text("SELECT run_id FROM runs WHERE tags @> ARRAY['legacy'] ORDER BY created_at DESC, run_id DESC")
            )
        ).scalars()
    listed: list[str] = []
    cursor = None
    async with api.client("viewer") as client:
        while True:
            params = {"tag": "legacy", "limit": "200", **({"cursor": cursor} if cursor else {})}
            page = (await client.get("/api/v1/runs", params=params)).json()
            listed += [run["run_id"] for run in page["items"]]
            if (cursor := page["next_cursor"]) is None:
                break
    assert listed == list(every)
    assert len(listed) > RUNS / 20
