"""A second kind of identity, added as the console would add it: a session, by a cookie, through requests and an open stream."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Self

import httpx
import pytest
from starlette.requests import Request

from agentgrid.api import gate
from agentgrid.api.identity import IDENTITIES, Identity
from agentgrid.api.limits import Limits
from agentgrid.control import keys
from agentgrid.control.plane import ControlPlane
from agentgrid.db import commands
from agentgrid.db.pool import Pool
from agentgrid.db.principals import tell_access_changed
from agentgrid.db.session import reading, writing
from agentgrid.domain.principals import Principal
from agentgrid.errors import Unauthenticated
from agentgrid.settings import Settings
from tests.api import factories
from tests.api.conftest import SETUP, Api, listening
from tests.api.wire import asked, state

COOKIE = "agentgrid_session_8700"
OWN = "http://127.0.0.1:8700"


@dataclass(frozen=True, kw_only=True)
class SessionIdentity(Identity):
    """By a cookie that a key was exchanged for: it ends by itself, and with the key."""

    from_browser: ClassVar[bool] = True
    open: ClassVar[dict[str, str]] = {}
    """The keys of open sessions, by the cookie's value."""
    looked_up: ClassVar[list[str]] = []

    token: str

    @classmethod
    def presented(cls, request: Request) -> str | None:
        return request.cookies.get(COOKIE)

    @classmethod
    async def authenticate(cls, plane: ControlPlane, presented: str) -> Self:
        cls.looked_up.append(presented)
        key_id = cls.open.get(presented)
        principal = None if key_id is None else await keys.holder(plane.pool, key_id)
        if key_id is None or principal is None:
            raise Unauthenticated("you are signed out: sign in again")
        ends = datetime.now(UTC) + timedelta(hours=12)
        return cls(token=presented, principal=principal, key_id=key_id, issuers=(), expires_at=ends)

    async def current(self, pool: Pool) -> Principal | None:
        return await keys.holder(pool, self.key_id) if self.token in self.open else None


@pytest.fixture(autouse=True)
def sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SessionIdentity, "open", {})
    monkeypatch.setattr(SessionIdentity, "looked_up", [])
    monkeypatch.setattr(gate, "IDENTITIES", [*IDENTITIES, SessionIdentity])


@pytest.fixture
async def token(api: Api) -> str:
    """The cookie of a session of the operator, by a key of its own."""
    key = await keys.create(api.plane.engine, SETUP, principal="operator")
    token = secrets.token_urlsafe(32)
    SessionIdentity.open[token] = key.key_id
    return token


@pytest.fixture
async def browser(api: Api, token: str) -> AsyncIterator[httpx.AsyncClient]:
    async with api.client(None) as client:
        client.cookies.set(COOKIE, token)
        yield client


@pytest.fixture
async def workflow(api: Api) -> str:
    name = f"opened_{secrets.token_hex(4)}"
    await factories.insert(api.plane.engine, *factories.workflow(name, {}))
    return name


async def test_a_session_acts_as_its_principal_and_the_audit_names_its_key(
    api: Api, browser: httpx.AsyncClient, token: str, workflow: str
):
    me = (await browser.get("/api/v1/me")).json()
    assert (me["name"], me["key_id"]) == ("operator", SessionIdentity.open[token])
    started = await browser.post(f"/api/v1/workflows/{workflow}/runs", json={"input": 1}, headers={"Origin": OWN})
    assert started.status_code == 201
    refused = await browser.post(f"/api/v1/workflows/{workflow}/disable", json={}, headers={"Origin": OWN})
    assert refused.status_code == 403
    async with reading(api.plane.engine) as session:
        for command_id in (started.json()["command"]["command_id"], refused.json()["command_id"]):
            command = await commands.get(session, command_id)
            assert (command.principal, command.key_id) == ("operator", SessionIdentity.open[token])


FOREIGN = [
    ("GET", {"Sec-Fetch-Site": "cross-site"}),
    ("GET", {"Sec-Fetch-Site": "same-site"}),  # another port of this machine
    ("POST", {}),
    ("POST", {"Sec-Fetch-Site": "same-origin"}),
    ("POST", {"Origin": OWN, "Sec-Fetch-Site": "cross-site"}),
    ("POST", {"Origin": OWN, "Sec-Fetch-Site": "none"}),
    ("POST", {"Origin": "null"}),
    ("POST", {"Origin": "http://127.0.0.1:8888", "Sec-Fetch-Site": "same-site"}),
]


