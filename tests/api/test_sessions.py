"""Browser sessions: signing in by key or code, acting, signing out; what ends a session, and what a session's end ends."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie

import httpx
import pytest
from sqlalchemy import text

from agentgrid.api.limits import RateLimits
from agentgrid.control import api_keys, principals
from agentgrid.control.api_keys import secret_hash
from agentgrid.db import commands
from agentgrid.db.session import reading, writing
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from agentgrid.settings import Settings
from tests.api import factories
from tests.api.browsing import OWN, PAGE, Browser, browser_of, code_of
from tests.api.conftest import SETUP, Api, eventually, listening

NO_KEY = "ag_0123456789abcdef_" + "A" * 43


@pytest.fixture
async def browser(api: Api) -> AsyncIterator[Browser]:
    async with browser_of(api) as browser:
        yield browser


@pytest.fixture
async def key(api: Api) -> api_keys.NewKey:
    """A key of the operator, used by this test only."""
    return await api_keys.create(api.plane.engine, SETUP, principal="operator")


@pytest.fixture
async def workflow(api: Api) -> str:
    name = f"opened_{secrets.token_hex(4)}"
    await factories.insert(api.plane.engine, *factories.workflow(name, {}))
    return name


async def age(api: Api, statement: str, **values: object) -> None:
    async with writing(api.plane.engine) as session:
        await session.execute(text(statement), values)


@pytest.mark.parametrize("by", ["key", "code"])
async def test_a_session_opened_by_key_or_code_acts_as_the_keys_owner_and_is_audited_with_both(
    api: Api, browser: Browser, key: api_keys.NewKey, workflow: str, by: str
):
    opened = await browser.sign_in(**{by: key.secret if by == "key" else await code_of(api, key.secret)})
    assert opened.status_code == 200
    me = (await browser.get("/me")).json()
    assert me == opened.json()
    assert (me["name"], me["key_id"]) == ("operator", key.key_id)
    assert me["session"]["expires_at"] > me["session"]["opened_at"]
    started = await browser.post(f"/workflows/{workflow}/runs", {"input": 1})
    refused = await browser.post(f"/workflows/{workflow}/disable")
    assert (started.status_code, refused.status_code) == (201, 403)
    async with reading(api.plane.engine) as session:
        done = [
            await commands.get(session, command_id)
            for command_id in (started.json()["command"]["command_id"], refused.json()["command_id"])
        ]
        of_session = await session.execute(
            text("SELECT kind FROM commands WHERE session_id = :id"), {"id": me["session"]["session_id"]}
        )
        kinds = sorted(of_session.scalars())
    for command in done:
        assert (command.principal, command.key_id, command.session_id) == (
            "operator",
            key.key_id,
            me["session"]["session_id"],
        )
    assert kinds == ["run.start", "session.open", "workflow.disable"]


async def test_a_code_works_once_and_then_names_the_command_that_creates_another(
    api: Api, browser: Browser, key: api_keys.NewKey
):
    code, old = await code_of(api, key.secret), await code_of(api, key.secret)
    assert (await browser.sign_in(code=code)).status_code == 200
    await age(
        api, "UPDATE sign_in_codes SET expires_at = now() - interval '1 s' WHERE code_hash = :h", h=secret_hash(old)
    )
    await age(api, "UPDATE api_keys SET last_used_at = NULL WHERE key_id = :k", k=key.key_id)
    async with browser_of(api) as other:
        for given, expected in (
            (code, "sign_in_code_spent"),
            (old, "sign_in_code_spent"),
            ("x" * 43, "unauthenticated"),
        ):
            response = await other.sign_in(code=given)
            assert (response.status_code, response.json()["code"]) == (401, expected)
            assert "agentgrid console --open" in response.json()["detail"]
            assert "set-cookie" not in response.headers
        assert (await other.sign_in(key=NO_KEY)).json()["code"] == "unauthenticated"
        assert (await other.sign_in()).status_code == 422
        assert (await other.sign_in(key=key.secret, code=code)).status_code == 422
        assert (await other.get("/me")).status_code == 401
    assert (await api_keys.get(api.plane.engine, key.key_id)).last_used_at is None, (
        "a refused code is no use of its key"
    )


async def test_only_one_of_concurrent_uses_of_a_code_opens_a_session(api: Api, key: api_keys.NewKey):
    code = await code_of(api, key.secret)

    async def attempt() -> int:
        async with browser_of(api) as other:
            return (await other.sign_in(code=code)).status_code

    assert sorted(await asyncio.gather(*(attempt() for _ in range(4)))) == [200, 401, 401, 401]


async def test_a_code_of_an_ended_key_is_refused(api: Api, browser: Browser, key: api_keys.NewKey):
    code = await code_of(api, key.secret)
    await api_keys.revoke(api.plane.engine, SETUP, key.key_id)
    assert (await browser.sign_in(code=code)).status_code == 401


async def test_unused_codes_of_a_key_are_limited(api: Api, browser: Browser, key: api_keys.NewKey):
    codes = [await code_of(api, key.secret) for _ in range(12)]
    assert (await browser.sign_in(code=codes[0])).status_code == 401
    assert (await browser.sign_in(code=codes[-10])).status_code == 200


async def test_only_a_persons_key_creates_codes_and_only_people_open_sessions(
    api: Api, browser: Browser, key: api_keys.NewKey, as_
):
    await browser.sign_in(key=key.secret)
    by_cookie = await browser.post("/session/codes")
    assert by_cookie.status_code == 403
    for program in ("robot", "agent"):
        assert (await as_(program).post("/api/v1/session/codes")).status_code == 403
        async with browser_of(api) as other:
            refused = await other.sign_in(key=api.tokens[program])
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
            assert "programs use keys" in refused.json()["detail"]
            assert "set-cookie" not in refused.headers
        async with reading(api.plane.engine) as session:
            command = await commands.get(session, refused.json()["command_id"])
        assert (command.kind, command.status, command.principal, command.body) == (
            "session.open",
            "refused",
            program,
            None,
        )


def cookie_in(answer: httpx.Response):
    (header,) = answer.headers.get_list("set-cookie")
    ((name, morsel),) = SimpleCookie(header).items()
    return name, morsel


async def test_the_cookie_on_plain_http(api: Api, browser: Browser, key: api_keys.NewKey):
    name, morsel = cookie_in(await browser.sign_in(key=key.secret))
    assert name == "agentgrid_session_8700"
    assert (morsel["httponly"], morsel["samesite"].lower(), morsel["path"]) == (True, "strict", "/")
    assert not morsel["domain"]
    assert not morsel["secure"]
    assert 0 < int(morsel["max-age"]) <= 7 * 24 * 3600
    async with reading(api.plane.engine) as session:
        stored = (
            await session.execute(text("SELECT token_hash FROM sessions WHERE key_id = :k"), {"k": key.key_id})
        ).scalar_one()
    assert stored == secret_hash(morsel.value)


async def test_signing_out_ends_the_session_and_deletes_the_cookie(
    api: Api, browser: Browser, key: api_keys.NewKey, as_
):
    await browser.sign_in(key=key.secret)
    token = browser.token
    out = await browser.sign_out()
    assert out.status_code == 204
    name, morsel = cookie_in(out)
    assert (name, morsel.value, morsel["max-age"]) == (browser.cookie, "", "0")
    async with browser_of(api) as thief:
        thief.http.cookies.set(thief.cookie, token)
        assert (await thief.get("/me")).status_code == 401
    assert (await as_("operator").delete("/api/v1/session")).status_code == 403


async def test_signing_in_again_ends_the_previous_session(api: Api, browser: Browser, key: api_keys.NewKey):
    await browser.sign_in(key=key.secret)
    before = browser.token
    assert (await browser.sign_in(key=api.tokens["viewer"])).json()["name"] == "viewer"
    async with browser_of(api) as thief:
        thief.http.cookies.set(thief.cookie, before)
        assert (await thief.get("/me")).status_code == 401
    assert (await browser.get("/me")).json()["name"] == "viewer"


async def test_a_session_lasts_twelve_hours_after_its_last_use_seven_days_at_most_and_never_outlives_its_key(
    api: Api, browser: Browser
):
    key = await api_keys.create(api.plane.engine, SETUP, principal="operator", lifetime=timedelta(hours=1))
    me = (await browser.sign_in(key=key.secret)).json()
    assert datetime.fromisoformat(me["session"]["expires_at"]) == key.expires_at

    long = await api_keys.create(api.plane.engine, SETUP, principal="operator")
    session_id = (await browser.sign_in(key=long.secret)).json()["session"]["session_id"]
    used = "UPDATE sessions SET last_used_at = now() - interval '2 min', opened_at = now() - {0} WHERE session_id = :id"

    async def lasts_now() -> timedelta:
        assert (await browser.get("/me")).status_code == 200  # records the use
        found = (await browser.get("/me")).json()["session"]["expires_at"]
        return datetime.fromisoformat(found) - datetime.now(UTC)

    await age(api, used.format("interval '1 day'"), id=session_id)
    assert timedelta(hours=11, minutes=58) < await lasts_now() <= timedelta(hours=12)
    await age(api, used.format("interval '6 days 23 hours'"), id=session_id)
    assert timedelta(minutes=58) < await lasts_now() <= timedelta(hours=1)
    await age(api, "UPDATE sessions SET expires_at = now() WHERE session_id = :id", id=session_id)
    assert (await browser.get("/me")).status_code == 401


ENDINGS = ["sign-out", "end of the session", "revoked key", "disabled principal"]


@pytest.mark.parametrize("ending", ENDINGS)
async def test_an_open_stream_ends_within_two_seconds_of_its_session_and_no_other_stream_does(api: Api, ending: str):
    name = f"person-{secrets.token_hex(4)}"
    person = Principal(name=name, kind=PrincipalKind.HUMAN, roles=frozenset({Role.VIEWER}))
    await principals.put(api.plane.engine, SETUP, person)
    key = await api_keys.create(api.plane.engine, SETUP, principal=name)
    async with (
        listening(api.app) as url,
        browser_of(api, url) as mine,
        httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {api.tokens['viewer']}"}) as other,
    ):
        assert (await signed_in(mine, url, key.secret)).status_code == 200
        async with mine.http.stream("GET", "/api/v1/events") as stream, other.stream("GET", "/api/v1/events") as kept:
            assert (stream.status_code, kept.status_code) == (200, 200)
            rest = asyncio.create_task(stream.aread())
            others = aiter(kept.aiter_raw())
            assert b"event: hello" in await anext(others)
            next_event = asyncio.create_task(anext(others))
            await eventually(lambda: _are(api.app.state.feed.streams >= 2))
            started = asyncio.get_running_loop().time()
            match ending:
                case "sign-out":
                    headers = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
                    assert (await mine.http.delete("/api/v1/session", headers=headers)).status_code == 204
                case "end of the session":
                    listed = (await other.get("/api/v1/sessions", headers=_bearer(api.tokens["admin"]))).json()["items"]
                    (session,) = [item for item in listed if item["principal"] == name]
                    ended = await other.post(
                        f"/api/v1/sessions/{session['session_id']}/end", headers=_bearer(api.tokens["admin"])
                    )
                    assert ended.json()["ended_at"] is not None
                case "revoked key":
                    await api_keys.revoke(api.plane.engine, SETUP, key.key_id)
                case _:
                    await principals.set_disabled(api.plane.engine, SETUP, name, True)
            await asyncio.wait_for(rest, 5)
            assert asyncio.get_running_loop().time() - started < 2
            assert (await mine.http.get("/api/v1/me")).status_code == 401
            assert not next_event.done()
            next_event.cancel()


async def _are(value: object) -> object:
    return value


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def signed_in(browser: Browser, url: str, key: str) -> httpx.Response:
    """The response to a sign-in from a page of the listening server."""
    headers = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
    return await browser.http.post("/api/v1/session", json={"key": key}, headers=headers)


async def test_people_see_and_end_their_own_sessions_and_administrators_all(
    api: Api, browser: Browser, key: api_keys.NewKey, as_
):
    session_id = (await browser.sign_in(key=key.secret)).json()["session"]["session_id"]
    async with browser_of(api) as second:
        theirs = (await second.sign_in(key=api.tokens["viewer"])).json()["session"]["session_id"]
        listed = (await browser.get("/sessions")).json()["items"]
        assert {item["principal"] for item in listed} == {"operator"}
        (current,) = [item for item in listed if item["current"]]
        assert (current["session_id"], current["address"], current["key_id"]) == (session_id, "127.0.0.1", key.key_id)
        assert current["user_agent"].startswith("python-httpx")
        assert (await browser.get("/sessions", params={"principal": "viewer"})).status_code == 403
        assert (await browser.post(f"/sessions/{theirs}/end")).status_code == 404
        assert (await second.get("/me")).status_code == 200
        everybodys = (await as_("admin").get("/api/v1/sessions", params={"limit": 200})).json()["items"]
        assert {session_id, theirs} <= {item["session_id"] for item in everybodys}
        first = (await as_("admin").get("/api/v1/sessions", params={"limit": 1})).json()
        onward = (
            await as_("admin").get("/api/v1/sessions", params={"limit": 1, "cursor": first["next_cursor"]})
        ).json()
        assert first["items"][0]["session_id"] != onward["items"][0]["session_id"]
        ended = await as_("admin").post(f"/api/v1/sessions/{theirs}/end", json={"reason": "lost laptop"})
        assert ended.status_code == 200
        assert (await second.get("/me")).status_code == 401
    assert (await browser.post(f"/sessions/{session_id}/end")).status_code == 200
    assert (await browser.get("/me")).status_code == 401


async def test_a_change_from_a_page_that_shows_a_different_principal_is_refused(
    api: Api, browser: Browser, workflow: str
):
    await browser.sign_in(key=api.tokens["operator"])
    start = f"/workflows/{workflow}/runs"
    kept = await browser.post(start, {"input": 1}, **{"AgentGrid-Principal": "operator"})
    assert kept.status_code == 201
    changed = await browser.post(start, {"input": 1}, **{"AgentGrid-Principal": "reviewer"})
    assert (changed.status_code, changed.json()["code"]) == (409, "principal_changed")
    async with reading(api.plane.engine) as session:
        command = await commands.get(session, changed.json()["command_id"])
    assert (command.status, command.principal, command.run_id) == ("refused", "operator", None)


async def test_me_has_the_facts_of_the_installation(api: Api, as_):
    async def retention() -> object:
        return (await as_("viewer").get("/api/v1/me")).json()["installation"]["retention_seconds"]

    await eventually(retention)
    me = (await as_("viewer").get("/api/v1/me")).json()
    assert me["session"] is None
    installation = me["installation"]
    assert (installation["name"], installation["namespace"]) == ("127.0.0.1:8700", api.settings.temporal_namespace)
    assert installation["temporal_ui_url"] == "http://127.0.0.1:8233"
    assert installation["retention_seconds"] >= 24 * 3600
    assert installation["version"] == (await as_(None).get("/healthz")).json()["version"]


async def test_the_sign_in_methods_are_public(as_):
    response = await as_(None).get("/api/v1/session/methods")
    assert [item["kind"] for item in response.json()["items"]] == ["code", "key"]


async def test_an_authorization_header_takes_precedence_and_the_cookie_is_ignored(api: Api, browser: Browser):
    await browser.sign_in(key=api.tokens["operator"])
    viewer = await browser.http.get("/api/v1/me", headers=_bearer(api.tokens["viewer"]))
    assert (viewer.json()["name"], viewer.json()["session"]) == ("viewer", None)
    for wrong in (_bearer("nonsense"), {"Authorization": ""}, {"Authorization": "Basic abc"}):
        assert (await browser.http.get("/api/v1/me", headers=wrong)).status_code == 401


@pytest.fixture
def limited(api: Api) -> Iterator[RateLimits]:
    before = api.app.state.limits
    # The default configuration.
    api.app.state.limits = RateLimits(Settings())
    yield api.app.state.limits
    api.app.state.limits = before


@pytest.mark.usefixtures("limited")
async def test_fifty_wrong_keys_and_codes_are_rate_limited_and_a_new_link_still_works(
    api: Api, browser: Browser, key: api_keys.NewKey
):
    statuses = [
        (await browser.sign_in(**({"key": NO_KEY} if number % 2 else {"code": f"guess-{number}"}))).status_code
        for number in range(50)
    ]
    assert statuses[:10] == [401] * 10
    assert statuses[10:].count(429) >= 38
    limited = await browser.sign_in(code="guess")
    assert (limited.status_code, limited.json()["code"]) == (429, "rate_limited")
    assert int(limited.headers["retry-after"]) >= 1
    assert (await browser.sign_in(code=await code_of(api, key.secret))).status_code == 200
    assert (await browser.sign_in(key=key.secret)).status_code == 200


async def test_guessed_cookies_are_limited_like_guessed_keys(api: Api, browser: Browser, limited: RateLimits):
    assert (await browser.sign_in(key=api.tokens["viewer"])).status_code == 200
    assert (await browser.get("/me")).status_code == 200
    async with browser_of(api) as stranger:
        stranger.http.cookies.set(stranger.cookie, "guessed")
        statuses = {(await stranger.get("/me")).status_code for _ in range(60)}
    assert statuses == {401, 429}
    assert (await browser.get("/me")).status_code == 200


async def test_own_pages_are_served_under_both_loopback_names(api: Api, key: api_keys.NewKey):
    """`127.0.0.1` and `localhost` are two sites, so two people can use one browser."""
    for host in ("127.0.0.1", "localhost"):
        page = {**PAGE, "Host": f"{host}:8700", "Origin": OWN.replace("127.0.0.1", host)}
        async with api.client(None) as client:
            assert (await client.post("/api/v1/session", json={"key": key.secret}, headers=page)).status_code == 200
