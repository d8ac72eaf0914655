"""Changing principals over the API: effective immediately, audited, and never so that someone gains authority they grant."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest

from agentgrid.control import api_keys, principals
from agentgrid.db import policies
from agentgrid.db.session import reading
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from tests.api.conftest import SETUP, Api, listening
from tests.api.test_streams import take

PLACE = "/api/v1/principals"


@asynccontextmanager
async def as_holder(api: Api, key: str):
    """A client with a key that isn't in the tests' own list."""
    transport = httpx.ASGITransport(app=api.app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8700", headers=headers) as client:
        yield client


async def put(as_, name: str, expect: int = 200, who: str = "admin", **body) -> dict:
    response = await as_(who).put(f"{PLACE}/{name}", json=body)
    assert response.status_code == expect, response.text
    return response.json()


async def key_of(as_, principal: str, expect: int = 201, **body) -> dict:
    response = await as_("admin").post("/api/v1/keys", json={"principal": principal, **body})
    assert response.status_code == expect, response.text
    return response.json()


@asynccontextmanager
async def second_administrator(api: Api):
    """A client of a temporary second administrator."""
    engine = api.plane.engine
    await principals.put(
        engine, SETUP, Principal(name="berta", kind=PrincipalKind.HUMAN, roles=frozenset({Role.ADMIN}))
    )
    await principals.set_disabled(engine, SETUP, "berta", False)
    async with as_holder(api, (await api_keys.create(engine, SETUP, principal="berta")).secret) as client:
        yield client
    await principals.set_disabled(engine, SETUP, "berta", True)


async def granted(as_, second: httpx.AsyncClient, name: str, **body) -> dict:
    """Make a change that needs two administrators."""
    proposed = await put(as_, name, 202, **body)
    confirmed = await second.post(proposed["confirm"])
    assert (confirmed.status_code, confirmed.json()["status"]) == (200, "applied"), confirmed.text
    return (await as_("admin").get(f"{PLACE}/{name}")).json()


async def snapshot(api: Api):
    async with reading(api.plane.engine) as session:
        return await policies.newest_snapshot(session)


async def test_a_principal_is_created_shown_changed_and_listed(api: Api, as_):
    created = await put(as_, "ines", kind="human", roles=["operator"], groups=["editors"], reason="joined")
    assert (created["kind"], created["roles"], created["groups"], created["disabled"]) == (
        "human",
        ["operator"],
        ["editors"],
        False,
    )
    assert created["permissions"] == ["control", "edit", "read", "read_payloads", "start"]
    changed = await put(as_, "ines", roles=["viewer", "viewer"])
    assert (changed["kind"], changed["roles"], changed["groups"]) == ("human", ["viewer"], [])
    assert (await as_("admin").get(f"{PLACE}/ines")).json() == changed
    names, cursor = [], None
    while True:
        page = (await as_("admin").get(PLACE, params={"limit": 3, **({"cursor": cursor} if cursor else {})})).json()
        names += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names == sorted(set(names))
    assert {"ines", "admin", "robot"} <= set(names)
    audit = (await as_("auditor").get("/api/v1/commands", params={"kind": "principal.put"})).json()["items"]
    assert [(item["status"], item["target"], item["principal"], item["reason"]) for item in audit[:2]] == [
        ("applied", "ines", "admin", None),
        ("applied", "ines", "admin", "joined"),
    ]


async def test_disabling_takes_effect_at_once_for_streams_too_and_enabling_restores_access(api: Api, as_):
    await put(as_, "leaver", kind="human", roles=["viewer"])
    key = (await key_of(as_, "leaver"))["key"]
    async with as_holder(api, key) as client, listening(api.app) as url:
        assert (await client.get("/api/v1/me")).status_code == 200
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20) as http:
            stream = asyncio.create_task(take(http, "/api/v1/events"))
            async with asyncio.timeout(10):
                while api.app.state.feed.streams == 0:
                    await asyncio.sleep(0.02)

            gone = await as_("admin").post(f"{PLACE}/leaver/disable", json={"reason": "left"})

            assert (gone.status_code, gone.json()["disabled"], gone.json()["permissions"]) == (200, True, [])
            assert (await client.get("/api/v1/me")).status_code == 401
            assert await asyncio.wait_for(stream, 5) == [], "long before its periodic check"
        assert "leaver" in (await snapshot(api)).revoked_principals
        changed = await put(as_, "leaver", roles=["operator"])
        assert (changed["disabled"], (await client.get("/api/v1/me")).status_code) == (True, 401)
        again = await as_("admin").post(f"{PLACE}/leaver/disable")
        assert again.json()["disabled_at"] == gone.json()["disabled_at"]

        back = await as_("admin").post(f"{PLACE}/leaver/enable")
        assert (back.status_code, back.json()["disabled"]) == (200, False)
        assert (await client.get("/api/v1/me")).json()["roles"] == ["operator"]
        assert "leaver" not in (await snapshot(api)).revoked_principals
    audit = (await as_("auditor").get("/api/v1/commands", params={"kind": "principal.disable"})).json()["items"]
    assert [(item["reason"], item["outcome"]) for item in audit[:2]] == [
        (None, {"form": "facts", "changed": False}),
        ("left", {"form": "facts", "changed": True}),
    ]


async def test_nobody_can_decide_under_a_disabled_approvers_name(api: Api, as_):
    async with second_administrator(api) as second:
        await granted(as_, second, "amara", kind="human", roles=["approver"], groups=["support-leads"])
    assert "support-leads" in (await snapshot(api)).approver_entries["amara"]
    await as_("admin").post(f"{PLACE}/amara/disable")
    published_snapshot = await snapshot(api)
    assert ("amara" in published_snapshot.approver_entries, "amara" in published_snapshot.revoked_principals) == (
        False,
        True,
    )


async def test_the_last_administrator_can_neither_be_disabled_nor_lose_the_role(api: Api, as_):
    assert (await as_("admin").post(f"{PLACE}/robot/disable")).status_code == 200
    try:
        for response in (
            await as_("admin").post(f"{PLACE}/admin/disable"),
            await as_("admin").put(f"{PLACE}/admin", json={"roles": ["viewer"]}),
        ):
            assert (response.status_code, "last enabled administrator" in response.json()["detail"]) == (409, True)
            command = (await as_("auditor").get(f"/api/v1/commands/{response.json()['command_id']}")).json()
            assert (command["status"], command["target"]) == ("refused", "admin")
        await put(as_, "deputy", kind="human", roles=["admin"])
        key = (await key_of(as_, "deputy"))["key"]
        async with as_holder(api, key) as deputy:
            outs = await asyncio.gather(
                as_("admin").post(f"{PLACE}/deputy/disable"), deputy.post(f"{PLACE}/admin/disable")
            )
            assert sorted(response.status_code for response in outs) in ([200, 401], [200, 409]), (
                "one administrator remains"
            )
            left = as_("admin") if outs[0].status_code == 200 else deputy
            assert (await left.post(f"{PLACE}/admin/enable")).status_code == 200
        await as_("admin").post(f"{PLACE}/deputy/disable")
    finally:
        assert (await as_("admin").post(f"{PLACE}/robot/enable")).status_code == 200


async def test_nobody_makes_themselves_an_approver_and_no_administrator_is_an_approver(api: Api, as_):
    for who, roles in (("admin", ["approver"]), ("admin", ["viewer", "approver"])):
        refused = await put(as_, who, 403, roles=roles)
        assert "themselves" in refused["detail"]
    both = await put(as_, "admin", 422, roles=["admin", "approver"])
    assert both["faults"][0]["pointer"] == "/roles"
    await put(as_, "pair", 422, kind="human", roles=["admin", "approver"])
    assert (await as_("admin").get(f"{PLACE}/admin")).json()["roles"] == ["admin"]


async def test_an_issuer_of_keys_never_holds_one_that_can_decide(api: Api, as_):
    """Neither by creating a key for an approver, nor by making an approver of someone whose key they created."""
    refused = await key_of(as_, "reviewer", 403)
    assert (refused["code"], "agentgrid key create" in refused["detail"]) == ("second_administrator_needed", True)

    await put(as_, "mole", kind="human", roles=["viewer"])
    created = await key_of(as_, "mole")
    async with second_administrator(api) as second:
        promoted = await put(as_, "mole", 409, roles=["approver"])
        assert created["key_id"] in promoted["detail"]
        await as_("admin").post(f"/api/v1/keys/{created['key_id']}/revoke")
        own = await api_keys.create(api.plane.engine, SETUP, principal="mole")
        mole = await granted(as_, second, "mole", roles=["approver"])
        assert mole["permissions"] == ["decide", "read"]
        async with as_holder(api, own.secret) as client:
            assert "decide" in (await client.get("/api/v1/me")).json()["permissions"]
        await granted(as_, second, "mole", roles=["approver"], groups=["support-leads"])


REFUSED = {
    "a new principal without a kind": ("fresh", {"roles": []}, 422, "/kind"),
    "the kind system": ("fresh", {"kind": "system", "roles": []}, 422, "/kind"),
    "no roles": ("fresh", {"kind": "human"}, 422, "/roles"),
    "an unknown role": ("fresh", {"kind": "human", "roles": ["god"]}, 422, "/roles/0"),
    "a program that decides": ("fresh", {"kind": "service", "roles": ["approver"]}, 422, "/roles"),
    "an agent that decides": ("fresh", {"kind": "agent", "roles": ["approver"]}, 422, "/roles"),
    "a name in capitals": ("Fresh", {"kind": "human", "roles": []}, 422, "/name"),
    "a reserved name": ("system", {"kind": "human", "roles": []}, 422, "/name"),
    "another reserved name": ("unknown", {"kind": "human", "roles": []}, 422, "/name"),
    "the name of all approvers": ("role:approver", {"kind": "human", "roles": []}, 422, "/name"),
    "a group with a space": ("fresh", {"kind": "human", "roles": [], "groups": ["a b"]}, 422, "/groups"),
    "the group of all approvers": (
        "fresh",
        {"kind": "human", "roles": [], "groups": ["role:approver"]},
        422,
        "/groups",
    ),
    "101 groups": ("fresh", {"kind": "human", "roles": [], "groups": ["g"] * 101}, 422, "/groups"),
    "with a disabled flag": ("fresh", {"kind": "human", "roles": [], "disabled": True}, 422, "/disabled"),
    "a different kind": ("operator", {"kind": "service", "roles": []}, 409, None),
}


@pytest.mark.parametrize(("name", "body", "status", "pointer"), REFUSED.values(), ids=REFUSED.keys())
async def test_an_invalid_principal_is_refused_and_audited_and_not_created(api: Api, as_, name, body, status, pointer):
    before = (await snapshot(api)).version
    refused = await put(as_, name, status, **body)
    if pointer is not None:
        assert refused["faults"][0]["pointer"] == pointer
    command = (await as_("auditor").get(f"/api/v1/commands/{refused['command_id']}")).json()
    assert (command["kind"], command["status"], command["target"]) == ("principal.put", "refused", name)
    assert (await as_("admin").get(f"{PLACE}/fresh")).status_code == 404
    assert (await snapshot(api)).version == before


async def test_an_unknown_principal_cannot_be_disabled(as_):
    for verb in ("disable", "enable"):
        assert (await as_("admin").post(f"{PLACE}/nobody-known/{verb}")).status_code == 404
