"""The fixtures that every other test uses."""

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


async def test_the_temporal_of_the_session_takes_a_workflow(temporal_server: Temporal) -> None:
    client = await Client.connect(temporal_server.address)
    handle = await client.start_workflow("nobody_serves_this", id="fixtures", task_queue="nobody")
    await handle.terminate()


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_each_test_gets_a_migrated_database_of_its_own(postgres_dsn: str, turn: str) -> None:
    assert await tables(postgres_dsn) > 10
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute(
        "CREATE TABLE left_behind ()"
    )  # left open: the fixture must drop the database all the same


async def test_tests_of_a_module_may_share_a_database(module_postgres_dsn: str, postgres_dsn: str) -> None:
    assert module_postgres_dsn != postgres_dsn
    assert await tables(module_postgres_dsn) == await tables(postgres_dsn)


async def test_an_empty_database_has_no_tables(empty_database: str) -> None:
    assert await tables(empty_database) == 0
