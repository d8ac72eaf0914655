"""API keys over the API: shown once, stored as a hash, revoked immediately."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import text

from agentgrid.db.session import reading
from tests.api.conftest import Api
from tests.api.test_principals import as_holder

PLACE = "/api/v1/keys"


async def test_a_key_is_shown_once_works_and_its_secret_is_stored_nowhere(api: Api, as_):
    response = await as_("admin").post(
        PLACE, json={"principal": "viewer", "lifetime_seconds": 3600, "note": "a laptop"}
    )

    assert response.status_code == 201, response.text
    created = response.json()
    assert (created["principal"], created["status"], created["created_by"], created["note"]) == (
        "viewer",
        "live",
        "admin",
        "a laptop",
    )
    async with as_holder(api, created["key"]) as client:
        assert (await client.get("/api/v1/me")).json()["key_id"] == created["key_id"]
    secret = created["key"].removeprefix(f"ag_{created['key_id']}_")
    seen = [
        (await as_("admin").get(PLACE, params={"principal": "viewer"})).text,
        (await as_("auditor").get("/api/v1/commands", params={"kind": "key.create"})).text,
    ]
    async with reading(api.plane.engine) as session:
        for table in ("api_keys", "commands"):
            rows = (await session.execute(text(f"SELECT row_to_json(t)::text FROM {table} AS t"))).scalars().all()
            assert any(created["key_id"] in row for row in rows)
            seen += rows
    assert not any(secret in item for item in seen)
    audit = (await as_("auditor").get("/api/v1/commands", params={"kind": "key.create", "limit": 1})).json()["items"][0]
    assert (audit["target"], audit["principal"], audit["reason"]) == (created["key_id"], "admin", "a laptop")


async def test_a_repeated_request_creates_no_second_key_and_shows_no_secret(as_):
    body, headers = {"principal": "viewer"}, {"Idempotency-Key": "once"}
    first = await as_("admin").post(PLACE, json=body, headers=headers)
    second = await as_("admin").post(PLACE, json=body, headers=headers)
    assert (first.status_code, second.status_code, second.headers["Idempotent-Replayed"]) == (201, 200, "true")
    assert second.json() == {**first.json(), "key": None}
    other = await as_("admin").post(PLACE, json={"principal": "operator"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


async def test_a_revoked_key_is_refused_from_then_on(api: Api, as_):
    created = (await as_("admin").post(PLACE, json={"principal": "viewer"})).json()
    async with as_holder(api, created["key"]) as client:
        assert (await client.get("/api/v1/me")).status_code == 200
        gone = await as_("admin").post(f"{PLACE}/{created['key_id']}/revoke", json={"reason": "lost"})
        assert (gone.status_code, gone.json()["status"]) == (200, "revoked")
        assert (await client.get("/api/v1/me")).status_code == 401
    again = await as_("admin").post(f"{PLACE}/{created['key_id']}/revoke")
    assert again.json()["revoked_at"] == gone.json()["revoked_at"]
    audit = (await as_("auditor").get("/api/v1/commands", params={"kind": "key.revoke"})).json()["items"]
    assert [(item["target"], item["reason"]) for item in audit[:2]] == [
        (created["key_id"], None),
        (created["key_id"], "lost"),
    ]


async def test_keys_are_listed_newest_first_in_pages_and_by_principal(as_):
    created = [(await as_("admin").post(PLACE, json={"principal": "nobody"})).json()["key_id"] for _ in range(3)]
    listed, cursor = [], None
    while True:
        params = {"principal": "nobody", "limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await as_("admin").get(PLACE, params=params)).json()
        listed += [item["key_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert listed[:3] == created[::-1]
    everything = (await as_("admin").get(PLACE)).json()
    assert {"nobody", "viewer", "admin"} <= {item["principal"] for item in everything["items"]}
    assert "secret" not in json.dumps(everything)


REFUSED = {
    "nobody": ({}, 422, "/principal"),
    "for an unknown principal": ({"principal": "nobody-known"}, 404, None),
    "for an approver": ({"principal": "reviewer"}, 403, None),
    "zero lifetime": ({"principal": "viewer", "lifetime_seconds": 0}, 422, "/lifetime_seconds"),
    "too long a lifetime": ({"principal": "viewer", "lifetime_seconds": 366 * 86_400}, 422, "/lifetime_seconds"),
    "with its own secret": ({"principal": "viewer", "key": "ag_x"}, 422, "/key"),
    "too long a note": ({"principal": "viewer", "note": "x" * 5000}, 422, "/note"),
}


@pytest.mark.parametrize(("body", "status", "pointer"), REFUSED.values(), ids=REFUSED.keys())
async def test_an_invalid_key_request_is_refused_audited_and_creates_nothing(as_, body, status, pointer):
    before = (await as_("admin").get(PLACE)).json()["items"]
    response = await as_("admin").post(PLACE, json=body)
    assert response.status_code == status, response.text
    if pointer is not None:
        assert response.json()["faults"][0]["pointer"] == pointer
    command = (await as_("auditor").get(f"/api/v1/commands/{response.json()['command_id']}")).json()
    assert (command["kind"], command["status"]) == ("key.create", "refused")
    assert [item["key_id"] for item in (await as_("admin").get(PLACE)).json()["items"]] == [
        item["key_id"] for item in before
    ]


async def test_a_key_cannot_be_addressed_by_its_secret(api: Api, as_):
    response = await as_("admin").post(f"{PLACE}/{api.tokens['viewer']}/revoke")
    assert (response.status_code, response.json()["code"]) == (400, "key_in_url")
    assert (await as_("admin").post(f"{PLACE}/no-such-key/revoke")).status_code == 404


async def test_callers_see_only_their_own_keys(api: Api, as_):
    created = (await as_("admin").post(PLACE, json={"principal": "viewer", "note": "mine"})).json()
    gone = (await as_("admin").post(PLACE, json={"principal": "viewer"})).json()
    await as_("admin").post(f"{PLACE}/{gone['key_id']}/revoke", json={})
    response = await as_("viewer").get("/api/v1/me/keys")
    listed = {item["key_id"]: item for item in response.json()["items"]}
    assert {item["principal"] for item in listed.values()} == {"viewer"}
    assert (listed[created["key_id"]]["status"], listed[gone["key_id"]]["status"]) == ("live", "revoked")
    assert created["key"] not in response.text
    others = (await as_("operator").get("/api/v1/me/keys", params={"principal": "viewer"})).text
    assert created["key_id"] not in others
    first = (await as_("viewer").get("/api/v1/me/keys", params={"limit": 1})).json()
    second = (await as_("viewer").get("/api/v1/me/keys", params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert [item["key_id"] for item in (*first["items"], *second["items"])] == list(listed)[:2]
    assert (await as_("viewer").get(PLACE)).status_code == 403
    assert (await as_(None).get("/api/v1/me/keys")).status_code == 401
