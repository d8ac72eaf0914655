"""Every list of the API over a month's data: by index, and the same page however it is found."""

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
from tests.db.ways import walk_alone

RUNS = 10_000
LARGE = ("runs", "executions", "steps", "approvals", "decisions", "commands", "run_search", "jobs_", "logs_", "events")
"""The tables, and partitions, that grow with the runs."""
ADMINISTERED = ("/keys", "/principals", "/policies", "/signing-keys")
"""Small tables, which only an administrator sees."""
TWO_BLOCKS = 2 * 8192
"""Bytes of an empty or nearly empty partition, which no index makes cheaper to read."""


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
async def wanted(dsn: str) -> list[cases.Case]:
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
    """What is asked of the database meanwhile, with its parameters."""
    asked: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH", "SET LOCAL")):
            asked.append((statement, parameters))

    engine = api.plane.engine.sync_engine
    event.listen(engine, "before_cursor_execute", hear)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", hear)


def scanned(plan: dict[str, Any]) -> Iterator[str]:
    """The tables that a plan reads from one end to the other."""
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from scanned(part)


async def test_no_list_reads_a_whole_table_that_grows_with_the_runs(api: Api, wanted: list[cases.Case]):
    whole: dict[str, list[str]] = {}
    async with api.plane.engine.connect() as connection:
        sized = text("SELECT relname FROM pg_class WHERE relkind = 'r' AND pg_relation_size(oid) > :bytes")
        large = {
            name
            for name in (await connection.execute(sized, {"bytes": TWO_BLOCKS})).scalars()
            if name.startswith(LARGE)
        }
    async with api.client("operator") as operator, api.client("auditor") as auditor, api.client("reviewer") as reviewer:
        clients = {"operator": auditor, "reviewer": reviewer}
        for case in (*wanted, *cases.urgent()):
            if any(case.route.startswith(route) for route in ADMINISTERED):
                continue
            client = operator if case.route.endswith("/logs") else clients[case.who]
            with statements(api) as asked:
                await ask(client, case)
            async with api.plane.engine.connect() as connection:
                raw = (await connection.get_raw_connection()).driver_connection
                assert raw is not None
                async with raw.transaction():
                    for statement, parameters in asked:
                        if statement.startswith("SET LOCAL"):
                            await raw.execute(statement)
                            continue
                        (plan,) = await raw.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *parameters)
                        if names := [name for name in scanned(plan["Plan"]) if name in large]:
                            whole.setdefault(f"{case.route} {case.name}", []).extend(names)
    assert whole == {}


def reads(plan: dict[str, Any]) -> int:
    """Blocks that the statement read, in all its parts."""
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


async def test_reports_of_a_long_run_do_not_read_all_its_steps_for_each_report(api: Api, dsn: str):
    connection = await asyncpg.connect(dsn)
    try:
        run_id, count = await connection.fetchrow(
            "SELECT run_id, count(*) FROM steps GROUP BY run_id ORDER BY count(*) DESC LIMIT 1"
        )
    finally:
        await connection.close()
    for what in ("jobs", "logs"):
        async with api.client("operator") as client:
            with statements(api) as asked:
                answer = await client.get(f"/api/v1/runs/{run_id}/{what}", params={"limit": 200})
        assert len(answer.json()["items"]) == 200
        async with api.plane.engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            for statement, parameters in asked:
                if f"FROM {what} " in statement:
                    (plan,) = await raw.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *parameters)
                    assert reads(plan["Plan"]) < 5 * count, statement


async def page(api: Api, case: cases.Case) -> Any:
    async with api.client({"operator": "auditor", "reviewer": "reviewer"}[case.who]) as client:
        return await ask(client, case)


async def test_a_page_is_the_same_whether_it_is_walked_or_collected(
    api: Api, wanted: list[cases.Case], monkeypatch: pytest.MonkeyPatch
):
    """One test, not one for each way: the processes of a test run would each fill a database."""
    lists = [
        case
        for case in wanted
        if case.route in ("/runs", "/approvals", "/commands")
        and "duration_over" not in case.target  # open runs come in as they age
    ]
    lists = lists[::2]  # the benchmark's cases, each filter in several combinations
    shown = 0
    for case in lists:  # its three pages at one moment: many filters depend on the time
        with monkeypatch.context() as walking:
            walk_alone(walking, 2 * RUNS)
            walked = await page(api, case)
        for stretch, longest in ((0, 0), (400, 4_000)):  # collected at once, and late
            with monkeypatch.context() as collecting:
                collecting.setattr(paging, "STRETCH", stretch)
                collecting.setattr(paging, "LONGEST", longest)
                assert await page(api, case) == walked, case
        shown += bool(walked["items"])
    assert shown > len(lists) / 2


async def test_a_list_goes_on_through_pages_found_in_different_ways(api: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(paging, "STRETCH", 300)
    monkeypatch.setattr(paging, "LONGEST", 600)
    async with api.plane.engine.connect() as connection:
        every = (
            await connection.execute(
                text("SELECT run_id FROM runs WHERE tags @> ARRAY['legacy'] ORDER BY created_at DESC, run_id DESC")
            )
        ).scalars()
    found: list[str] = []
    cursor = None
    async with api.client("viewer") as client:
        while True:
            params = {"tag": "legacy", "limit": "200", **({"cursor": cursor} if cursor else {})}
            page = (await client.get("/api/v1/runs", params=params)).json()
            found += [run["run_id"] for run in page["items"]]
            if (cursor := page["next_cursor"]) is None:
                break
    assert found == list(every)
    assert len(found) > RUNS / 20
