"""Putting, showing and withdrawing rules over the API, and the effect on workers' snapshots."""

from __future__ import annotations

import asyncio

import pytest

from agentgrid.db import policies
from agentgrid.db.session import reading
from agentgrid.domain import activities
from agentgrid.domain.activities import ActivityKind
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Risk, Snapshot
from agentgrid.domain.steps import StepKind
from tests.api import factories
from tests.api.conftest import Api

PLACE = "/api/v1/policies"


async def published(api: Api) -> Snapshot:
    async with reading(api.plane.engine) as session:
        snapshot = await policies.newest_snapshot(session)
    assert snapshot is not None
    return snapshot


async def last_command(as_, kind: str) -> dict:
    return (await as_("auditor").get("/api/v1/commands", params={"kind": kind, "limit": 1})).json()["items"][0]


async def test_a_rules_history_is_kept_through_put_change_withdrawal_and_put(api: Api, as_):
    await factories.insert(api.plane.engine, factories.tool("crm_update"), factories.tool("crm_read", risk="read"))
    rule = {"tool": "crm_*", "effect": "deny", "reason": "the CRM is being moved"}

    put = await as_("admin").put(f"{PLACE}/crm-move", json=rule)

    assert put.status_code == 200, put.text
    assert (put.json()["version"], put.json()["fits"], put.json()["holds_for"], put.json()["note"]) == (
        1,
        ["crm_read", "crm_update"],
        ["crm_read", "crm_update"],
        None,
    )
    applied = (await published(api)).rule_for("crm_update", Risk.WRITE)
    assert (applied.reference, applied.effect, applied.reason) == ("crm-move@1", Effect.DENY, "the CRM is being moved")
    policy = (await as_("viewer").get("/api/v1/tools/crm_read")).json()["policy"]
    assert (policy["rule"], policy["tool"]) == ("crm-move@1", "crm_*")

    asked = {**rule, "effect": "require_approval", "approvers": ["leads", "leads"], "expires_seconds": 60}
    changed = (await as_("admin").put(f"{PLACE}/crm-move", json=asked)).json()
    assert (changed["version"], changed["approvers"], changed["expires_seconds"]) == (2, ["leads"], 60)

    gone = await as_("admin").request("DELETE", f"{PLACE}/crm-move", json={"reason": "moved"})
    assert gone.status_code == 200, gone.text
    assert (gone.json()["withdrawn"], gone.json()["version"], gone.json()["holds_for"]) == (True, 3, [])
    assert (await published(api)).rule_for("crm_update", Risk.WRITE).rule_id == "default:write"
    audit = await last_command(as_, "policy.withdraw")
    assert (audit["status"], audit["target"], audit["reason"], audit["principal"]) == (
        "applied",
        "crm-move",
        "moved",
        "admin",
    )
    again = await as_("admin").delete(f"{PLACE}/crm-move")
    assert (again.status_code, again.json()["version"]) == (200, 3)
    listed = (await as_("admin").get(PLACE)).json()["items"]
    assert "crm-move" not in [item["rule_id"] for item in listed]

    assert (await as_("admin").put(f"{PLACE}/crm-move", json=rule)).json()["version"] == 4
    history = (await as_("admin").get(f"{PLACE}/crm-move")).json()["versions"]
    assert [(item["version"], item["effect"], item["withdrawn"]) for item in history] == [
        (4, "deny", False),
        (3, "require_approval", True),
        (2, "require_approval", False),
        (1, "deny", False),
    ]


async def test_an_unchanged_rule_keeps_its_version_and_the_approvals_under_it(api: Api, as_):
    rule = {"tool": "same", "effect": "require_approval", "approvers": ["role:approver"]}
    first = (await as_("admin").put(f"{PLACE}/same", json=rule)).json()
    before = await published(api)
    second = (await as_("admin").put(f"{PLACE}/same", json=rule)).json()
    assert (first["version"], second["version"], (await published(api)).version) == (1, 1, before.version)
    audit = await last_command(as_, "policy.put")
    assert (audit["status"], audit["outcome"]) == ("applied", {"form": "facts", "rule": "same@1", "changed": False})


