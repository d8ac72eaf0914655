"""How long policy snapshots are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from agentgrid.projector import main as projector_main
from agentgrid.projector.store.opening import open_store
from tests.conftest import control_login

DAYS_AGO = {1: 90, 2: 60, 3: 40, 4: 6, 5: 1}
"""When each version was published."""


async def test_snapshots_replaced_long_ago_are_dropped_but_never_the_newest(postgres_dsn: str) -> None:
    owner = await asyncpg.connect(postgres_dsn)
    try:
        now = datetime.now(UTC)
        await owner.executemany(
            "INSERT INTO policy_snapshots (version, document, made_at) VALUES ($1, '{}', $2)",
            [(version, now - timedelta(days=days)) for version, days in DAYS_AGO.items()],
        )

        async def kept() -> list[int]:
            rows = await owner.fetch("SELECT version FROM policy_snapshots ORDER BY version")
            return [row["version"] for row in rows]

        async with open_store(await control_login(postgres_dsn), "default") as store:
            await projector_main.keep_house(store)
            # The third one is old, but workers applied it until the fourth was published, six days ago.
            assert await kept() == [3, 4, 5]
            # The control plane's login can't drop what workers applied this week, nor make it look older.
            await store.pool.execute("SELECT agentgrid_drop_snapshots(0)")
            assert await kept() == [3, 4, 5]
            for statement in ("DELETE FROM policy_snapshots", "UPDATE policy_snapshots SET made_at = '-infinity'"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await store.pool.execute(statement)
        await owner.execute("UPDATE policy_snapshots SET made_at = made_at - interval '1 year'")
        await owner.execute("SELECT agentgrid_drop_snapshots(30)")
        assert await kept() == [5]
    finally:
        await owner.close()
