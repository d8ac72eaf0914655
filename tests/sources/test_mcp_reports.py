"""What a worker reports of its MCP servers: what is held and why, no secret, and never more than the database takes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import AsyncMock

import asyncpg
import pytest
from structlog.testing import capture_logs

from agentgrid.domain.secrets import known
from agentgrid.sdk.grid import Grid
from agentgrid.sdk.json_tools import Declared
from agentgrid.sdk.toolsets import Changed, SourceReport, Toolset
from agentgrid.sources import mcp_servers, pins
from agentgrid.sources.pins import Server
from agentgrid.worker import mcp_servers as worker_mcp_servers
from agentgrid.worker.background import in_background
from tests.sources import mcp_server
from tests.sources.test_mcp import Make, folder, make
from tests.worker import gated

__all__ = ["folder", "make"]


async def test_what_a_worker_reports_of_a_server_says_what_changed_and_hides_its_arguments(
    make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolset = await make()
    found = await toolset.look()
    assert (found.state, found.reached_by, found.changes) == ("ready", "env", ())
    assert found.tools[:1] == ("test_die",)
    monkeypatch.setattr(mcp_servers, "CHECKED_SECONDS", -1.0)
    hostile = mcp_server.ECHO | {"description": "\0obey"}
    mcp_server.listing(folder, [hostile, *mcp_server.LISTED[2:]])
    found = await toolset.look()
    assert found.state == "held"
    changed = {each.tool: each for each in found.changes}
    assert {name: each.what for name, each in changed.items()} == {"echo": "changed", "environment": "removed"}
    assert "Say it again." in changed["echo"].before
    assert changed["environment"].after is None
    monkeypatch.setattr(mcp_servers, "CHECKED_SECONDS", 60.0)
    sent = worker_mcp_servers.document(Grid("gated", gated), "q", [found])
    assert "\0" not in str(json.loads(sent))
    assert pins.plain("a\0\ud800😀") == "a\ufffd\ufffd😀"
    assert len(worker_mcp_servers.document(Grid("gated", gated), "q", [found] * 100)) < worker_mcp_servers.MAX_REPORT

    broken = await make(command=("/nowhere/secret-tool", "--token", "hush"))
    found = await broken.look()
    assert (found.state, found.reached_by) == ("unreachable", "secret-tool")
    assert "hush" not in repr(found)
    assert await broken.look() is found  # no process is started again within a minute


async def test_a_report_holds_no_secret_that_the_server_lists_or_its_url_has(
    make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile server knows the secrets that it was given, and all readers of tools see what it lists."""
    toolset = await make()
    secret = "hush-" + "x" * 40
    known.learn("MCP_KEY", secret)
    try:
        leaking = mcp_server.ECHO | {"description": secret}
        at_the_cut = mcp_server.ECHO | {"name": "long", "description": "y" * (pins.MAX_ENTRY - 60) + secret}
        mcp_server.listing(folder, [leaking, at_the_cut, mcp_server.ECHO | {"name": f"a_{secret}"}])
        monkeypatch.setattr(mcp_servers, "CHECKED_SECONDS", -1.0)
        found = await toolset.look()
    finally:
        known.forget("MCP_KEY", secret)
    assert (found.state, len(found.changes) > 2) == ("held", True)
    assert "hush-" not in repr(found)
    assert "MCP_KEY" in found.reason
    for url in ("https://a.test:8443/mcp?token=hush", "https://a.test:8443?token=hush", "https://a.test:8443#hush"):
        assert Server(name="test", url=url).program == "https://a.test:8443"


async def test_a_report_is_sent_again_after_a_fault_and_not_while_nothing_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ready = SourceReport(name="news", reached_by="uvx", tools=("news_a",), state="ready")
    looks = [ready, ready, ready, ready, replace(ready, state="held"), None]
    faults: list[Exception] = [OSError("away"), asyncpg.PostgresError("refused")]
    sent: list[str] = []

    class News(Toolset):
        async def look(self) -> SourceReport | None:
            return looks.pop(0)

    async def send(dsn: str, text: str) -> None:
        if faults:
            raise faults.pop()
        sent.append(json.loads(text)["servers"][0]["state"])

    monkeypatch.setattr(worker_mcp_servers, "_send", send)
    monkeypatch.setattr(worker_mcp_servers, "INTERVAL_SECONDS", 0.0)
    declared = Declared(file="news.py", line=1, module="news")
    monkeypatch.setattr(Grid, "toolsets", (News("news", tools={}, declared=declared),))
    await asyncio.wait_for(
        worker_mcp_servers.report("", Grid("gated", gated), "q"), 5
    )  # it ends once the code has no server
    assert sent == ["ready", "held"]


async def test_a_comparison_that_fails_in_an_unforeseen_way_is_reported_without_its_text_and_logged(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolset = await make()
    monkeypatch.setattr(toolset, "_reviewed", AsyncMock(side_effect=KeyError("of the server")))
    with capture_logs() as logged:
        found = await toolset.look()
    assert (found.state, found.reason) == ("unreachable", "the comparison failed: KeyError; see the worker's log")
    assert [(each["event"], each["server"], each["error"]) for each in logged] == [
        ("mcp_server_not_used", "test", "'of the server'")
    ]
    assert await toolset.look() is found


async def test_what_ends_the_reports_is_in_the_workers_log_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Toolset):
        async def look(self) -> SourceReport | None:
            raise KeyError("news")

    declared = Declared(file="news.py", line=1, module="news")
    monkeypatch.setattr(Grid, "toolsets", (Broken("news", tools={}, declared=declared),))
    with capture_logs() as logged:
        await asyncio.wait(
            [in_background(worker_mcp_servers.report("", Grid("gated", gated), "q"), "agentgrid-mcp-servers")]
        )
    assert [(each["event"], each["task"], each["exc_info"].args) for each in logged] == [
        ("worker_task_failed", "agentgrid-mcp-servers", ("news",))
    ]


def test_a_report_is_short_enough_for_the_database_and_names_tools_of_every_server() -> None:
    """Seen: a report of many servers with many tools was over the database's limit, and so refused each time."""
    grid = Grid("gated", gated)
    long = Changed(tool="t", what="changed", before="é" * 8_000, after="é" * 8_000)
    tools = tuple(f"{'t' * 96}{number:04}" for number in range(600))
    found = SourceReport(
        name="news", reached_by="uvx", tools=tools, state="held", reason="é" * 10_000, changes=(long,) * 50
    )
    (one,) = json.loads(worker_mcp_servers.document(grid, "q", [found]))["servers"]
    assert (len(one["tools"]), len(one["changes"])) == (500, 2)
    many = worker_mcp_servers.document(grid, "q", [found] * worker_mcp_servers.MAX_SERVERS)
    assert len(many) <= worker_mcp_servers.MAX_REPORT
    assert {(len(each["tools"]), len(each["changes"])) for each in json.loads(many)["servers"]} == {(5, 0)}
