"""Other spellings of a path lead nowhere else, a key grants access only to its own principal's resources, and secrets are compared in constant time."""

from __future__ import annotations

import ast
import inspect
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

import agentgrid
from agentgrid.api.access import ACCESS
from agentgrid.control import api_keys
from agentgrid.control.plane import Caller
from agentgrid.db.session import writing
from tests.api import factories
from tests.api.conftest import PRINCIPALS, Api, listening
from tests.api.paths import filled
from tests.api.wire import exchange, state

JSON = "Content-Type: application/json"


@pytest.fixture(scope="module")
async def known(api: Api) -> str:
    await factories.insert(api.plane.engine, *factories.workflow("known", {}))
    return "known"


@pytest.fixture(scope="module")
async def url(api: Api, known: str) -> AsyncIterator[str]:
    async with listening(api.app) as url:
        yield url


SPELLINGS = [
    "//api/v1/keys",
    "/api//v1/keys",
    "/api/v1//keys",
    "/api/v1/keys/",
    "/api/v1/keys//",
    "/API/v1/keys",
    "/api/V1/keys",
    "/api/v1/KEYS",
    "/api/v1/./keys",
    "/api/v1/me/../keys",
    "/healthz/../api/v1/keys",
    "/healthz/..%2fapi/v1/keys",
    "/api/v1/%2e%2e/v1/keys",
    "/api/v1%2fkeys",
    "/api/v1/keys%2f",
    "/api/v1/keys%00",
    "/api/v1/keys%0a",
    "/api/v1/keys%20",
    "/api/v1/keys;a=b",
    "/api/v1/keys%3f",
    "/api/v1/keys%23",
    "/api/v1/%6beys",
    "/api/v1/%256beys",
    "/api/v1/ke%79s",
    "\\api\\v1\\keys",
    "/api/v1\\keys",
    "/healthz;/api/v1/keys",
    "/readyz?/api/v1/keys",
    "http://evil.example/api/v1/keys",
    "/api/v1/keys.json",
    "/api/v1/runs/..%2fkeys",
    "/api/v1/workflows/..%2f..%2fkeys",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_spelling_of_a_path_bypasses_the_checks(api: Api, url: str, spelling: str) -> None:
    """Another spelling of a path gets the same response as the path itself, or a refusal."""
    for who in ("admin", "operator", "nobody", None):
        token = None if who is None else api.tokens[who]
        reply = await exchange(url, token, "GET", spelling)
        if reply.status == 200 and not spelling.startswith("/readyz"):
            assert who == "admin", "the only one who may list keys"
        assert reply.status in (200, 400, 401, 403, 404, 422), reply
        assert b"secret_hash" not in reply.body
        assert reply.headers["content-type"].startswith("application/")


@pytest.mark.parametrize("trick", ["/", "//", "%2f", "%00", "?", ";x", "/..", "/.", "%20", "/%2e%2e/disable"])
async def test_no_spelling_of_a_change_bypasses_the_checks(api: Api, url: str, trick: str) -> None:
    before = await state(api.plane.engine)
    for route, access in ACCESS.items():
        if access.command is None:
            continue
        method, path = route.split(" ", 1)
        place = filled(path, other="known")
        # Anyone may create a sign-in code for themselves; only the console's own page may use one.
        own = (201,) if place.endswith("/session/codes") and trick == "?" else ()
        for who, allowed in (
            ("nobody", (403, 404, 405, 422, *own)),
            (None, (403 if access.public else 401, 404, 405)),
        ):
            token = None if who is None else api.tokens[who]
            reply = await exchange(url, token, method, place + trick, JSON, body=b"{}")
            assert reply.status in allowed, (place, trick, who, reply)
    after = await state(api.plane.engine)
    assert after | {"sign_in_codes": None} == before | {"sign_in_codes": None}


async def test_other_principals_commands_are_visible_to_auditors_only(api: Api, as_, known: str) -> None:
    started = await as_("operator").post(
        f"/api/v1/workflows/{known}/runs", json={"input": "mine", "note": "mine alone"}
    )
    command_id = started.json()["command"]["command_id"]
    for who in PRINCIPALS:
        listed = (await as_(who).get("/api/v1/commands", params={"limit": 200})).json()["items"]
        one = await as_(who).get(f"/api/v1/commands/{command_id}")
        narrowed = (await as_(who).get("/api/v1/commands", params={"principal": "operator"})).json()["items"]
        if who in ("operator", "auditor"):
            assert one.status_code == 200
            assert command_id in {item["command_id"] for item in listed}
        else:
            assert one.status_code == 404
            assert {item["principal"] for item in listed} <= {who}
            assert narrowed == []


async def test_an_auditors_cursor_shows_others_nothing_more(api: Api, as_) -> None:
    for _ in range(3):
        await as_("operator").post("/api/v1/workflows/known/runs", json={"input": 1})
    page = (await as_("auditor").get("/api/v1/commands", params={"limit": 1})).json()
    response = await as_("viewer").get("/api/v1/commands", params={"limit": 200, "cursor": page["next_cursor"]})
    assert response.status_code == 200
    assert {item["principal"] for item in response.json()["items"]} <= {"viewer"}


async def test_an_expired_or_revoked_key_or_one_of_a_disabled_principal_is_refused(api: Api, url: str) -> None:
    caller = Caller(principal=PRINCIPALS["admin"], route="test")
    for spoil in (
        "UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE key_id = :key",
        "UPDATE api_keys SET revoked_at = now() WHERE key_id = :key",
        "UPDATE principals SET disabled_at = now() WHERE name = 'developer'",
        "DELETE FROM api_keys WHERE key_id = :key",
    ):
        key = await api_keys.create(api.plane.engine, caller, principal="developer", lifetime=timedelta(days=1))
        assert (await exchange(url, key.secret, "GET", "/api/v1/me")).status == 200
        async with writing(api.plane.engine) as session:
            await session.execute(text(spoil), {"key": key.key_id} if ":key" in spoil else {})
        response = await exchange(url, key.secret, "GET", "/api/v1/me")
        response.is_problem(401, "unauthenticated")
        # The same message for all, so that nobody learns which keys exist.
        assert response.json()["detail"] == "the API key is unknown, expired or revoked"
        async with writing(api.plane.engine) as session:
            await session.execute(text("UPDATE principals SET disabled_at = NULL"))


async def test_a_key_in_the_url_is_refused_under_any_name_and_never_shown(api: Api, url: str) -> None:
    token = api.tokens["operator"]
    for target in (
        f"/api/v1/me?api_key={token}",
        f"/api/v1/me?Access_Token={token}",
        f"/api/v1/runs?q={token}",
        f"/api/v1/runs/{token}",
        f"/api/v1/me?anything={token}",
        "/api/v1/me?token=",
        f"/healthz?key={token}",
    ):
        for presented in (None, token):
            reply = await exchange(url, presented, "GET", target)
            reply.is_problem(400, "key_in_url")
            assert token.encode() not in reply.body


SECRET_WORDS = ("secret", "token", "password", "signature")


def test_secrets_are_compared_in_constant_time() -> None:
    """Hashes of keys are compared with `compare_digest`; `==` is never used on a secret or its hash."""
    assert "hmac.compare_digest(owned.secret_hash" in inspect.getsource(api_keys.authenticate)
    root, comparisons = Path(agentgrid.__file__).parent, []
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                named = [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
                named += [part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)]
                if any(word in name.lower() for name in named for word in SECRET_WORDS):
                    comparisons.append(f"{file.relative_to(root)}:{node.lineno}: {ast.unparse(node)}")
    assert comparisons == []