@pytest.mark.parametrize(("method", "headers"), FOREIGN)
async def test_a_page_of_another_origin_can_not_use_the_cookie(
    api: Api, browser: httpx.AsyncClient, workflow: str, method: str, headers: dict[str, str]
):
    before = await state(api.plane.engine), await asked(api.plane.engine)
    path = "/api/v1/me" if method == "GET" else f"/api/v1/workflows/{workflow}/runs"
    answer = await browser.request(method, path, headers=headers, json={"input": 1} if method == "POST" else None)
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")
    assert SessionIdentity.looked_up == []
    assert (await state(api.plane.engine), await asked(api.plane.engine)) == before


async def test_what_the_apis_own_pages_send_is_served_and_a_key_needs_no_origin(
    api: Api, browser: httpx.AsyncClient, as_, workflow: str
):
    own = {"Origin": OWN, "Sec-Fetch-Site": "same-origin"}
    for site in ("same-origin", "none"):
        assert (await browser.get("/api/v1/me", headers={"Sec-Fetch-Site": site})).status_code == 200
    start = f"/api/v1/workflows/{workflow}/runs"
    assert (await browser.post(start, json={"input": 1}, headers=own)).status_code == 201
    assert (await as_("operator").post(start, json={"input": 1})).status_code == 201


async def test_an_authorization_header_wins_and_then_the_cookie_is_not_looked_at(
    api: Api, browser: httpx.AsyncClient, workflow: str
):
    def bearer(key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"}

    assert (await browser.get("/api/v1/me", headers=bearer(api.tokens["viewer"]))).json()["name"] == "viewer"
    for wrong in (bearer("nonsense"), {"Authorization": ""}, {"Authorization": "Basic abc"}):
        assert (await browser.get("/api/v1/me", headers=wrong)).status_code == 401
    assert SessionIdentity.looked_up == []


@pytest.fixture
def limited(api: Api) -> Iterator[None]:
    before = api.app.state.limits
    api.app.state.limits = Limits(Settings(rate_failures_burst=3, rate_failures_per_second=0.01))
    yield
    api.app.state.limits = before


@pytest.mark.usefixtures("limited")
async def test_guessed_cookies_are_limited_like_guessed_keys(api: Api, browser: httpx.AsyncClient):
    assert (await browser.get("/api/v1/me")).status_code == 200
    async with api.client(None) as stranger:
        stranger.cookies.set(COOKIE, "guessed")
        said = [(await stranger.get("/api/v1/me")).status_code for _ in range(5)]
    assert said == [401, 401, 401, 429, 429]
    assert SessionIdentity.looked_up.count("guessed") == 3
    assert (await browser.get("/api/v1/me")).status_code == 200


@pytest.mark.parametrize("ended", ["the session", "its key"])
async def test_an_open_stream_ends_with_its_session_or_its_key_and_no_other_stream_does(
    api: Api, browser: httpx.AsyncClient, token: str, ended: str
):
    async with (
        listening(api.app) as url,
        httpx.AsyncClient(base_url=url, cookies={COOKIE: token}, timeout=20) as mine,
        httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {api.tokens['operator']}"}) as other,
        mine.stream("GET", "/api/v1/events") as stream,
        other.stream("GET", "/api/v1/events") as kept,
    ):
        assert (stream.status_code, kept.status_code) == (200, 200)
        held = asyncio.create_task(anext(kept.aiter_raw()))
        if ended == "its key":
            await keys.revoke(api.plane.engine, SETUP, SessionIdentity.open[token])
        else:
            del SessionIdentity.open[token]
            async with writing(api.plane.engine) as session:
                await tell_access_changed(session)
        async with asyncio.timeout(6):  # sooner than without a notification
            assert await stream.aread() == b""
        assert (await mine.get("/api/v1/me")).status_code == 401
        assert not held.done()
        held.cancel()
