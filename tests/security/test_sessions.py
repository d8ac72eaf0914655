"""Attacks on the cookie of a browser session by pages of another port or host, with the headers that browsers send."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie

import pytest
from sqlalchemy import text
from sqlmodel import SQLModel

from agentgrid.api.access import ACCESS
from agentgrid.api.cookies import name_of
from agentgrid.control import api_keys
from agentgrid.db.session import reading
from tests.api import factories
from tests.api.browsing import PAGE, SAME, browser_of, code_of
from tests.api.conftest import SETUP, Api, listening, running, settings_for, until_key_is_registered
from tests.api.paths import filled
from tests.api.wire import Reply, command_counts, exchange, state
from tests.conftest import Peopled, Temporal

JSON = "Content-Type: application/json"
FORMS = ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=b")
WITH_A_CORS_FETCH = ("Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty")
WITH_A_BLIND_FETCH = ("Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty")
BY_NAVIGATION = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-User: ?1")
PAGES = {
    # Browsers ignore the port for cookies, so from there they send ours too.
    "another port": ("http://127.0.0.1:8888", "same-site"),
    "another host": ("https://evil.example", "cross-site"),
    "the machine's other name": ("http://localhost:8888", "cross-site"),
    "a sandboxed frame": ("null", "cross-site"),
}


@pytest.fixture(scope="module")
async def api(
    peopled: Peopled, module_postgres_dsn: str, temporal_server: Temporal, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Api]:
    settings = settings_for(module_postgres_dsn, temporal_server.address, tmp_path_factory.mktemp("sessions"))
    async with running(settings, dict(peopled.tokens)) as api:
        await until_key_is_registered(api)
        yield api


@pytest.fixture(scope="module")
async def known(api: Api) -> dict[str, str]:
    """Existing targets, for each name in a path."""
    run = factories.run()
    approval = factories.approval(run)
    await factories.insert(
        api.plane.engine,
        *factories.workflow("known", {}),
        factories.tool("known"),
        run,
        factories.execution(run),
        approval,
    )
    ids = dict.fromkeys(("name", "command_id", "rule_id", "key_id", "session_id", "version"), "known")
    return ids | {"run_id": run.run_id, "approval_id": approval.approval_id}


@pytest.fixture(scope="module")
async def url(api: Api) -> AsyncIterator[str]:
    async with listening(api.app) as url:
        yield url


@pytest.fixture(scope="module")
async def cookie(api: Api) -> str:
    """The header with an administrator's session."""
    async with browser_of(api) as browser:
        assert (await browser.sign_in(key=api.tokens["admin"])).status_code == 200
        return f"Cookie: {browser.cookie}={browser.token}"


@pytest.fixture
async def untouched(api: Api, cookie: str, known: dict[str, str]) -> AsyncIterator[None]:
    """Check that nothing changed and no command was recorded."""
    before, commands = await state(api.plane.engine), await command_counts(api.plane.engine)
    yield
    assert await state(api.plane.engine) == before
    assert await command_counts(api.plane.engine) == commands


def refused(reply: Reply, status: int = 403, code: str = "foreign_origin") -> None:
    reply.is_problem(status, code)
    assert not [name for name in reply.headers if name.startswith("access-control-allow") or name == "set-cookie"]
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("page", PAGES)
async def test_no_change_can_be_made_from_a_foreign_page(
    api: Api, url: str, cookie: str, known: dict[str, str], page: str
) -> None:
    origin, site = PAGES[page]
    sent = (f"Origin: {origin}", f"Sec-Fetch-Site: {site}", f"Referer: {origin}/", cookie)
    body = json.dumps({"verdict": "approved", "input": 1, "key": api.tokens["viewer"]}).encode()
    for route, access in ACCESS.items():
        method, path = route.split(" ", 1)
        if method == "GET":
            continue
        place = filled(path, known)
        refused(await exchange(url, None, method, place, *sent, *WITH_A_CORS_FETCH, JSON, body=body))
        if method != "POST" or access.asks:
            continue
        for kind in FORMS:
            for way in (WITH_A_BLIND_FETCH, BY_NAVIGATION):
                refused(await exchange(url, None, "POST", place, *sent, *way, f"Content-Type: {kind}", body=body))


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    ("way", "has_origin"),
    [
        (WITH_A_CORS_FETCH, True),
        (WITH_A_BLIND_FETCH, False),
        (("Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"), False),
        (("Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script"), False),
        (("Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Accept: text/event-stream"), True),
        (("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"), False),
        (BY_NAVIGATION, False),
    ],
    ids=["fetch with CORS", "fetch without", "image", "script", "EventSource", "frame", "navigation"],
)
async def test_nothing_can_be_read_from_a_foreign_page(
    url: str, cookie: str, known: dict[str, str], page: str, way: tuple[str, ...], has_origin: bool
) -> None:
    origin, site = PAGES[page]
    sent = [f"Sec-Fetch-Site: {site}", f"Referer: {origin}/", cookie, *way, *([f"Origin: {origin}"] * has_origin)]
    for path in ("/api/v1/me", "/api/v1/events", "/api/v1/keys", f"/api/v1/runs/{known['run_id']}/events", "/metrics"):
        refused(await exchange(url, None, "GET", path, *sent))


