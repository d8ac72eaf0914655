"""R44: a secret's value never leaves a worker, however its tools misbehave: every store, log, stream and answer is scanned."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import logging
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import structlog
import zstandard
from temporalio.api.enums.v1 import EventType
from temporalio.worker import UnsandboxedWorkflowRunner

import agentgrid as ag
from agentgrid.api.access import V1
from agentgrid.domain.secrets import forms, known
from agentgrid.errors import RegistrationErrors
from agentgrid.logging import configure
from agentgrid.sdk.grid import Grid
from agentgrid.settings import Settings
from tests.api.conftest import listening
from tests.cli.conftest import Cli, cli, home
from tests.e2e.conftest import Loop, loop, namespace, seeded_template
from tests.security import betraying
from tests.sources import calling, crm
from tests.sources.hostile import Request, serving, text

__all__ = ["cli", "home", "loop", "namespace", "seeded_template"]

NAME = "BETRAYED_KEY"
UNIQUE = uuid.uuid4().hex + uuid.uuid4().hex
VALUE = f'sk/{UNIQUE}+"é\\'
MARK = f"<secret {NAME}>"
TRACES = [UNIQUE, UNIQUE[:16], UNIQUE[-16:], *(form for form in forms(VALUE) if len(form) > 12)]
"""No store may contain any of these: the value in any form, and its parts, because errors truncate what they quote."""
ROUTES = ("", "/steps", "/jobs", "/logs", "/history", "/result", "/events")


def holds(text: str | bytes) -> list[str]:
    """The traces of the value in a text."""
    return [trace for trace in TRACES if (trace.encode() in text if isinstance(text, bytes) else trace in text)]


@contextlib.contextmanager
def written() -> Iterator[io.StringIO]:
    """What all processes of the loop log, with AgentGrid's handler and with one of the user's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    config = structlog.get_config() if structlog.is_configured() else None
    text = io.StringIO()
    configure(Settings(log_format="json"))
    root.addHandler(logging.StreamHandler(text))
    try:
        with contextlib.redirect_stderr(text):
            yield text
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
        if config is not None:
            structlog.configure(**config)


@dataclass(frozen=True, kw_only=True)
class Betrayal:
    passed: str
    trying: str
    read: str
    sent: str
    refused: str
    log: str

    @property
    def runs(self) -> tuple[str, ...]:
        return self.passed, self.trying, self.read, self.sent, self.refused


async def repeats(request: Request, writer: asyncio.StreamWriter) -> None:
    """A service that answers with the request's headers, including credentials."""
    status = 401 if request.target.endswith("refused") else 200
    kind = {"content-type": "application/json", "www-authenticate": "Repeat"}
    await text(status, json.dumps(request.headers).encode(), kind)(request, writer)