async def test_equal_requests_under_one_idempotency_key_are_one_command_and_a_different_body_is_a_conflict(
    api: Api, as_
):
    headers = {"Idempotency-Key": "once"}
    deny, allow = ({"tool": "rush", "effect": effect} for effect in ("deny", "allow"))
    answers = await asyncio.gather(*(as_("admin").put(f"{PLACE}/once", json=deny, headers=headers) for _ in range(5)))
    assert {(response.status_code, response.json()["version"]) for response in answers} == {(200, 1)}
    await as_("admin").put(f"{PLACE}/once", json=allow)
    replayed = await as_("admin").put(f"{PLACE}/once", json=deny, headers=headers)
    assert (replayed.status_code, replayed.json()["effect"]) == (200, "allow"), "replayed: nothing is done again"
    other = await as_("admin").put(f"{PLACE}/once", json=allow, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


async def test_a_rule_shows_what_it_applies_to_even_if_that_is_nothing(api: Api, as_):
    await factories.insert(api.plane.engine, *(factories.tool(name) for name in ("mail_send", "mail_read")))

    async def put(rule_id: str, tool: str) -> dict:
        response = await as_("admin").put(f"{PLACE}/{rule_id}", json={"tool": tool, "effect": "deny"})
        assert response.status_code == 200, response.text
        return response.json()

    nothing = await put("nothing", "no_such_*")
    assert (nothing["fits"], "matches no registered tool" in nothing["note"]) == ([], True)
    plain = await put("plain", "Billing::charge card")
    assert "plain activities are not registered" in plain["note"]
    assert (await published(api)).rule_for("Billing::charge card", Risk.READ).effect is Effect.DENY
    exact = await put("exact", "mail_send")
    assert (exact["holds_for"], exact["note"]) == (["mail_send"], None)
    glob = await put("glob", "mail_*")
    assert (glob["fits"], glob["holds_for"]) == (["mail_read", "mail_send"], ["mail_read"])
    longer = await put("longer", "mail_rea?")
    assert longer["holds_for"] == ["mail_read"]
    assert "takes precedence" in (await as_("admin").get(f"{PLACE}/glob")).json()["note"]
    await as_("admin").delete(f"{PLACE}/longer")
    allowed = await as_("admin").put(f"{PLACE}/longer", json={"tool": "mail_rea?", "effect": "allow"})
    assert (allowed.json()["holds_for"], "denies" in allowed.json()["note"]) == ([], True)


async def test_a_tools_own_rule_takes_precedence_over_another_that_names_it(api: Api, as_):
    await factories.insert(api.plane.engine, factories.tool("ledger"))
    await as_("admin").put(f"{PLACE}/zz", json={"tool": "ledger", "effect": "deny"})
    put = await as_("admin").put("/api/v1/tools/ledger/policy", json={"effect": "allow"})
    assert put.json()["policy"]["rule"] == "tool:ledger@1"
    assert (await published(api)).rule_for("ledger", Risk.WRITE).rule_id == "tool:ledger"
    assert (await as_("admin").get(f"{PLACE}/zz")).json()["holds_for"] == []
    third = await as_("admin").put(f"{PLACE}/third", json={"tool": "ledger", "effect": "deny"})
    assert (third.status_code, "'tool:ledger'" in third.json()["detail"]) == (409, True)


async def test_a_rule_must_name_what_it_covers(api: Api, as_):
    await factories.insert(api.plane.engine, factories.tool("post"))
    body = {"kind": "activity", "tool": "post", "effect": "deny"}
    put = await as_("admin").put(f"{PLACE}/activities-only", json=body)
    assert (put.status_code, put.json()["kind"], put.json()["fits"]) == (200, "activity", []), put.text
    snapshot = await published(api)
    assert snapshot.rule_for("post", Risk.READ, StepKind.ACTIVITY).rule_id == "activities-only"
    assert snapshot.rule_for("post", Risk.WRITE).rule_id == "default:write"

    same = await as_("admin").put(f"{PLACE}/again", json=body)
    assert (same.status_code, "'activities-only'" in same.json()["detail"]) == (409, True)
    for kind in ("tool", None):
        other = await as_("admin").put(f"{PLACE}/{kind or 'both'}", json=body | {"kind": kind})
        assert (other.status_code, other.json()["kind"], other.json()["fits"]) == (200, kind, ["post"]), other.text

    unknown = await as_("admin").put(f"{PLACE}/models", json=body | {"kind": "timer"})
    (fault,) = unknown.json()["faults"]
    assert (unknown.status_code, fault["pointer"]) == (422, "/kind")
    assert fault["message"] == "must be one of: activity, model, tool"


async def test_a_new_kind_of_call_can_be_governed_with_one_row(api: Api, as_, monkeypatch: pytest.MonkeyPatch):
    row = ActivityKind(prefix="model.", step=StepKind.MODEL, switch="agent")
    monkeypatch.setattr(activities, "KINDS", (*activities.KINDS, row))
    put = await as_("admin").put(f"{PLACE}/models", json={"kind": "model", "tool": "triag*", "effect": "deny"})
    assert (put.status_code, put.json()["kind"]) == (200, "model"), put.text
    snapshot = await published(api)
    assert snapshot.rule_for("triager", Risk.READ, StepKind.MODEL).rule_id == "models"
    assert snapshot.rule_for("triager", Risk.READ, StepKind.ACTIVITY).rule_id == "default:read"
    await as_("admin").delete(f"{PLACE}/models")


async def test_the_rule_of_a_tool_is_withdrawn_like_any_other(api: Api, as_):
    await factories.insert(api.plane.engine, factories.tool("wipe", risk="destructive"))
    await as_("admin").put("/api/v1/tools/wipe/policy", json={"effect": "allow"})
    gone = await as_("admin").delete(f"{PLACE}/tool:wipe")
    assert (gone.status_code, gone.json()["withdrawn"]) == (200, True)
    assert (await published(api)).rule_for("wipe", Risk.DESTRUCTIVE).rule_id == "default:destructive"
    policy = (await as_("viewer").get("/api/v1/tools/wipe")).json()["policy"]
    assert policy["rule"] == "default:destructive@1"


async def test_rules_are_listed_in_pages_and_by_tool(api: Api, as_):
    for number in range(5):
        await as_("admin").put(f"{PLACE}/page-{number}", json={"tool": f"page_{number}*", "effect": "deny"})
    found, cursor = [], None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await as_("admin").get(PLACE, params=params)).json()
        assert len(page["items"]) <= 2
        found += [item["rule_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == sorted(set(found))
    assert {f"page-{number}" for number in range(5)} <= set(found)
    about = (await as_("admin").get(PLACE, params={"tool": "page_3_and_more"})).json()["items"]
    assert [item["rule_id"] for item in about] == ["page-3"]
    other = await as_("admin").get(PLACE, params={"tool": "x", "cursor": "W10"})
    assert other.status_code == 422


REFUSED = {
    "the id of a tool's rule": ("PUT", "tool:x", {"tool": "x", "effect": "deny"}, 422, "rule_id"),
    "a built-in id": ("PUT", "default:read", {"tool": "x", "effect": "deny"}, 422, "rule_id"),
    "an id with a colon": ("PUT", "a:b", {"tool": "x", "effect": "deny"}, 422, "rule_id"),
    "an id in capitals": ("PUT", "Rule", {"tool": "x", "effect": "deny"}, 422, "rule_id"),
    "a version": ("PUT", "rule@2", {"tool": "x", "effect": "deny"}, 422, "rule_id"),
    "a long id": ("PUT", "r" * 128, {"tool": "x", "effect": "deny"}, 422, "rule_id"),
    "no name": ("PUT", "bad", {"tool": "", "effect": "deny"}, 422, "/tool"),
    "blanks": ("PUT", "bad", {"tool": " x", "effect": "deny"}, 422, "/tool"),
    "a line break": ("PUT", "bad", {"tool": "x\ny", "effect": "deny"}, 422, "/tool"),
    "a long name": ("PUT", "bad", {"tool": "x" * 256, "effect": "deny"}, 422, "/tool"),
    "no effect": ("PUT", "bad", {"tool": "x"}, 422, "/effect"),
    "an unknown effect": ("PUT", "bad", {"tool": "x", "effect": "ask"}, 422, "/effect"),
    "nobody to approve": (
        "PUT",
        "bad",
        {"tool": "x", "effect": "require_approval", "approvers": []},
        422,
        "/approvers",
    ),
    "a zero expiry": (
        "PUT",
        "bad",
        {"tool": "x", "effect": "deny", "expires_seconds": 0},
        422,
        "/expires_seconds",
    ),
    "an expiry that rounds to zero": (
        "PUT",
        "bad",
        {"tool": "x", "effect": "deny", "expires_seconds": 5e-324},
        422,
        "/expires_seconds",
    ),
    "an expiry as a string": (
        "PUT",
        "bad",
        {"tool": "x", "effect": "deny", "expires_seconds": "60"},
        422,
        "/expires_seconds",
    ),
    "a kill switch": ("PUT", "bad", {"tool": "x", "effect": "deny", "disabled": True}, 422, "/disabled"),
    "a built-in rule": ("DELETE", "default:destructive", None, 409, None),
    "an unknown rule": ("DELETE", "nobody-put-it", None, 404, None),
    "a reason that is not text": ("DELETE", "nobody-put-it", {"reason": 1}, 422, "/reason"),
}


@pytest.mark.parametrize(("method", "rule_id", "body", "status", "pointer"), REFUSED.values(), ids=REFUSED.keys())
async def test_an_invalid_change_is_refused_and_audited_and_publishes_nothing(
    api: Api, as_, method, rule_id, body, status, pointer
):
    before = await published(api)
    response = await as_("admin").request(method, f"{PLACE}/{rule_id}", json=body)
    assert response.status_code == status, response.text
    if pointer is not None:
        assert response.json()["faults"][0]["pointer"] == pointer
    kind = "policy.put" if method == "PUT" else "policy.withdraw"
    audit = await last_command(as_, kind)
    assert (audit["command_id"], audit["status"], audit["target"]) == (
        response.json()["command_id"],
        "refused",
        rule_id,
    )
    assert (await published(api)).version == before.version
