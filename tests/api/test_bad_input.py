"""Whatever is sent, the response is a problem with a stable code: never a 500, a stack trace or a partial change."""

from __future__ import annotations

import httpx
import pytest

from tests.api import factories
from tests.api.conftest import Api

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
async def place(api: Api) -> str:
    await factories.insert(api.plane.engine, *factories.workflow("anything", {}))
    return "/api/v1/workflows/anything/runs"


def is_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["status"]) == (code, status)
    assert "Traceback" not in answer.text
    assert "sqlalchemy" not in answer.text


BODIES = {
    "empty": b"",
    "null": b"null",
    "array": b"[]",
    "number": b"7",
    "string": b'"x"',
    "broken": b'{"input": ',
    "trailing": b'{"input": 1} x',
    "byte order mark": b'\xef\xbb\xbf{"input": 1}',
    "not UTF-8": b'{"input": "\xff"}',
    "NaN": b'{"input": NaN}',
    "infinity": b'{"input": -Infinity}',
    "1e400": b'{"input": 1e400}',
    "beyond 64 bits": b'{"input": 9223372036854775808}',
    "5,000 digits": b'{"input": ' + b"9" * 5000 + b"}",
    "duplicate keys": b'{"input": 1, "input": 2}',
    "nested duplicate keys": b'{"input": {"a": 1, "a": 2}}',
    "NUL": b'{"input": "a\\u0000b"}',
    "NUL in a key": b'{"input": {"a\\u0000": 1}}',
    "NUL in text": b'{"input": 1, "reference": "a\\u0000"}',
    "lone surrogate": b'{"input": "\\ud800"}',
    "100 levels": b'{"input": ' + b"[" * 100 + b"]" * 100 + b"}",
    "10,000 levels": b'{"input": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "unknown field": b'{"input": 1, "workflow_id": "mine"}',
    "__proto__": b'{"input": 1, "__proto__": {}}',
    "100,000 unknown keys": b"{" + b",".join(b'"k%d":1' % n for n in range(100_000)) + b"}",
    "empty reference": b'{"input": 1, "reference": ""}',
    "long reference": b'{"input": 1, "reference": "' + b"x" * 300 + b'"}',
    "long note": b'{"input": 1, "note": "' + b"x" * 5000 + b'"}',
    "many tags": b'{"input": 1, "tags": [' + b",".join([b'"t"'] * 21) + b"]}",
    "tag of a number": b'{"input": 1, "tags": [1]}',
    "priority 0": b'{"input": 1, "priority": 0}',
    "priority as words": b'{"input": 1, "priority": "high"}',
    "priority as text": b'{"input": 1, "priority": "3"}',
    "time as a number": b'{"input": 1, "start_at": 1893456000}',
    "time as a number in text": b'{"input": 1, "start_at": "1893456000"}',
    "naive time": b'{"input": 1, "start_at": "2030-01-01T00:00:00"}',
    "year 9999": b'{"input": 1, "start_at": "9999-12-31T23:59:59+00:00"}',
    "year 0": b'{"input": 1, "start_at": "0000-01-01T00:00:00Z"}',
    "offset of 24 hours": b'{"input": 1, "start_at": "2030-01-01T00:00:00+24:00"}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_an_invalid_start_body_is_refused_and_audited_and_starts_nothing(api: Api, as_, place: str, body: bytes):
    response = await as_("operator").post(place, content=body, headers=JSON)
    is_problem(response, 422, "invalid_input")
    command = await as_("operator").get(f"/api/v1/commands/{response.json()['command_id']}")
    assert command.json()["status"] == "refused"
    runs = await as_("operator").get("/api/v1/runs", params={"workflow": "anything"})
    assert runs.json()["items"] == []


TYPES = [
    {},
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Type": "application/json; charset=utf-16"},
    {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    {"Content-Type": "application/jsonp"},
]


@pytest.mark.parametrize("headers", TYPES, ids=str)
async def test_a_body_with_another_content_type_is_not_read(as_, place: str, headers: dict[str, str]):
    is_problem(await as_("operator").post(place, content=b"{}", headers=headers), 415, "unsupported_media_type")


async def test_a_body_over_two_megabytes_is_not_read(as_, place: str):
    announced = await as_("operator").post(place, content=b"x" * (2 * 1024 * 1024 + 1), headers=JSON)
    is_problem(announced, 413, "payload_too_large")

    async def chunks():
        for _ in range(3):
            yield b"x" * 1024 * 1024

    is_problem(await as_("operator").post(place, content=chunks(), headers=JSON), 413, "payload_too_large")


IDS = [
    "0",
    "-1",
    "*",
    "~",
    "..",
    "%2e%2e",
    "%00",
    "a%00b",
    "%0a",
    "%ff",
    "x" * 290,
    "{018f0000-0000-7000-8000-000000000000}",
    "018F0000-0000-7000-8000-000000000000",
    "%E2%80%AEabc",
    "%F0%9F%92%A9",
    "';DROP TABLE runs--",
]


@pytest.mark.parametrize("identifier", IDS)
@pytest.mark.parametrize("resource", ["runs", "approvals", "commands", "workflows", "tools", "agents"])
async def test_an_unknown_identifier_is_not_found_or_invalid(as_, resource: str, identifier: str):
    response = await as_("operator").get(f"/api/v1/{resource}/{identifier}")
    if httpx.URL(f"http://x/api/v1/{resource}/{identifier}").path.rstrip("/") in ("/api/v1", f"/api/v1/{resource}"):
        return  # the client itself resolved the dots
    assert response.status_code in (404, 422), response.text
    assert response.headers["content-type"] == "application/problem+json"


GOVERNING = [
    ("GET", "policies/{}"),
    ("PUT", "policies/{}"),
    ("DELETE", "policies/{}"),
    ("POST", "workflows/{}/disable"),
    ("POST", "workflows/{}/enable"),
    ("POST", "tools/{}/disable"),
    ("POST", "tools/{}/enable"),
    ("PUT", "tools/{}/policy"),
    ("PUT", "agents/{}"),
    ("POST", "agents/{}/use"),
    ("GET", "principals/{}"),
    ("PUT", "principals/{}"),
    ("POST", "principals/{}/disable"),
    ("POST", "principals/{}/enable"),
    ("POST", "keys/{}/revoke"),
    ("POST", "signing-keys/{}/retire"),
    ("POST", "signing-keys/{}/revoke"),
]
GOVERNED = {
    "policies/{}": {"tool": "x", "effect": "deny"},
    "tools/{}/policy": {"effect": "deny"},
    "agents/{}/use": {"version": "code"},
    "principals/{}": {"kind": "human", "roles": []},
}
"""A body that would be acceptable."""


@pytest.mark.parametrize("identifier", [item for item in IDS if item not in ("0", "..", "%2e%2e")])
@pytest.mark.parametrize(("method", "path"), GOVERNING, ids=" ".join)
async def test_an_impossible_identifier_is_refused_by_every_governing_route(as_, method, path, identifier):
    body = GOVERNED.get(path, {})
    response = await as_("admin").request(
        method, "/api/v1/" + path.format(identifier), json=body if method != "GET" else None
    )
    assert response.status_code in (404, 422), response.text
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "body",
    [
        BODIES[name]
        for name in ("array", "number", "broken", "not UTF-8", "NaN", "NUL in a key", "10,000 levels", "__proto__")
    ],
    ids=lambda body: repr(body[:20]),
)
@pytest.mark.parametrize(
    ("method", "path"), [*(item for item in GOVERNING if item[0] != "GET"), ("POST", "keys")], ids=" ".join
)
async def test_an_invalid_governing_body_is_refused_and_audited_and_changes_nothing(
    as_, method: str, path: str, body: bytes
):
    place = "/api/v1/" + path.format("nothing")
    response = await as_("admin").request(method, place, content=body, headers=JSON)
    is_problem(response, 422, "invalid_input")
    command = (await as_("auditor").get(f"/api/v1/commands/{response.json()['command_id']}")).json()
    assert (command["status"], command["route"]) == ("refused", f"{method} {place}")


async def test_an_identifier_of_a_thousand_characters_is_invalid(as_):
    is_problem(await as_("operator").get(f"/api/v1/runs/{'x' * 1000}"), 422, "invalid_input")


QUERIES = [
    {"limit": "0"},
    {"limit": "-1"},
    {"limit": "201"},
    {"limit": "1e9"},
    {"limit": "abc"},
    {"limit": ""},
    {"cursor": "x"},
    {"cursor": "AAAA"},
    {"cursor": "e30"},
    {"cursor": "W10"},
    {"cursor": "é"},
    {"cursor": "x" * 2000},
    {"status": "nonsense"},
    {"sort": "name"},
    {"statuses": "running"},
    {"q": ""},
    {"q": "x" * 201},
    {"q": "x" * 60_000},
    {"q": "a\x00b"},
    {"workflow": "a\x00b"},
    {"started_after": "yesterday"},
    {"started_after": "1893456000"},
    {"started_before": "0.5"},
    {"started_after": "2030-01-01"},
    {"started_after": "2030-01-01T00:00:00+24:00"},
    {"started_after": "2031-01-01T00:00:00Z", "started_before": "2030-01-01T00:00:00Z"},
    {"stuck": "maybe"},
]


@pytest.mark.parametrize("params", QUERIES, ids=lambda params: str(params)[:60])
async def test_an_invalid_parameter_is_named(as_, params: dict[str, str]):
    response = await as_("operator").get("/api/v1/runs", params=params)
    is_problem(response, 422, "invalid_input")
    assert response.json()["faults"][0]["pointer"].split(".")[0] in (*params, "started_before")


@pytest.mark.parametrize("q", ["%", "_", "\\", "%_\\", "'", "\u202eabc", "💩"])
async def test_search_takes_words_literally(as_, q: str):
    response = await as_("operator").get("/api/v1/runs", params={"q": q})
    assert (response.status_code, response.json()["items"]) == (200, [])


@pytest.mark.parametrize("key", ["", "x" * 256, "a\x7fb"])
async def test_an_invalid_idempotency_key_is_refused(as_, place: str, key: str):
    response = await as_("operator").post(place, json={"input": 1}, headers={"Idempotency-Key": key})
    is_problem(response, 422, "invalid_input")


async def test_unknown_paths_are_not_found_and_wrong_methods_are_named(as_):
    is_problem(await as_("operator").get("/api/v1/nothing"), 404, "not_found")
    is_problem(await as_("operator").get("/api/v1/runs/"), 404, "not_found")
    is_problem(await as_("operator").delete("/api/v1/runs"), 405, "method_not_allowed")
    is_problem(await as_("operator").post("/api/v1/workflows/none/runs", json={"input": 1}), 404, "not_found")


async def test_a_cursor_of_another_filter_or_list_is_invalid(api: Api, as_):
    rows = [factories.run(workflow="bound") for _ in range(3)]
    await factories.insert(api.plane.engine, *rows)
    page = (await as_("operator").get("/api/v1/runs", params={"workflow": "bound", "limit": 1})).json()
    other = {"cursor": page["next_cursor"], "limit": 1}
    is_problem(await as_("operator").get("/api/v1/runs", params=other), 422, "invalid_input")
    is_problem(await as_("operator").get("/api/v1/commands", params=other), 422, "invalid_input")
    onward = await as_("operator").get("/api/v1/runs", params={**other, "workflow": "bound"})
    assert onward.status_code == 200