@contextlib.asynccontextmanager
async def calling_out(loop: Loop, folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Two runs that sent the secret in a header to an OpenAPI service, which repeated it in a result and in an error."""
    async with serving(repeats) as server:
        crm_tools = ag.openapi(
            "crm",
            crm.written(folder, crm.document()),
            server=server.url,
            auth=NAME,
            allow=["127.0.0.1"],
            check_results=False,
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(calling, "crm", crm_tools)
            async with loop.worker("calling", Grid("calling", calling), workflow_runner=UnsandboxedWorkflowRunner()):
                async with asyncio.timeout(30):
                    while "calls_crm" not in str(await loop.call("operator", "GET", "/workflows?limit=200")):
                        await asyncio.sleep(0.05)
                sent, refused = [await loop.start("calls_crm", customer) for customer in ("sent", "refused")]
                for run in (sent, refused):
                    assert (await loop.until(run))["status"] == "completed"
                    await loop.reports(run, "jobs", lambda jobs: any(job["finished_at"] for job in jobs))
        assert [request.headers["x-api-key"] for request in server.requests] == [VALUE] * 2
        yield sent, refused


@pytest.fixture(scope="module")
async def betrayal(loop: Loop, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Betrayal]:
    """A run with every leak, one that heartbeats, fails and retries, one whose workflow reads the secret, and two that send it."""
    with pytest.MonkeyPatch.context() as patch, written() as log:
        patch.setenv(NAME, VALUE)
        worker = loop.worker("betraying", Grid("betraying", betraying), activities=[betraying.plain_betrayal])
        async with worker, calling_out(loop, tmp_path_factory.mktemp("crm")) as (sent, refused):
            async with asyncio.timeout(30):
                while "betrays" not in str(await loop.call("operator", "GET", "/workflows?limit=200")):
                    await asyncio.sleep(0.05)
            passed, trying, read = [await loop.start("betrays", way) for way in ("passes", "tries", "reads")]
            assert (await loop.until(passed))["status"] == "completed", log.getvalue()
            assert (await loop.until(read))["status"] == "failed"
            await loop.reports(passed, "logs", lambda lines: "it failed" in str(lines) and "all of it" in str(lines))
            await loop.reports(passed, "jobs", lambda jobs: len([job for job in jobs if job["error"]]) >= 9)
            async with asyncio.timeout(30):
                while "attempt with" not in json.dumps((await loop.run(trying))["steps"]["open"]):
                    await asyncio.sleep(0.05)
            ids = {"passed": passed, "trying": trying, "read": read, "sent": sent, "refused": refused}
            yield Betrayal(**ids, log=log.getvalue())
            await loop.call("operator", "POST", f"/runs/{trying}/terminate", 202, json={})
            await loop.until(trying)
    known.forget(NAME, VALUE)


async def test_r44_temporals_history_holds_no_value(loop: Loop, betrayal: Betrayal) -> None:
    events = []
    for run_id in betrayal.runs:
        handle = loop.client.get_workflow_handle(run_id)
        events += [event async for event in handle.fetch_history_events()]
        assert not holds((await handle.describe()).raw_description.SerializeToString())
    leaks = {
        EventType.Name(event.event_type): holds(raw) for event in events if holds(raw := event.SerializeToString())
    }
    assert leaks == {}
    texts = b"".join(event.SerializeToString() for event in events)
    # Every leak was attempted: each left the mark.
    assert texts.count(MARK.encode()) > 20
    pending = (await loop.client.get_workflow_handle(betrayal.trying).describe()).raw_description.pending_activities[0]
    assert [payload.data.count(MARK.encode()) for payload in pending.heartbeat_details.payloads] == [1, 1, 1]
    assert MARK in pending.last_failure.message
    assert pending.last_failure.application_failure_info.type == "RuntimeError"


async def test_r44_no_table_holds_a_value(betrayal: Betrayal, module_postgres_dsn: str) -> None:
    async with asyncpg.create_pool(module_postgres_dsn, min_size=1) as pool, pool.acquire() as connection:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        marked = set()
        for (table,) in tables:
            for row in await connection.fetch(f'SELECT * FROM "{table}"'):
                text = str(dict(row))
                for value in row.values():
                    if isinstance(value, bytes):
                        with contextlib.suppress(zstandard.ZstdError):
                            value = zstandard.ZstdDecompressor().decompress(value, max_output_size=10**8)
                        text += value.decode("utf-8", "replace")
                assert not holds(text), (table, text)
                if MARK in text:
                    marked.add(table)
    assert {"runs", "steps", "jobs"} <= marked, marked


async def test_r44_no_answer_stream_document_or_command_shows_a_value(
    loop: Loop, betrayal: Betrayal, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = ""
    for run_id in (betrayal.passed, betrayal.read, betrayal.sent, betrayal.refused):
        for route in ROUTES:
            async with loop.api.client("operator") as client:
                answer = await client.get(f"{V1}/runs/{run_id}{route}")
            assert answer.status_code == 200, (route, answer.text)
            assert not holds(answer.text), (route, answer.text)
            seen += answer.text
    assert seen.count(MARK) > 20
    for path in ("/openapi.json", f"{V1}/tools", f"{V1}/workflows", f"{V1}/runs", f"{V1}/workers", f"{V1}/commands"):
        async with loop.api.client("auditor") as client:
            assert not holds((await client.get(path)).text), path
    async with listening(loop.api.app) as url:
        monkeypatch.setenv("AGENTGRID_API_URL", url)
        monkeypatch.setenv("AGENTGRID_API_KEY", loop.api.tokens["operator"])
        for command in (("run", "show", betrayal.passed), ("run", "logs", betrayal.passed)):
            ended = await asyncio.to_thread(cli, *command)
            assert ended.code == 0, ended.err
            assert not holds(ended.out + ended.err), ended.out


async def test_r44_no_log_holds_a_value(betrayal: Betrayal) -> None:
    assert not holds(betrayal.log), [line for line in betrayal.log.splitlines() if holds(line)]
    for expected in ("called with ", "sent ", "wrongly formatted", "it failed", "Completing activity as failed"):
        assert expected in betrayal.log
    assert f"refused {MARK}" in betrayal.log
    # Operators learn which tool leaks which secret.
    assert betrayal.log.count("secret_redacted") > 10
    # What couldn't be stored is in the log, with its cause.
    lost = [line for line in betrayal.log.splitlines() if "error_detail_not_stored" in line]
    assert lost
    assert all(f"can't store {MARK}" in line for line in lost)


async def test_workflow_code_cannot_read_secrets_and_their_names_may_be_shown(loop: Loop, betrayal: Betrayal) -> None:
    read = await loop.run(betrayal.read)
    assert read["error"]["type"] == "SecretInWorkflow"
    assert "read it inside a tool" in read["error"]["message"]
    passed = await loop.client.get_workflow_handle(betrayal.passed).result()
    assert passed[1] == f"the {MARK} is {MARK}"
    assert f"'basic': '{base64.b64encode(b'me:').decode()[:3]}" in passed[0], "text other than the value is kept"
    assert "KeyError" in passed[3], "and so is the class of an error"
    result, heartbeat, detail = passed[-3:]
    assert f"can't store {MARK}" in result
    assert f"can't store {MARK}" in heartbeat
    assert "refused" in detail, "an error with a detail that can't be stored keeps its message"


async def test_a_secret_header_that_an_openapi_service_repeats_is_redacted(loop: Loop, betrayal: Betrayal) -> None:
    """The tests above also search every store for these runs' values."""
    result = await loop.client.get_workflow_handle(betrayal.sent).result()
    assert f"'x-api-key': '{MARK}'" in result
    refused = await loop.client.get_workflow_handle(betrayal.refused).result()
    assert "answers 401" in refused
    assert f'"x-api-key": "{MARK}"' in refused
    (job,) = (await loop.call("operator", "GET", f"/runs/{betrayal.refused}/jobs"))["items"]
    assert MARK in job["error"]["message"]


def test_check_names_the_file_of_a_workflow_that_reads_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reading_it.py").write_text(
        "from temporalio import workflow\nimport agentgrid as ag\n\nKEY = ag.secret('A_KEY')\n\n\n"
        "@ag.workflow(title='Reads')\nclass Reads:\n    @workflow.run\n    async def run(self) -> str:\n"
        "        await ag.secret('OTHER_KEY').value()\n        return await KEY.value()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    grid = Grid("reading", "reading_it")
    assert grid.secrets == ("A_KEY", "OTHER_KEY")
    with pytest.raises(RegistrationErrors) as caught:
        grid.check()
    assert [fault.line for fault in caught.value.faults] == [11, 12]
    assert "can't read a secret" in caught.value.message
