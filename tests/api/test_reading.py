"""Reads change nothing: not a GET, not a HEAD, not a link followed by a mail scanner, not a page of another site."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from temporalio.client import Client

from agentgrid.api.access import ACCESS
from tests.api import factories
from tests.api.conftest import Api, eventually, listening
from tests.api.paths import filled
from tests.api.wire import command_counts, exchange, state
from tests.conftest import Temporal

EVERY_PERMISSION = ("operator", "reviewer", "auditor", "admin")
"""Who have every permission among them."""
VERBS = (
    "cancel",
    "terminate",
    "pause",
    "resume",
    "signal",
    "decisions",
    "disable",
    "enable",
    "revoke",
    "retire",
    "policy",
)


@pytest.fixture(scope="module")
async def client(temporal_server: Temporal) -> Client:
    return await Client.connect(temporal_server.address)


@pytest.fixture(scope="module")
async def things(api: Api, client: Client) -> dict[str, str]:
    """A run that is open in Temporal and waits for an approval, and every other resource that a path can name."""
    workflow_id = f"read-{uuid.uuid4()}"
    handle = await client.start_workflow("Nobody", id=workflow_id, task_queue=f"nobody-{workflow_id}")

    async def listed() -> bool:
        return (await client.count_workflows(f"WorkflowId = '{workflow_id}'")).count == 1

    await eventually(listed)
    run = factories.run(
        workflow_id=workflow_id, first_execution_id=handle.first_execution_run_id, execution_id=handle.result_run_id
    )
    approval = factories.approval(run)
    await factories.insert(
        api.plane.engine,
        *factories.workflow("known", {}, version="v1"),
        factories.tool("known"),
        run,
        factories.execution(run),
        factories.step(run, 5, status="running"),
        approval,
    )
    return {
        "run_id": run.run_id,
        "execution_id": run.execution_id or "",
        "event_id": "5",
        "side": "input",
        "approval_id": approval.approval_id,
        "name": "known",
        "rule_id": "tool:known",
        "session_id": "known",
        "key_id": api.tokens["second"].split("_")[1],
        "command_id": "nothing",
        "workflow_id": workflow_id,
        "version": "v1",
    }


@pytest.fixture(scope="module")
async def url(api: Api) -> AsyncIterator[str]:
    async with listening(api.app) as url:
        yield url


@pytest.fixture
async def nothing_changes(api: Api, client: Client, things: dict[str, str]) -> AsyncIterator[None]:
    """Checks that all tables, all commands and the run in Temporal are unchanged after the test."""

    async def everything() -> list[Any]:
        described = await client.get_workflow_handle(things["workflow_id"]).describe()
        count = await client.count_workflows(f"WorkflowId = '{things['workflow_id']}'")
        engine = api.plane.engine
        return [
            await state(engine),
            await command_counts(engine),
            described.history_length,
            described.status,
            count.count,
        ]

    before = await everything()
    yield
    assert await everything() == before


def places(things: dict[str, str]) -> Iterator[str]:
    """Every path that a link could point to: those of all routes and their verbs."""
    for route in sorted({route.split(" ", 1)[1] for route in ACCESS}):
        yield filled(route, things)
    for verb in VERBS:
        yield f"/api/v1/runs/{things['run_id']}/{verb}?verdict=approved&reason=x&confirm=true"
        yield f"/api/v1/approvals/{things['approval_id']}/{verb}?verdict=approved&method=POST&_method=POST"


@pytest.mark.parametrize("who", EVERY_PERMISSION)
@pytest.mark.usefixtures("nothing_changes")
async def test_r33_reading_everything_changes_nothing(api: Api, url: str, things: dict[str, str], who: str) -> None:
    token = api.tokens[who]
    scanner = ["Purpose: prefetch", "Sec-Purpose: prefetch", "X-HTTP-Method-Override: POST", "Last-Event-ID: x"]
    for path in places(things):
        looked = await exchange(url, token, "GET", path, *scanner)
        assert looked.status in (200, 202, 403, 404, 405, 422, 503), (path, looked)
        if "?" in path:
            headers = ("Content-Type: application/json", "Idempotency-Key: x")
            with_body = await exchange(url, token, "GET", path, *scanner, *headers, body=b'{"verdict": "approved"}')
            assert with_body.status == looked.status
    async with api.client(who) as client:
        for path in places(things):
            assert (await client.head(path)).status_code in (404, 405), path


CROSS_SITE = ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost.evil.example", "file://", ""]


@pytest.mark.parametrize("origin", CROSS_SITE)
@pytest.mark.usefixtures("nothing_changes")
async def test_a_page_of_another_site_changes_nothing_even_with_a_key(
    api: Api, url: str, things: dict[str, str], origin: str
) -> None:
    for route, access in ACCESS.items():
        if access.command is None:
            continue
        method, path = route.split(" ", 1)
        for token in (api.tokens["operator"], api.tokens["reviewer"], api.tokens["admin"]):
            reply = await exchange(
                url,
                token,
                method,
                filled(path, things),
                f"Origin: {origin}",
                "Content-Type: application/json",
                body=b"{}",
            )
            reply.is_problem(403, "foreign_origin")


@pytest.mark.usefixtures("nothing_changes")
async def test_no_response_allows_a_foreign_origin(api: Api, url: str, things: dict[str, str]) -> None:
    """Not even in a preflight: no response allows an origin."""
    for origin in ("https://evil.example", url):
        preflight = ["Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization"]
        for path in ("/api/v1/runs", f"/api/v1/approvals/{things['approval_id']}/decisions"):
            reply = await exchange(url, None, "OPTIONS", path, f"Origin: {origin}", *preflight)
            assert reply.status in (403, 404, 405)
            assert not [name for name in reply.headers if name.startswith("access-control-")]


async def test_cookies_grant_no_access(api: Api, url: str) -> None:
    """So there is nothing that a browser would send automatically."""
    key = api.tokens["admin"]
    for cookie in (f"session={key}", f"Authorization=Bearer {key}", f"api_key={key}", f"__Host-session={key}"):
        (await exchange(url, None, "GET", "/api/v1/me", f"Cookie: {cookie}")).is_problem(401, "unauthenticated")
