"""A web page in a browser on the machine where AgentGrid runs: every request that such a page can send.

It can send GET, HEAD and POST with form content types to any address (anything else needs a preflight), open streams and sockets and, if
its own host name resolves to 127.0.0.1 (DNS rebinding), send anything as a page of that name. It has no key.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from agentgrid.api.access import ACCESS
from agentgrid.servers import TemporalServer
from tests.api import factories
from tests.api.conftest import Api, listening, running, settings_for, until_key_is_registered
from tests.api.paths import filled
from tests.api.wire import Reply, command_counts, exchange, state, wire
from tests.conftest import Peopled, Temporal

FORMS = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")
FOREIGN = (
    "http://evil.example",
    "https://127.0.0.1.evil.example",
    "http://localhost:1",
    "http://127.0.0.1:1",
    "null",
    "file://",
)


@pytest.fixture(scope="module")
async def api(
    peopled: Peopled, module_postgres_dsn: str, temporal_server: Temporal, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Api]:
    settings = settings_for(module_postgres_dsn, temporal_server.address, tmp_path_factory.mktemp("page"))
    async with running(settings, dict(peopled.tokens)) as api:
        await until_key_is_registered(api)
        run = factories.run()
        await factories.insert(
            api.plane.engine, *factories.workflow("known", {}), run, factories.execution(run), factories.approval(run)
        )
        yield api


@pytest.fixture(scope="module")
async def url(api: Api) -> AsyncIterator[str]:
    async with listening(api.app) as url:
        yield url


@pytest.fixture
async def untouched(api: Api) -> AsyncIterator[None]:
    """Check that nothing changed and no command was recorded."""
    before, commands = await state(api.plane.engine), await command_counts(api.plane.engine)
    yield
    assert await state(api.plane.engine) == before
    assert await command_counts(api.plane.engine) == commands


async def places(api: Api) -> list[tuple[str, str]]:
    """Every route, with ids of existing resources."""
    async with api.client("reviewer") as client:
        (approval,) = (await client.get("/api/v1/approvals")).json()["items"]
    ids = {"approval_id": approval["approval_id"], "run_id": approval["run_id"], "name": "known"}
    ids |= dict.fromkeys(("command_id", "rule_id", "key_id", "session_id", "version"), "known")
    ids |= {"execution_id": approval["execution_id"], "event_id": "5", "side": "input"}
    routes = (route.split(" ", 1) for route in ACCESS)
    return [(method, filled(path, ids, other="known")) for method, path in routes]


def lets_a_page_read(reply: Reply) -> bool:
    return any(name.startswith("access-control-allow") for name in reply.headers)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("origin", FOREIGN)
async def test_r29_a_page_of_another_site_can_not_decide_or_read(api: Api, url: str, origin: str) -> None:
    """Prefect GHSA-4hh5-2678-83fx: a form's body was parsed as JSON."""
    for method, place in await places(api):
        body = json.dumps({"verdict": "approve", "digest": "x", "input": 1}).encode()
        for kind in FORMS if method != "GET" else FORMS[:1]:
            reply = await exchange(
                url,
                None,
                "POST" if method != "GET" else "GET",
                place,
                f"Origin: {origin}",
                f"Content-Type: {kind}",
                body=body,
            )
            reply.is_problem(403, "foreign_origin")
            assert not lets_a_page_read(reply)
        preflight = await exchange(
            *(url, None, "OPTIONS", place, f"Origin: {origin}", f"Access-Control-Request-Method: {method}"),
            "Access-Control-Request-Headers: authorization,content-type",
        )
        assert preflight.status in (400, 403, 404, 405)
        assert not lets_a_page_read(preflight)