@pytest.mark.usefixtures("untouched")
async def test_a_change_without_an_origin_or_against_its_fetch_site_is_refused(url: str, cookie: str) -> None:
    """Browsers send `Origin` with every change, so a request without it is not from a page of the console."""
    for sent in (
        [],
        ["Sec-Fetch-Site: same-origin"],
        [f"Origin: {url}", "Sec-Fetch-Site: cross-site"],
        [f"Origin: {url}", "Sec-Fetch-Site: same-site"],
        [f"Origin: {url}", "Sec-Fetch-Site: none"],
        [f"Origin: {url}", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"],
        [f"Origin: {url}", "Origin: https://evil.example", "Sec-Fetch-Site: same-origin"],
    ):
        refused(await exchange(url, None, "POST", "/api/v1/workflows/known/disable", cookie, JSON, *sent, body=b"{}"))


async def test_the_same_cookie_works_for_console_pages_and_a_key_needs_no_origin(
    api: Api, url: str, cookie: str
) -> None:
    own = (f"Origin: {url}", "Sec-Fetch-Site: same-origin")
    for site in ("same-origin", "none"):
        assert (await exchange(url, None, "GET", "/api/v1/me", cookie, f"Sec-Fetch-Site: {site}")).status == 200
    path = "/api/v1/policies/test"
    for credential, sent in ((None, (cookie, *own)), (api.tokens["admin"], ())):
        assert (await exchange(url, credential, "POST", path, JSON, *sent, body=b"{}")).status == 422


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("page", PAGES)
async def test_nobody_is_signed_in_or_out_from_a_foreign_page(api: Api, url: str, cookie: str, page: str) -> None:
    """Somebody signed in as the attacker would reveal to them whatever they type."""
    origin, site = PAGES[page]
    body = json.dumps({"key": api.tokens["viewer"]}).encode()
    for had in ((), (cookie,)):
        for sent in ([f"Origin: {origin}", f"Sec-Fetch-Site: {site}"], [f"Sec-Fetch-Site: {site}"], []):
            refused(await exchange(url, None, "POST", "/api/v1/session", *had, *sent, JSON, body=body))
        sent = [f"Origin: {origin}", f"Sec-Fetch-Site: {site}"]
        refused(await exchange(url, None, "DELETE", "/api/v1/session", *had, *sent))
    for kind in FORMS:
        own = (f"Origin: {url}", f"Content-Type: {kind}")
        refused(await exchange(url, None, "POST", "/api/v1/session", *own, body=body), 415, "unsupported_media_type")


@pytest.mark.usefixtures("untouched")
async def test_a_cookie_is_not_accepted_by_the_mcp_endpoint(url: str, cookie: str) -> None:
    own = (f"Origin: {url}", "Sec-Fetch-Site: same-origin", JSON)
    call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
    reply = await exchange(url, None, "POST", "/mcp", cookie, *own, "Accept: application/json", body=call)
    assert reply.status == 403, reply


@pytest.mark.usefixtures("untouched")
async def test_a_cookie_set_by_another_port_is_never_taken_for_ours(api: Api, url: str, cookie: str) -> None:
    """A server on another port of this host can set cookies for the host, even with a narrower path, which browsers send first."""
    name = name_of(api.settings.api_url)
    for planted in (f"{cookie}; {name}=planted", f"{cookie.replace(': ', f': {name}=planted; ')}"):
        refused(await exchange(url, None, "GET", "/api/v1/me", planted), 400, "bad_request")
    refused(await exchange(url, None, "GET", "/api/v1/me", cookie, f"Cookie: {name}=planted"), 400, "bad_request")
    for useless in (f"{name}=", f'{name}="{secrets.token_urlsafe(32)}"', f"{name}=%00", f"{name}x=1", f"x{name}=1"):
        refused(await exchange(url, None, "GET", "/api/v1/me", f"Cookie: {useless}"), 401, "unauthenticated")


async def test_two_installations_on_two_ports_keep_each_others_sessions(api: Api) -> None:
    other = api.settings.model_copy(update={"api_url": "http://127.0.0.1:9700"})
    async with running(other, api.tokens) as second, browser_of(api) as browser:
        await browser.sign_in(key=api.tokens["viewer"])
        async with second.client(None) as tab:
            tab.cookies = browser.http.cookies  # one cookie jar, as in a browser
            tab.base_url = other.api_url
            page = {"Origin": other.api_url, **SAME}
            signed = await tab.post("/api/v1/session", json={"key": api.tokens["operator"]}, headers=page)
            assert signed.status_code == 200
            browser.http.cookies = tab.cookies
            assert (await tab.get("/api/v1/me", headers=SAME)).json()["name"] == "operator"
            assert (await browser.get("/me")).json()["name"] == "viewer"
            assert (await tab.delete("/api/v1/session", headers=page)).status_code == 204
            assert (await browser.get("/me")).json()["name"] == "viewer"


async def test_behind_https_the_cookie_is_secure_and_limited_to_this_host(api: Api) -> None:
    public = api.settings.model_copy(update={"api_url": "https://grid.example"})
    async with running(public, api.tokens) as behind_tls, behind_tls.client(None) as client:
        page = {"Host": "grid.example", "Origin": "https://grid.example", **SAME}
        signed = await client.post("/api/v1/session", json={"key": api.tokens["viewer"]}, headers=page)
        out_of = {**page, "Cookie": signed.headers["set-cookie"].partition(";")[0]}
        gone = await client.delete("/api/v1/session", headers=out_of)
        assert (signed.status_code, gone.status_code) == (200, 204)
        for answer in (signed, gone):
            ((name, morsel),) = SimpleCookie(answer.headers["set-cookie"]).items()
            assert name == "__Host-agentgrid_session_443"
            assert (morsel["secure"], morsel["httponly"], morsel["path"]) == (True, True, "/")
            assert (morsel["samesite"].lower(), morsel["domain"]) == ("strict", "")


async def test_no_key_code_or_cookie_is_stored_or_logged(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    made = await api_keys.create(api.plane.engine, SETUP, principal="operator")
    robot = api.tokens["robot"]
    async with browser_of(api) as browser:
        code, wrong = await code_of(api, made.secret), secrets.token_urlsafe(32)
        for credential in ({"code": wrong}, {"code": code}, {"code": code}, {"key": robot}, {"key": made.secret}):
            await browser.sign_in(**credential)
        # In places where neither belongs.
        await browser.sign_in(key=made.secret, code=code)
        await browser.sign_in(**{code: made.secret})
        await browser.http.post("/api/v1/session", json=[made.secret], headers=PAGE)
        token = browser.token
        await browser.sign_out()
    await api.app.state.reads.flush()
    stored = "".join(capfd.readouterr())
    async with reading(api.plane.engine) as session:
        for table in sorted(SQLModel.metadata.tables):
            stored += str((await session.execute(text(f"SELECT json_agg(to_json(t)) FROM {table} t"))).scalar())
    assert "session.open" in stored
    assert "'route': 'POST /api/v1/session'" in stored, "failures are in the record of reads"
    for secret in (made.secret, code, wrong, token, robot):
        assert secret not in stored


async def test_a_session_reads_the_same_as_its_key_and_a_viewers_reads_no_payload(
    api: Api, known: dict[str, str]
) -> None:
    async with browser_of(api) as browser, api.client("viewer") as by_key:
        await browser.sign_in(key=api.tokens["viewer"])
        for path in ("", "/steps", "/jobs", "/logs", "/history", "/approvals"):
            seen = await browser.get(f"/runs/{known['run_id']}{path}")
            same = await by_key.get(f"/api/v1/runs/{known['run_id']}{path}")
            assert (seen.status_code, seen.json()) == (same.status_code, same.json())
            assert "hello" not in seen.text, "an argument of the call that waits for approval"
