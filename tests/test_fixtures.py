"""Tests of the common fixtures."""

from __future__ import annotations

import asyncpg
import pytest
from temporalio.client import Client

from tests.conftest import Temporal


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