async def test_r29_a_form_changes_nothing_even_if_the_browser_adds_a_key(api: Api, url: str) -> None:
    before = await state(api.plane.engine)
    for method, place in await places(api):
        for kind in FORMS if method != "GET" else ():
            for who in ("reviewer", "operator", "admin"):
                body = b'{"verdict": "approve", "input": 1}'
                reply = await exchange(url, api.tokens[who], method, place, f"Content-Type: {kind}", body=body)
                assert reply.status in (403, 415), (method, place, who, reply)
    assert await state(api.plane.engine) == before


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("who", ["reviewer", "operator", "admin"])
async def test_r29_following_a_link_to_any_route_changes_nothing(api: Api, url: str, method: str, who: str) -> None:
    """Link scanners and prefetching request every address they see, with the browser's credentials."""
    for own, place in await places(api):
        if place.endswith("/events"):
            continue
        for target in (place, f"{place}?verdict=approve&digest=x", f"{place}/", f"{place}?_method={own}"):
            async with wire(url) as line:
                extra = ("X-HTTP-Method-Override: POST", "Purpose: prefetch")
                await line.send(line.request(method, target, *extra, token=api.tokens[who]))
                reply = await line.reply(bodiless=method == "HEAD")
            assert reply.status in (200, 202, 403, 404, 405, 422, 503), (target, reply)
            if target == place and place.endswith(("/decisions", "/cancel", "/terminate", "/revoke")):
                assert reply.status == 405, (target, reply)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "0.0.0.0:{port}",
        "[::ffff:127.0.0.1]:{port}",
    ],
)
async def test_r32_a_rebound_name_reaches_nothing(api: Api, url: str, host: str) -> None:
    """DNS rebinding against a local console: the page has that name, so its origin and host match."""
    name = host.format(port=url.rsplit(":", 1)[1])
    for method, place in [*(await places(api)), ("GET", "/api/openapi.json")]:
        if place in ("/healthz", "/readyz"):
            continue
        for token in (None, api.tokens["admin"]):
            async with wire(url) as line:
                await line.send(
                    line.request(method, place, f"Origin: http://{name}", "Content-Length: 0", token=token, host=name)
                )
                reply = await line.reply()
            reply.is_problem(400, "unknown_host")


@pytest.mark.usefixtures("untouched")
async def test_r32_a_page_opens_no_stream_and_no_socket(api: Api, url: str) -> None:
    for place in ("/api/v1/events", "/api/v1/runs/known/events"):
        stream = await exchange(url, None, "GET", place, "Accept: text/event-stream")
        stream.is_problem(401, "unauthenticated")
        async with wire(url) as line:
            upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
            await line.send(line.request("GET", place, *upgrade, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="))
            assert (await line.reply()).status == 401


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="agentgrid-page-"))
    yield folder
    shutil.rmtree(folder)


async def test_a_rebound_name_neither_reads_nor_ends_a_run_on_any_port_of_temporal(home: Path) -> None:
    """Temporal's UI and API answered under any host name, whatever the path, so a page could terminate runs."""
    async with TemporalServer(home, in_memory=True) as server:
        client = await Client.connect(server.address)
        handle = await client.start_workflow(
            "nobody_serves_this", "canary-of-the-input", id="canary-of-the-id", task_queue="nobody"
        )
        ports = sorted(
            {
                row.laddr.port
                for row in psutil.Process(server.pid).net_connections("tcp")
                if row.status == psutil.CONN_LISTEN
            }
        )
        assert server.port in ports
        assert len(ports) > 1, "its HTTP API always listens"
        answers = [await asked_of(port) for port in ports]
        assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    replies = "\n".join(reply for answer in answers for reply in answer)
    assert "Host not allowed" in replies, "the port of the HTTP API was found"
    assert "canary-of" not in replies
    assert "<html" not in replies


async def asked_of(port: int) -> list[str]:
    """The port's replies to a page with a foreign name, and to one that claims this machine's name."""
    runs = "/api/v1/namespaces/default/workflows"
    asking = [("GET", path) for path in ("/", runs, f"{runs}/canary-of-the-id", f"{runs}/canary-of-the-id/history")]
    asking += [("GET", path.removeprefix("/api/v1")) for _, path in asking[1:]]
    asking += [("POST", f"{runs}/canary-of-the-id/terminate"), ("POST", f"{runs}/canary-of-the-id/cancel")]
    replies = []
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1:{port}", f"localhost:{port}", ""):
            for method, path in asking:
                headers = {"Host": host, "Origin": f"http://{host}", "Content-Type": "application/json"}
                try:
                    answer = await http.request(
                        method,
                        f"http://127.0.0.1:{port}{path}",
                        headers=headers,
                        content=b"{}" if method == "POST" else b"",
                    )
                except (TimeoutError, httpx.HTTPError):
                    continue  # the port does not speak HTTP
                replies.append(answer.text)
    return replies
