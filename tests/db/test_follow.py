"""A LISTEN connection that is reopened for as long as its follower runs."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

import asyncpg
import pytest
from structlog.testing import capture_logs

from agentgrid.db import follow as db_follow
from agentgrid.db import migrate
from agentgrid.db.follow import Line, follow
from agentgrid.domain import channels


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db_follow, "FIRST_PAUSE_SECONDS", 0.01)


async def test_a_follower_receives_notifications_and_recovers_from_a_lost_connection(
    postgres_dsn: str, quick: None
) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    lines: asyncio.Queue[int] = asyncio.Queue()
    faults: list[bool] = []

    async def session(line: Line) -> None:
        await line.listen("agentgrid_test_follow", heard.put_nowait)
        lines.put_nowait(line.connection.get_server_pid())
        await line.lost.wait()

    task = asyncio.create_task(
        follow(postgres_dsn, session, name="a-follower", event="not_heard", on_fault=lambda: faults.append(True))
    )
    other = await asyncpg.connect(postgres_dsn)
    try:
        async with asyncio.timeout(60):
            first = await lines.get()
            await other.execute("SELECT pg_notify('agentgrid_test_follow', 'one')")
            assert await heard.get() == "one"
            assert faults == []
            await other.execute("SELECT pg_terminate_backend($1)", first)
            assert await lines.get() != first
            await other.execute("SELECT pg_notify('agentgrid_test_follow', 'two')")
            assert await heard.get() == "two"
        assert faults == [True]
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        named = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'a-follower'"
        async with asyncio.timeout(10):
            while await other.fetchval(named):
                await asyncio.sleep(0.01)
        await other.close()


async def test_only_database_faults_are_retried(postgres_dsn: str, quick: None) -> None:
    raised: list[Exception] = [asyncpg.InternalClientError("confused"), ConnectionResetError(), KeyError("a bug")]

    async def session(line: Line) -> None:
        raise raised.pop(0)

    with pytest.raises(KeyError):
        await follow(postgres_dsn, session, name="a-follower", event="not_heard")
    assert raised == []


async def test_a_session_that_worked_resets_the_failure_count(
    postgres_dsn: str, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_follow, "STEADY_SECONDS", 1.0)
    lasting = [0.0, 0.0, 1.1, 0.0]

    async def session(line: Line) -> None:
        if not lasting:
            raise KeyError("enough")
        await asyncio.sleep(lasting.pop(0))

    with capture_logs() as lines, pytest.raises(KeyError):
        await follow(postgres_dsn, session, name="a-follower", event="not_heard")
    assert [line["failures"] for line in lines] == [1, 1]  # of four: the second failure in a row is not logged


def test_the_sql_functions_notify_only_known_channels() -> None:
    names = {name for name in vars(channels) if name.isupper()}
    notified = set(re.findall(r"pg_notify\('(\w+)'", (migrate.SQL / "functions.sql").read_text()))
    assert notified
    assert notified <= {getattr(channels, name) for name in names}
