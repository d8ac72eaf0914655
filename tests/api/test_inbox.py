"""What a caller can decide now: the list, its pages and the count apply exactly the same rules as a decision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentgrid.control import api_keys, principals
from agentgrid.control import approvals as control_approvals
from agentgrid.control.plane import Caller
from agentgrid.control.signing import Signer
from agentgrid.db import approvals
from agentgrid.db.pool import direct
from agentgrid.db.tables import Approval
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from tests.api import factories
from tests.api.conftest import SETUP, Api

OTHER = Signer.of(Ed25519PrivateKey.generate())
LONG_AGO = datetime.now(UTC) - timedelta(hours=1)

CASES: dict[str, dict] = {
    "for every approver": {},
    "for a group": {"approvers": ["support-leads"]},
    "for one person": {"approvers": ["second"]},
    "for nobody": {"approvers": ["nobody-at-all"]},
    "of the reviewer's own run": {"initiator": "reviewer", "run": {"initiator": "reviewer"}},
    "of a run under a key that the reviewer issued": {"run": {"issuers": ["reviewer"]}},
    "of a run under a key that the reviewer issued, according to the terms alone": {"terms": {"issuers": ["reviewer"]}},
    "of a run whose terms name another initiator": {"initiator": "somebody"},
    "of a run that names no initiator": {"initiator": None, "run": {"initiator": "unknown"}},
    "decided": {"status": "approved"},
    "expired but not yet noticed": {"expires_at": LONG_AGO},
    "without an expiry": {"expires_at": None},
    "not open yet": {"decidable": False},
    "copied by a reset": {"inherited": True},
    "under a key of another installation": {"keys": {OTHER.key_id: OTHER.public_key}},
    "under a different key with the same id": {"keys": "wrong"},
    "under no key": {"keys": {}},
    "with a text that PostgreSQL can't hold": {"terms": {"title": "a\x00b", "issuers": ["\x00", "reviewer"]}},
    "with such a text but otherwise valid": {"terms": {"title": "a\\u0000\x00b"}},
    "with a lone surrogate": {"terms": {"title": "\\ud800\ud800😀", "issuers": ["\udfff", "reviewer"]}},
    "with such a surrogate but otherwise valid": {"terms": {"title": "\udc00\ud800x"}},
    "of another workflow": {"run": {"workflow": "elsewhere"}},
}


@pytest.fixture(scope="module")
async def approvals_by_name(api: Api) -> dict[str, Approval]:
    """An approval of each kind, and a second one that reuses the id of the first."""
    signer = api.plane.signer
    by_name = {}
    for name, given in CASES.items():
        over = dict(given)
        run = factories.run(status="waiting", waiting_on="approval", **over.pop("run", {}))
        own = {signer.key_id: signer.public_key}
        keys = over.pop("keys", own)
        if keys == "wrong":
            keys = {signer.key_id: OTHER.public_key}
        more = over.pop("terms", {})
        approval = factories.approval(run, tool="inbox", **over)
        approval.terms = {**approval.terms, "keys": keys, **more}
        await factories.insert(api.plane.engine, run, factories.execution(run), approval)
        by_name[name] = approval
    copied = by_name["for one person"]
    run = factories.run(status="waiting", waiting_on="approval")
    forged = factories.approval(run, tool="inbox", approval_id=copied.approval_id)
    forged.terms = {**forged.terms, "keys": {signer.key_id: signer.public_key}}
    await factories.insert(api.plane.engine, run, factories.execution(run), forged)
    return by_name


SCOPED = Principal(
    name="scoped", kind=PrincipalKind.HUMAN, roles=frozenset({Role.APPROVER}), workflows=frozenset({"else*"})
)


@pytest.fixture(scope="module")
async def callers(api: Api) -> dict[str, tuple[Caller, str]]:
    """Everyone who might decide, each with the caller derived from their key."""
    await principals.put(api.plane.engine, SETUP, SCOPED)
    tokens = {name: api.tokens[name] for name in ("reviewer", "second", "both", "operator", "admin", "agent", "robot")}
    tokens["scoped"] = (await api_keys.create(api.plane.engine, SETUP, principal="scoped")).secret
    # Somebody else has seen this key and could use it.
    tokens["second, by a key of the reviewer"] = (
        await api_keys.create(api.plane.engine, SETUP, principal="second")
    ).secret
    async with api.plane.engine.begin() as connection:
        key_id = tokens["second, by a key of the reviewer"].split("_")[1]
        await connection.exec_driver_sql(f"UPDATE api_keys SET issuers = ARRAY['reviewer'] WHERE key_id = '{key_id}'")
    by_name = {}
    for name, token in tokens.items():
        login = await api_keys.authenticate(api.plane.pool, token)
        by_name[name] = (Caller(principal=login.principal, key_id=login.key_id, issuers=login.issuers), token)
    return by_name


async def judged(api: Api, caller: Caller, approvals_by_name: dict[str, Approval]) -> set[str]:
    """The approvals on which a decision would be accepted."""
    able = set()
    async with direct(api.plane.pool) as connection:
        for name, approval in approvals_by_name.items():
            facts = await approvals.get(connection, approval.approval_id, scope=caller.principal.workflows)
            if (
                facts is not None
                and control_approvals.obstacle(caller, facts, control_approvals.signer_for(api.plane, facts)) is None
            ):
                able.add(name)
    return able


async def test_the_inbox_lists_exactly_the_decidable_approvals(api: Api, approvals_by_name, callers):
    by_id = {approval.approval_id: name for name, approval in approvals_by_name.items()}
    expected: dict[str, set[str]] = {}
    for who, (caller, token) in callers.items():
        expected[who] = await judged(api, caller, approvals_by_name)
        async with Api(api.app, api.settings, {who: token}).client(who) as client:
            seen, cursor = [], None
            while True:
                params = {"decidable_by": "me", "tool": "inbox", "limit": 3} | ({"cursor": cursor} if cursor else {})
                page = (await client.get("/api/v1/approvals", params=params)).json()
                assert len(page["items"]) == 3 or page["next_cursor"] is None
                seen += page["items"]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            overview = (await client.get("/api/v1/overview")).json()["approvals_for_me"]
            everything = (await client.get(f"{overview['href']}&limit=200")).json()["items"]
        assert sorted(by_id[item["approval_id"]] for item in seen) == sorted(expected[who]), who
        opened = [item["opened_at"] for item in seen]
        assert opened == sorted(opened, reverse=True)
        assert overview["count"] == len(everything) == len(seen)
    # The decision rules tell them apart.
    assert expected["operator"] == expected["admin"] == expected["agent"] == expected["robot"] == set()
    assert expected["scoped"] == {"of another workflow"}
    assert "for a group" in expected["reviewer"] - expected["second"]
    assert "of the reviewer's own run" in expected["second"] - expected["reviewer"]
    assert "of the reviewer's own run" not in expected["second, by a key of the reviewer"]
    assert "with such a text but otherwise valid" in expected["reviewer"]
    assert len(expected["reviewer"]) == 7


async def test_disabling_a_workflow_affects_neither_the_inbox_nor_decisions(api: Api, as_, approvals_by_name, callers):
    await factories.insert(api.plane.engine, *factories.workflow("made"), factories.tool("inbox"))
    caller, _ = callers["reviewer"]
    before = await judged(api, caller, approvals_by_name)
    for path in ("/api/v1/workflows/made/disable", "/api/v1/tools/inbox/disable"):
        assert (await as_("admin").post(path)).status_code == 200
    page = await as_("reviewer").get("/api/v1/approvals", params={"decidable_by": "me", "tool": "inbox"})
    assert len(page.json()["items"]) == len(before) == len(await judged(api, caller, approvals_by_name))
