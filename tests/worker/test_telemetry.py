"""Workers' reports arrive once, under a role that may do nothing else. Nothing waits for reports during a database outage."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from temporalio.client import Client
from temporalio.worker import Worker

import agentgrid as ag
from agentgrid.db import migrate
from agentgrid.domain.steps import JobStatus
from agentgrid.sdk.grid import Grid
from agentgrid.settings import Settings
from agentgrid.testing import Governance
from agentgrid.worker import catalog
from agentgrid.worker.telemetry import MAX_LOGS, JobReport, Telemetry
from tests.conftest import worker_login
from tests.worker import gated

AT = datetime.now(UTC)
JOB = JobReport(
    job_id="e/1/1",
    started_at=AT,
    execution_id="e",
    workflow_id="w",
    activity_id="1",
    activity_type="tool.refund",
    attempt=1,
    local=False,
    call_key="k",
    worker="me",
    task_queue="q",
)
LINE = {
    "logged_at": AT,
    "execution_id": "e",
    "workflow_id": "w",
    "activity_id": None,
    "attempt": None,
    "level": "info",
    "logger": "l",
    "message": "a\x00b",
    "fields": {"x": "\x00"},
    "worker": "me",
}


async def rows(dsn: str, query: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [dict(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def test_touches_jobs_and_logs_arrive_once_in_any_order(postgres_dsn: str) -> None:
    telemetry = Telemetry(postgres_dsn, namespace="default", worker="me")
    ended = dataclasses.replace(JOB, status=JobStatus.COMPLETED, finished_at=AT)
    await telemetry.start()
    telemetry.touch("e", "w", 5)
    telemetry.touch("e", "w", 3, True)
    telemetry.touch("e", "w", 4)
    telemetry.touch("other", "w", 1)
    telemetry.job(JOB)
    telemetry.job(ended)
    telemetry.line(LINE)
    await telemetry.stop()
    again = Telemetry(postgres_dsn, namespace="default", worker="me")
    await again.start()
    again.job(JOB)  # a start that arrives after the end changes nothing
    await again.stop()
    changes = await rows(
        postgres_dsn,
        "SELECT execution_id, max(expect) AS expect, bool_or(urgent) AS urgent FROM touches GROUP BY 1 ORDER BY 1",
    )
    assert changes == [
        {"execution_id": "e", "expect": 5, "urgent": True},
        {"execution_id": "other", "expect": 1, "urgent": False},
    ]
    (job,) = await rows(postgres_dsn, "SELECT status, finished_at FROM jobs")
    assert job == {"status": "completed", "finished_at": AT}
    (line,) = await rows(postgres_dsn, "SELECT message, fields::text FROM logs")
    assert line["message"] == "a␀b"
    assert telemetry.dropped == again.dropped == 0


async def test_the_buffers_are_bounded_and_count_what_they_drop() -> None:
    telemetry = Telemetry("postgresql://nobody@127.0.0.1:1/nowhere", namespace="default", worker="me")
    for _ in range(MAX_LOGS + 7):
        telemetry.line({})
    assert telemetry.dropped == 7


async def test_reports_made_while_the_database_was_away_are_sent_when_it_is_back(postgres_dsn: str) -> None:
    telemetry = Telemetry("postgresql://nobody@127.0.0.1:1/nowhere", namespace="default", worker="me")
    await telemetry.start()
    telemetry.touch("e", "w", 5)
    telemetry.job(JOB)
    await asyncio.sleep(0.1)  # long enough to fail at least once
    telemetry.dsn = postgres_dsn
    async with asyncio.timeout(10):
        while not (
            await rows(postgres_dsn, "SELECT 1 FROM touches") and await rows(postgres_dsn, "SELECT 1 FROM jobs")
        ):
            await asyncio.sleep(0.05)
    await telemetry.stop()


async def test_a_report_in_flight_when_the_worker_stops_is_not_sent_again(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = Telemetry(postgres_dsn, namespace="default", worker="me")
    written, answered = asyncio.Event(), asyncio.Event()
    send = telemetry._send_reports

    async def late(connection: asyncpg.Connection[Any]) -> None:
        execute = connection.execute

        async def answers_late(*question: Any) -> str:
            answer = await execute(*question)
            written.set()
            await answered.wait()
            return answer

        with monkeypatch.context() as patch:
            patch.setattr(asyncpg.Connection, "execute", lambda _, *question: answers_late(*question))
            await send(connection)

    monkeypatch.setattr(telemetry, "_send_reports", late)
    await telemetry.start()
    telemetry.line(LINE)
    async with asyncio.timeout(10):
        await written.wait()
    stopping = asyncio.create_task(telemetry.stop())
    await asyncio.sleep(0)
    answered.set()
    await stopping
    assert len(await rows(postgres_dsn, "SELECT 1 FROM logs")) == 1


async def test_the_workers_role_may_report_and_read_policy_and_nothing_else(postgres_dsn: str) -> None:
    connection = await asyncpg.connect(await worker_login(postgres_dsn))
    try:
        await connection.execute("SELECT document FROM policy_snapshots")
        await connection.execute("SELECT agentgrid_touch('default', ARRAY['e'], ARRAY['w'], ARRAY[1]::bigint[])")
        for forbidden in (
            "SELECT * FROM runs",
            "SELECT * FROM approvals",
            "SELECT * FROM api_keys",
            "SELECT * FROM commands",
            "INSERT INTO policy_snapshots (document) VALUES ('{}')",
            "UPDATE approvals SET status = 'approved'",
            "INSERT INTO commands (command_id, kind, status, principal) VALUES ('c', 'k', 'pending', 'p')",
            "SELECT agentgrid_ensure_partitions(1)",
            "CREATE TABLE public.mine (x integer)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(forbidden)
    finally:
        await connection.close()


async def test_a_running_worker_registers_reports_and_logs(
    client: Client, queue: str, postgres_dsn: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    grid = Grid("gated", gated)
    settings = Settings(database_url=SecretStr(await worker_login(postgres_dsn)), home=tmp_path)
    async with Worker(client, task_queue=queue, plugins=[Governance().plugin(grid, settings=settings)]):
        handle = await client.start_workflow("gated", "", id=f"reported-{queue}", task_queue=queue)
        assert await handle.result() == "refunded 900"
        async with asyncio.timeout(10):
            while not await rows(postgres_dsn, "SELECT 1 FROM tools"):
                await asyncio.sleep(0.05)
    assert {row["name"] for row in await rows(postgres_dsn, "SELECT name FROM tools")} == {
        tool.name for tool in grid.tools
    }
    workflow, *alone = await rows(postgres_dsn, "SELECT name, version, task_queue, grid FROM workflows ORDER BY name")
    assert [run["name"] for run in alone] == [f"tool.{tool.name}" for tool in grid.tools]
    assert workflow == {"name": "gated", "version": grid.workflows[0].version, "task_queue": queue, "grid": "gated"}
    (job,) = await rows(postgres_dsn, "SELECT execution_id, activity_type, attempt, status, call_key FROM jobs")
    assert job["execution_id"] == handle.first_execution_run_id
    assert (job["activity_type"], job["attempt"], job["status"]) == ("tool.refund", 1, "completed")
    assert len(job["call_key"]) == 24
    (change,) = await rows(postgres_dsn, "SELECT workflow_id, max(expect) AS expect FROM touches GROUP BY 1")
    assert change["workflow_id"] == handle.id
    assert change["expect"] >= 9
    lines = await rows(postgres_dsn, "SELECT message, fields::text AS fields, activity_id FROM logs ORDER BY log_id")
    assert [(line["message"], json.loads(line["fields"])) for line in lines] == [
        ("refund_asked", {"case": ""}),
        ("refunding", {"order": "order"}),
    ]
    assert lines[0]["activity_id"] is None
    assert lines[1]["activity_id"] is not None


def test_the_database_reads_exactly_the_fields_of_the_catalog_document() -> None:
    functions = (migrate.SQL / "functions.sql").read_text()
    body = functions.partition("FUNCTION agentgrid_catalog(")[2].partition("$$;")[0]
    entries = (catalog.WorkflowEntry, catalog.ToolEntry, catalog.AgentEntry)
    assert set(re.findall(r"\b[rw]->>?'(\w+)'", body)) == {name for entry in entries for name in entry.__annotations__}
    assert set(re.findall(r"p_document->>?'(\w+)'", body)) == set(catalog.CatalogDocument.__annotations__)


def test_the_catalog_document_is_json() -> None:
    document = catalog.document(Grid("gated", gated), "q")
    assert json.loads(json.dumps(document)) == document


def test_the_run_logger_works_outside_a_run(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        ag.log.info("seeded", rows=3)
    assert caplog.messages == ["seeded"]


async def test_a_driver_error_loses_no_report(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real, confused = Telemetry._send_touches, [asyncpg.InternalClientError("confused")] * 2

    async def send(telemetry: Telemetry, connection: asyncpg.Connection[Any]) -> None:
        if confused:
            raise confused.pop()
        await real(telemetry, connection)

    monkeypatch.setattr(Telemetry, "_send_touches", send)
    telemetry = Telemetry(postgres_dsn, namespace="default", worker="me")
    await telemetry.start()
    telemetry.touch("e", "w", 5)
    async with asyncio.timeout(60):
        while not await rows(postgres_dsn, "SELECT * FROM touches"):
            await asyncio.sleep(0.05)
    assert not confused
    await telemetry.stop()
