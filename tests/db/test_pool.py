"""Driver connections: closed ones are replaced, an unreachable database is reported in time, and reads don't wait for locked writes."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest

from agentgrid.db.away import DATABASE_FAULTS
from agentgrid.db.pool import CONNECTIONS, TURNS, Turns, direct, open_pool
from agentgrid.servers.child import free_port


async def test_a_closed_connection_is_replaced_before_use(postgres_dsn: str) -> None:
    admin = await asyncpg.connect(postgres_dsn)
    pids = []
    async with open_pool(postgres_dsn) as pool:
        for _ in range(2):
            async with direct(pool) as connection:
                pids.append(await connection.fetchval("SELECT pg_backend_pid()"))
                protocol = connection._con._protocol
            await admin.execute("SELECT pg_terminate_backend($1)", pids[-1])
            async with asyncio.timeout(10):
                while protocol.is_connected():
                    await asyncio.sleep(0.01)
    await admin.close()
    assert len(set(pids)) == 2


async def test_the_pool_opens_while_the_database_is_unreachable_and_each_acquire_fails() -> None:
    async with open_pool(f"postgresql://nobody:secret@127.0.0.1:{free_port()}/nothing") as pool:
        for _ in range(CONNECTIONS + 1):
            with pytest.raises(DATABASE_FAULTS):
                async with direct(pool):
                    pytest.fail("there is nothing to connect to")


async def test_the_pool_closes_while_a_connection_is_still_in_use(postgres_dsn: str) -> None:
    async with asyncio.timeout(10):
        async with open_pool(postgres_dsn) as pool:
            in_use = await pool.acquire()
    with pytest.raises(asyncpg.InterfaceError):
        await in_use.fetchval("SELECT 1")


async def test_json_is_read_and_written_as_in_sessions(postgres_dsn: str) -> None:
    value = {"n": 2**62, "words": ["ä", None, 0.1]}
    async with open_pool(postgres_dsn) as pool, direct(pool) as connection:
        stored = await connection.fetchrow(
            "SELECT $1::json AS value, $1::json::text AS words, NULL::json AS none", value
        )
    assert (stored["value"], json.loads(stored["words"]), stored["none"]) == (value, value, None)


async def test_writes_waiting_for_a_lock_leave_connections_for_reads(postgres_dsn: str) -> None:
    take = "SELECT 1 FROM locks WHERE name = 'events' FOR UPDATE"
    holder, observer = [await asyncpg.connect(postgres_dsn) for _ in range(2)]
    turns = Turns()

    async def change() -> None:
        async with turns.changing(pool) as connection:
            await connection.execute(take)

    async with open_pool(postgres_dsn) as pool, asyncio.timeout(60):
        async with holder.transaction():
            await holder.execute(take)
            changes = [asyncio.create_task(change()) for _ in range(2 * TURNS)]
            waits = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            while await observer.fetchval(waits) < TURNS:
                await asyncio.sleep(0.05)
            for _ in range(CONNECTIONS):
                async with direct(pool) as connection:
                    assert await connection.fetchval("SELECT 1") == 1
        await asyncio.gather(*changes)
    await holder.close()
    await observer.close()
