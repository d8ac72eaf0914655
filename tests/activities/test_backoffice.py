"""The back office itself: schema and seed, connections, and behaviour when the database refuses data or is unreachable."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path

import asyncpg
import pytest

import agentgrid as ag
from activities.backoffice import BackOfficeNotConfigured, close_pool, connection, effect_key, pool, transaction
from activities.backoffice.connections import MAX_CONNECTIONS
from activities.backoffice.metrics import daily_metrics
from activities.backoffice.seed import prepare
from activities.cms import fetch_page, save_draft, unpublish_page, verify_page
from activities.crm import fetch_lead, update_lead
from activities.support import fetch_ticket, post_reply
from activities.tasks import create_task
from agentgrid.errors import NoIdempotencyKey
from tests.activities.conftest import ANCHOR, OneCall

ROOT = Path(__file__).parents[2]


def run_module(*arguments: str, url: str | None) -> subprocess.CompletedProcess[str]:
    """Run `python -m activities.backoffice` as a user would."""
    environment = {name: value for name, value in os.environ.items() if name != "APP_DATABASE_URL"}
    if url is not None:
        environment["APP_DATABASE_URL"] = url
    return subprocess.run(
        [sys.executable, "-m", "activities.backoffice", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def dump(db: asyncpg.Connection) -> dict[str, list[str]]:
    """Every row of every table."""
    tables = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'backoffice'")
    return {
        name: [row[0] for row in await db.fetch(f"SELECT t::text FROM backoffice.{name} t ORDER BY 1")]
        for (name,) in tables
    }


async def test_the_command_prepares_an_empty_database_and_reports_it_in_one_line(empty_database: str) -> None:
    first = await asyncio.to_thread(run_module, url=empty_database)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.count("\n") == 1
    for counted in ("60 customers", "120 tickets", "100 pages", "40 leads", "20 tasks", "1620 metrics"):
        assert counted in first.stdout
    again = await asyncio.to_thread(run_module, url=empty_database)
    assert again.stdout == first.stdout


async def test_the_command_without_a_database_says_what_to_set() -> None:
    done = await asyncio.to_thread(run_module, url=None)
    assert (done.returncode, done.stdout) == (2, "")
    assert "APP_DATABASE_URL is not set" in done.stderr
    assert "Traceback" not in done.stderr


async def test_the_command_with_an_unreachable_database_fails_without_a_traceback(unused_tcp_port: int) -> None:
    done = await asyncio.to_thread(run_module, url=f"postgresql://nobody:x@127.0.0.1:{unused_tcp_port}/nothing")
    assert (done.returncode, done.stdout) == (1, "")
    assert "could not be prepared" in done.stderr
    assert "Traceback" not in done.stderr


async def test_seeding_again_changes_nothing_even_on_another_day(backoffice: str, db: asyncpg.Connection) -> None:
    before = await dump(db)
    seeded = await prepare(backoffice, anchor=date(2026, 8, 1))
    assert seeded.anchor == ANCHOR
    assert await dump(db) == before


async def test_seeding_again_keeps_what_tools_did(backoffice: str, db: asyncpg.Connection) -> None:
    await post_reply("T-1003", "Answered.")
    await update_lead("L-201", score=88)
    await create_task("Mine", "Keep it.")
    await save_draft("pricing", "Plans", "New words.", "dana.whitlow")
    await unpublish_page("home", 2, "wrong picture")
    before = await dump(db)
    await prepare(backoffice)
    assert await dump(db) == before
    assert (await fetch_page("home")).published_revision == 1


async def test_seeding_again_restores_missing_rows(backoffice: str, db: asyncpg.Connection) -> None:
    before = await dump(db)
    await db.execute("DELETE FROM backoffice.metrics WHERE area = 'sales'")
    await db.execute("DELETE FROM backoffice.product_usage")
    await prepare(backoffice)
    assert await dump(db) == before


async def test_reset_wipes_what_tools_did(backoffice: str, db: asyncpg.Connection) -> None:
    before = await dump(db)
    await post_reply("T-1003", "Answered.")
    await prepare(backoffice, reset=True, anchor=ANCHOR)
    after = await dump(db)
    after["seeding"] = before["seeding"]  # the time of seeding differs
    assert after == before


async def test_concurrent_seeding_is_serialised(empty_database: str) -> None:
    one, other = await asyncio.gather(*(prepare(empty_database, anchor=ANCHOR) for _ in range(2)))
    assert one == other
    assert one.counts["tickets"] == 120


async def test_every_address_in_the_seed_is_in_a_domain_reserved_for_examples(db: asyncpg.Connection) -> None:
    addresses = [
        row[0]
        for row in await db.fetch(
            "SELECT email FROM backoffice.customers UNION SELECT email FROM backoffice.leads "
            "UNION SELECT 'x@' || domain FROM backoffice.accounts UNION SELECT email FROM backoffice.contact_profiles"
        )
    ]
    assert len(addresses) > 100
    assert [address for address in addresses if not address.endswith(".example")] == []


async def test_every_published_page_of_the_seed_passes_its_own_check(db: asyncpg.Connection) -> None:
    live = await db.fetch("SELECT slug, published_revision FROM backoffice.pages WHERE status = 'published'")
    assert len(live) > 70
    checks = [await verify_page(slug, revision) for slug, revision in live]
    assert [check for check in checks if not check.ok] == []


def test_metrics_are_the_same_for_the_same_anchor_and_end_the_day_before_it() -> None:
    rows = list(daily_metrics(ANCHOR))
    assert rows == list(daily_metrics(ANCHOR))
    assert (min(row["day"] for row in rows), max(row["day"] for row in rows)) == ("2025-12-02", "2026-03-01")
    assert all(float(row["value"]) >= 0 for row in rows)


async def test_without_a_database_url_a_tool_says_what_to_set_and_is_retryable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("APP_DATABASE_URL")
    with pytest.raises(BackOfficeNotConfigured, match="APP_DATABASE_URL is not set"):
        await fetch_ticket("T-1001")
    assert not issubclass(BackOfficeNotConfigured, ag.ToolError)


async def test_an_unreachable_database_is_a_retryable_error(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setenv("APP_DATABASE_URL", f"postgresql://nobody:x@127.0.0.1:{unused_tcp_port}/nothing")
    with pytest.raises(OSError):
        await fetch_ticket("T-1001")


async def test_a_url_in_sqlalchemys_form_works(backoffice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_DATABASE_URL", backoffice.replace("postgresql://", "postgresql+asyncpg://"))
    assert (await fetch_ticket("T-1001")).id == "T-1001"


async def test_many_calls_share_a_bounded_pool(db: asyncpg.Connection) -> None:
    tickets = await asyncio.gather(*(fetch_ticket(f"T-{1001 + number}") for number in range(60)))
    assert len({ticket.id for ticket in tickets}) == 60
    used = await db.fetchval(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE application_name = 'agentgrid-backoffice' AND datname = current_database()"
    )
    assert 1 <= used <= MAX_CONNECTIONS


async def test_concurrent_first_callers_share_one_pool() -> None:
    pools = await asyncio.gather(*(pool() for _ in range(10)))
    assert len({id(each) for each in pools}) == 1


async def test_each_event_loop_has_its_own_pool() -> None:
    here = await fetch_ticket("T-1001")
    found = []

    async def elsewhere() -> None:
        found.append(await fetch_ticket("T-1001"))
        await close_pool()

    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
    thread.start()
    await asyncio.to_thread(thread.join, 30)
    assert found == [here]


async def test_after_closing_the_next_call_opens_a_new_pool(db: asyncpg.Connection) -> None:
    await fetch_ticket("T-1001")
    await close_pool()
    await close_pool()
    await fetch_ticket("T-1001")


async def test_calls_continue_after_the_server_dropped_the_connections(db: asyncpg.Connection) -> None:
    await fetch_ticket("T-1001")
    await db.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE application_name = 'agentgrid-backoffice' AND datname = current_database()"
    )
    # A call may get a dead connection and fail, so retry it as Temporal would, up to once per connection of the pool.
    for _ in range(MAX_CONNECTIONS + 1):
        try:
            assert (await fetch_ticket("T-1001")).id == "T-1001"
            return
        except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            continue
    pytest.fail("the pool did not recover")


async def test_an_exception_rolls_back_a_transaction(db: asyncpg.Connection) -> None:
    async def change_and_fail() -> None:
        async with transaction() as inside:
            await inside.execute("UPDATE backoffice.leads SET score = 5 WHERE id = 'L-201'")
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await change_and_fail()
    assert (await fetch_lead("L-201")).score is None


@pytest.mark.parametrize("body", ["a\x00b", "a\ud800b"])
@pytest.mark.usefixtures("backoffice")
async def test_text_that_the_database_can_not_store_is_a_non_retryable_error(body: str) -> None:
    with pytest.raises(ag.ToolError) as caught:
        await post_reply("T-1003", body)
    assert not caught.value.retryable


async def test_a_statement_that_fails_for_another_reason_is_not_a_tool_error() -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        async with connection() as inside:
            await inside.fetchval("SELECT 1 FROM backoffice.nothing")


def test_a_key_belongs_to_a_call_and_does_not_exist_outside_one(one_call: OneCall) -> None:
    with one_call("the-call"):
        assert (effect_key(), effect_key()) == ("the-call", "the-call")
    with pytest.raises(NoIdempotencyKey):
        effect_key()


def test_importing_the_tools_loads_no_database_driver() -> None:
    program = (
        "import sys, activities.analytics, activities.cms, activities.crm, activities.tasks, activities.triage\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in {'asyncpg', 'sqlalchemy'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
