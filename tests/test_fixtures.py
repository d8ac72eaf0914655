"""Tests of the common fixtures."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from temporalio.client import Client

from tests.conftest import SLOW, Temporal, locked_folder, pytest_collection_modifyitems, remove_abandoned


async def tables(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    count: int = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    return count


async def test_the_sessions_temporal_accepts_a_workflow(temporal_server: Temporal) -> None:
    client = await Client.connect(temporal_server.address)
    handle = await client.start_workflow("unknown", id="fixtures", task_queue="no-worker")
    await handle.terminate()


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_each_test_gets_its_own_migrated_database(postgres_dsn: str, turn: str) -> None:
    assert await tables(postgres_dsn) > 10
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute("CREATE TABLE left_behind ()")  # left open: the fixture must still drop the database


async def test_the_tests_of_a_module_can_share_a_database(module_postgres_dsn: str, postgres_dsn: str) -> None:
    assert module_postgres_dsn != postgres_dsn
    assert await tables(module_postgres_dsn) == await tables(postgres_dsn)


async def test_an_empty_database_has_no_tables(empty_database: str) -> None:
    assert await tables(empty_database) == 0


@pytest.mark.parametrize("processes", range(1, 9))
def test_every_test_is_kept_and_each_slow_group_starts_a_share(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", str(processes))
    groups = ["stage", *(prefixes[0] for prefixes in SLOW)]
    items: list[Any] = [SimpleNamespace(nodeid=f"tests/db/test_rows.py::{number}") for number in range(400)]
    for group in groups:
        fixtures = ["stage"] if group == "stage" else []
        items += [SimpleNamespace(nodeid=f"{group}::{number}", fixturenames=fixtures) for number in range(10)]

    ordered = list(items)
    pytest_collection_modifyitems(ordered)
    assert sorted(item.nodeid for item in ordered) == sorted(item.nodeid for item in items)
    start = 0
    for process in range(processes):  # the shares that xdist gives
        if process < len(groups):
            assert ordered[start].nodeid == f"{groups[process]}::0"
        start += (len(ordered) - start) // (processes - process)


def test_only_folders_of_killed_processes_are_removed(tmp_path: Path) -> None:
    kept, lock = locked_folder(tmp_path)
    _, abandoned = locked_folder(tmp_path)
    os.close(abandoned)  # as the kernel does for a killed process
    (tmp_path / "agentgrid-tests-link").symlink_to(kept)

    remove_abandoned(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {kept.name, "agentgrid-tests-link"}
    os.close(lock)
