"""Connections that are closed while idle."""

from __future__ import annotations

import asyncio

import asyncpg
from sqlalchemy import text

from agentgrid.db.session import make_engine, reading


async def test_a_closed_connection_is_replaced_before_use(postgres_dsn: str) -> None:
    engine = make_engine(postgres_dsn, pool_size=1)
    admin = await asyncpg.connect(postgres_dsn)
    pids = []
    try:
        for _ in range(2):
            async with reading(engine) as session:
                pids.append((await session.execute(text("SELECT pg_backend_pid()"))).scalar_one())
                driver = (await (await session.connection()).get_raw_connection()).driver_connection
            await admin.execute("SELECT pg_terminate_backend($1)", pids[-1])
            # The client's socket notices some time after the server has closed the connection.
            async with asyncio.timeout(10):
                while not driver.is_closed():
                    await asyncio.sleep(0.01)
        assert len(set(pids)) == 2
    finally:
        await admin.close()
        await engine.dispose()
