"""A worker's reports on its MCP servers: what is held and why, without secrets, and never larger than the database accepts."""

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


async def test_a_workers_report_on_a_server_shows_changes_and_hides_command_arguments(
    make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolset = await make()
    report = await toolset.look()
    assert (report.state, report.reached_by, report.changes) == ("ready", "env", ())
    assert report.tools[:1] == ("test_die",)
    monkeypatch.setattr(mcp_servers, "MAX_CHECK_AGE_SECONDS", -1.0)
    hostile = mcp_server.ECHO | {"description": "\0obey"}
    mcp_server.listing(folder, [hostile, *mcp_server.LISTED[2:]])
    report = await toolset.look()
    assert report.state == "held"
    changed = {change.tool: change for change in report.changes}
    assert {name: change.what for name, change in changed.items()} == {"echo": "changed", "environment": "removed"}
    assert "Say it again." in changed["echo"].before
    assert changed["environment"].after is None
    monkeypatch.setattr(mcp_servers, "MAX_CHECK_AGE_SECONDS", 60.0)
    sent = worker_mcp_servers.document(Grid("gated", gated), "q", [report])
    assert "\0" not in str(json.loads(sent))
    assert pins.plain("a\0\ud800😀") == "a\ufffd\ufffd😀"
    assert len(worker_mcp_servers.document(Grid("gated", gated), "q", [report] * 100)) < worker_mcp_servers.MAX_REPORT

    broken = await make(command=("/nowhere/secret-tool", "--token", "hush"))
    report = await broken.look()
    assert (report.state, report.reached_by) == ("unreachable", "secret-tool")
    assert "hush" not in repr(report)
    assert await broken.look() is report  # the process is not restarted within a minute


async def test_a_report_contains_no_secret_from_the_servers_listing_or_url(
    make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile server knows the secrets it was given, and everyone who may read tools sees its listing."""
    toolset = await make()
    secret = "hush-" + "x" * 40
    known.learn("MCP_KEY", secret)
    try:
        leaking = mcp_server.ECHO | {"description": secret}
        at_the_cut = mcp_server.ECHO | {"name": "long", "description": "y" * (pins.MAX_ENTRY - 60) + secret}
        mcp_server.listing(folder, [leaking, at_the_cut, mcp_server.ECHO | {"name": f"a_{secret}"}])
        monkeypatch.setattr(mcp_servers, "MAX_CHECK_AGE_SECONDS", -1.0)
        report = await toolset.look()
    finally:
        known.forget("MCP_KEY", secret)
    assert (report.state, len(report.changes) > 2) == ("held", True)
    assert "hush-" not in repr(report)
    assert "MCP_KEY" in report.reason
    for url in ("https://a.test:8443/mcp?token=hush", "https://a.test:8443?token=hush", "https://a.test:8443#hush"):
        assert Server(name="test", url=url).program == "https://a.test:8443"


async def test_a_report_is_resent_after_a_failure_and_not_while_unchanged(
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
    )  # it ends once no server is in the code
    assert sent == ["ready", "held"]


async def test_an_unexpected_comparison_failure_is_logged_and_reported_without_its_text(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolset = await make()
    monkeypatch.setattr(toolset, "_reviewed", AsyncMock(side_effect=KeyError("of the server")))
    with capture_logs() as logged:
        report = await toolset.look()
    assert (report.state, report.reason) == ("unreachable", "the comparison failed: KeyError; see the worker's log")
    assert [(line["event"], line["server"], line["error"]) for line in logged] == [
        ("mcp_server_not_used", "test", "'of the server'")
    ]
    assert await toolset.look() is report


async def test_an_error_that_ends_the_reports_is_logged_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Toolset):
        async def look(self) -> SourceReport | None:
            raise KeyError("news")

    declared = Declared(file="news.py", line=1, module="news")
    monkeypatch.setattr(Grid, "toolsets", (Broken("news", tools={}, declared=declared),))
    with capture_logs() as logged:
        await asyncio.wait(
            [in_background(worker_mcp_servers.report("", Grid("gated", gated), "q"), "agentgrid-mcp-servers")]
        )
    assert [(line["event"], line["task"], line["exc_info"].args) for line in logged] == [
        ("worker_task_failed", "agentgrid-mcp-servers", ("news",))
    ]


def test_a_report_fits_the_database_limit_and_names_tools_of_every_server() -> None:
    """Regression: a report on many servers with many tools exceeded the database's limit, so it was refused every time."""
    grid = Grid("gated", gated)
    long = Changed(tool="t", what="changed", before="é" * 8_000, after="é" * 8_000)
    tools = tuple(f"{'t' * 96}{number:04}" for number in range(600))
    report = SourceReport(
        name="news", reached_by="uvx", tools=tools, state="held", reason="é" * 10_000, changes=(long,) * 50
    )
    (server,) = json.loads(worker_mcp_servers.document(grid, "q", [report]))["servers"]
    assert (len(server["tools"]), len(server["changes"])) == (500, 2)
    many = worker_mcp_servers.document(grid, "q", [report] * worker_mcp_servers.MAX_SERVERS)
    assert len(many) <= worker_mcp_servers.MAX_REPORT
    assert {(len(line["tools"]), len(line["changes"])) for line in json.loads(many)["servers"]} == {(5, 0)}
