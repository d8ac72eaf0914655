"""Everyone with read permission can read rules; changing one requires having seen its newest version."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.api import factories
from tests.api.conftest import Api
from tests.security.scoped import narrow, sides

__all__ = ["narrow", "sides"]

POLICIES = "/api/v1/policies"
RULE = {"tool": "seen_*", "effect": "deny", "reason": "quarter end"}


async def test_every_role_reads_rules_and_only_administrators_change_them(as_):
    assert (await as_("admin").put(f"{POLICIES}/seen", json=RULE)).status_code == 200
    for who in ("viewer", "operator", "reviewer", "developer", "auditor", "agent"):
        assert "seen" in {rule["rule_id"] for rule in (await as_(who).get(POLICIES)).json()["items"]}, who
        assert (await as_(who).get(f"{POLICIES}/seen")).json()["reason"] == "quarter end"
        tested = await as_(who).post(f"{POLICIES}/test", json={"tool": "seen_it"})
        assert (tested.status_code, tested.json()["rule"]) == (200, "seen@1")
        assert (await as_(who).put(f"{POLICIES}/seen", json=RULE)).status_code == 403
    assert (await as_("nobody").get(POLICIES)).status_code == 403
    assert (await as_(None).get(POLICIES)).status_code == 401


async def test_a_concurrently_changed_rule_is_not_overwritten(api: Api, as_):
    await factories.insert(api.plane.engine, factories.tool("versioned"))
    for path, body, rule in (
        (f"{POLICIES}/versioned", {"tool": "versioned_*", "effect": "deny"}, "versioned"),
        ("/api/v1/tools/versioned/policy", {"effect": "deny"}, "tool:versioned"),
        ("/api/v1/agents/versioned/policy", {"effect": "deny"}, "agent:versioned"),
    ):
        put = as_("admin").put
        assert (await put(path, json=body | {"expected_version": 1})).status_code == 409
        assert (await put(path, json=body | {"expected_version": 0})).status_code == 200
        again = await put(path, json=body | {"reason": "new", "expected_version": 0})
        assert (again.status_code, again.json()["current_status"]) == (409, f"{rule}@1")
        assert (await put(path, json=body | {"reason": "new", "expected_version": 1})).status_code == 200
        late = await as_("admin").delete(f"{POLICIES}/{rule}", params={"expected_version": 1})
        assert late.status_code == 409
        assert (await as_("viewer").get(f"{POLICIES}/{rule}")).json()["withdrawn"] is False
        gone = await as_("admin").delete(f"{POLICIES}/{rule}", params={"expected_version": 2})
        assert gone.json()["version"] == 3
        assert (await put(path, json=body | {"expected_version": 2})).status_code == 409
        assert (await put(path, json=body | {"expected_version": 0})).status_code == 200  # none is in force


async def test_a_preview_lists_affected_calls_and_approvals_to_reopen(api: Api, as_):
    await factories.insert(api.plane.engine, *(factories.tool(f"pre_{n}", risk="destructive") for n in ("a", "b")))
    run = factories.run(workflow="known")
    under = {"status": "pending", "tool": "pre_a", "policy": "default:destructive@1"}
    approvals = [factories.approval(run, **under), factories.approval(run, **under | {"policy": "narrow@4"})]
    approvals.append(factories.approval(run, **under | {"agent": "clerk"}))
    await factories.insert(api.plane.engine, run, factories.execution(run), *approvals)
    ask = as_("viewer").post
    path = f"{POLICIES}/preview"

    denied = (await ask(path, json={"tool": "pre_a", "effect": "deny"})).json()
    assert denied == {
        "changes": [
            {
                "tool": "pre_a",
                "before": {
                    "rule": "default:destructive@1",
                    "effect": "require_approval",
                    "approvers": ["role:approver"],
                },
                "after": {"rule": "tool:pre_a@1", "effect": "deny", "approvers": []},
            }
        ],
        "total": 1,
        "asked_again": 2,
        "relaxes": [],
    }
    allowed = (await ask(path, json={"tool": "pre_a", "effect": "allow"})).json()
    assert allowed["relaxes"] == ["pre_a"]
    same = (await ask(path, json={"tool": "pre_a", "effect": "require_approval"})).json()
    assert (same["total"], same["asked_again"]) == (0, 0)

    clerk = (await ask(path, json={"agent": "clerk", "effect": "deny"})).json()
    assert {"pre_a", "pre_b"} <= {item["tool"] for item in clerk["changes"]}
    assert clerk["asked_again"] == 1
    for wrong in (
        {"effect": "deny"},
        {"tool": "pre_a", "agent": "clerk", "effect": "deny"},
        {"agent": "\0", "effect": "deny"},
    ):
        assert (await ask(path, json=wrong)).status_code == 422
    assert (await as_("admin").get(f"{POLICIES}/tool:pre_a")).status_code == 404  # nothing was put


async def test_a_preview_shows_calls_governed_by_another_rule_once_the_tools_own_rule_is_weaker(api: Api, as_):
    await factories.insert(api.plane.engine, factories.tool("pre_c"))
    admin = as_("admin")
    large = {"tool": "pre_c", "when": [{"argument": "usd", "op": ">", "value": 100}], "effect": "require_approval"}
    assert (await admin.put(f"{POLICIES}/pre_large", json=large)).status_code == 200
    assert (await admin.put("/api/v1/tools/pre_c/policy", json={"effect": "deny"})).status_code == 200
    body = (await as_("viewer").post(f"{POLICIES}/preview", json={"tool": "pre_c", "effect": "allow"})).json()
    assert body["relaxes"] == ["pre_c"]
    (change,) = body["changes"]
    assert (change["before"]["rule"], change["after"]["rule"]) == ("tool:pre_c@1", "pre_large@1")


async def test_a_preview_excludes_approvals_of_runs_the_caller_may_not_see(narrow: Api, as_):
    await factories.insert(narrow.plane.engine, factories.tool("pre_scoped", risk="destructive"))
    run = factories.run(workflow="hidden")
    approval = factories.approval(run, status="pending", tool="pre_scoped", policy="default:destructive@1")
    await factories.insert(narrow.plane.engine, run, factories.execution(run), approval)
    ask = {"tool": "pre_scoped", "effect": "deny"}
    assert (await as_("viewer").post(f"{POLICIES}/preview", json=ask)).json()["asked_again"] == 1
    assert (await as_("scoped").post(f"{POLICIES}/preview", json=ask)).json()["asked_again"] == 0


async def test_a_tool_shows_the_title_of_its_rule(api: Api, as_):
    await factories.insert(api.plane.engine, factories.tool("titled"))
    assert (await as_("viewer").get("/api/v1/tools/titled")).json()["policy"]["title"] == ""
    path = "/api/v1/tools/titled/policy"
    put = await as_("admin").put(path, json={"effect": "deny", "title": "Nobody calls it"})
    assert put.status_code == 200
    assert (await as_("viewer").get("/api/v1/tools/titled")).json()["policy"]["title"] == "Nobody calls it"


async def test_workflow_figures_cover_runs_in_scope(narrow: Api, as_, sides):
    now = datetime.now(UTC)

    def ended(status: str, seconds: float, **over: object):
        return factories.run(
            workflow="out_flow", status=status, started_at=now - timedelta(seconds=seconds), closed_at=now, **over
        )

    version = (await as_("viewer").get("/api/v1/workflows/out_flow")).json()["version"]
    quick, slow = ended("completed", 2, version=version), ended("completed", 20, version=version)
    await factories.insert(
        narrow.plane.engine,
        quick,
        slow,
        factories.execution(quick),
        factories.execution(slow),
        factories.step(quick, 5, name="fetch"),
        factories.step(quick, 6, kind="approval", name="Publish canary-1"),
        factories.step(slow, 5, name="fetch"),
        factories.step(slow, 6, kind="approval", name="Publish canary-2"),
        factories.step(slow, 7, name="close"),
        ended("completed", 100_000),
        ended("failed", 1, error_type="Upstream"),
        ended("failed", 1, error_type="Upstream"),
        ended("timed_out", 1),
        ended("failed", 1, error_type="not a class: canary"),
    )
    body = (await as_("viewer").get("/api/v1/workflows/out_flow/figures")).json()
    assert {(item["status"], item["error_type"], item["count"]) for item in body["errors"]} == {
        ("failed", "Upstream", 2),
        ("failed", "Error", 1),
        ("timed_out", None, 1),
    }
    bins = {item["from_seconds"]: item["count"] for item in body["durations"] if item["count"]}
    assert bins == {1.0: 1, 10.0: 1, 86_400.0: 1}
    assert (body["completed"], body["p50_seconds"], body["p95_seconds"]) == (3, 20.0, 90_002.0)
    assert body["usual"]["runs"] == 2
    usual = [(item["kind"], item["name"], item["count"]) for item in body["usual"]["steps"]]
    assert usual == [("tool", "fetch", 2), ("approval", "approval", 2), ("tool", "close", 1)]
    row = (await as_("viewer").get("/api/v1/workflows/out_flow")).json()["lately"]
    assert row == {"open": 1, "completed": 3, "failed": 4, "p50_seconds": 20.0}
    listed = (await as_("viewer").get("/api/v1/workflows", params={"q": "out_flow"})).json()["items"]
    assert [item["lately"] for item in listed] == [row]
    for who in ("scoped", "blind"):
        hidden = (await as_(who).get("/api/v1/workflows/out_flow/figures")).json()
        assert (hidden["errors"], hidden["usual"]["runs"], hidden["completed"]) == ([], 0, 0)
        assert not any(item["count"] for item in hidden["durations"])
        assert (await as_(who).get("/api/v1/workflows/out_flow")).json()["lately"]["open"] == 0


async def test_tool_figures_cover_calls_in_scope(narrow: Api, as_, sides):
    run = factories.run(workflow="out_flow")
    now = datetime.now(UTC)

    rejected = factories.approval(run, tool="figured", status="rejected")

    def call(number: int, *, ago: timedelta = timedelta(0), **over: object):
        begun = now - ago - timedelta(minutes=1)
        times = {"scheduled_at": begun, "started_at": begun, "closed_at": begun + timedelta(seconds=number)}
        return factories.step(run, number, name="figured", **{**times, "tool_version": "v1", **over})

    await factories.insert(
        narrow.plane.engine,
        factories.tool("figured"),
        run,
        factories.execution(run),
        call(1),
        call(2),
        call(3, status="failed", tool_version="v2"),
        call(4, ago=timedelta(days=3)),
        call(5, inherited=True),
        rejected,
        call(6, status="failed", approval_id=rejected.approval_id),
    )
    body = (await as_("viewer").get("/api/v1/tools/figured")).json()
    assert body["last_24h"] == {"calls": 4, "failed": 1, "p95_seconds": 1.95}
    assert body["last_7d"]["calls"] == 5
    assert {item["version"]: item["calls"] for item in body["versions"]} == {"v1": 4, "v2": 1}
    (listed,) = (await as_("viewer").get("/api/v1/tools", params={"q": "figured"})).json()["items"]
    assert listed["last_24h"] == body["last_24h"]
    for who in ("scoped", "blind"):
        hidden = (await as_(who).get("/api/v1/tools/figured")).json()
        assert (hidden["last_24h"]["calls"], hidden["last_7d"]["calls"], hidden["versions"]) == (0, 0, [])


async def test_an_agent_lists_which_tools_need_approval_or_are_denied(api: Api, as_):
    agent, version = factories.agent("asked_agent", tools=["free", "asked", "denied", "stopped", "unknown", "left_out"])
    tools = [factories.tool(name, risk="read") for name in ("free", "asked", "denied", "stopped", "left_out")]
    run = factories.run()
    costs = [
        factories.step(run, n, kind="agent", name="asked_agent", scheduled_at=datetime.now(UTC), usage={"usd": usd})
        for n, usd in ((5, 0.1), (6, 0.3), (7, None))
    ]
    await factories.insert(api.plane.engine, *tools, agent, version, run, factories.execution(run), *costs)
    rules = {"asked": {"effect": "require_approval", "reason": "money"}, "denied": {"effect": "deny"}}
    for name, rule in rules.items():
        assert (await as_("admin").put(f"/api/v1/tools/{name}/policy", json=rule)).status_code == 200
    assert (await as_("admin").post("/api/v1/tools/stopped/disable", json={"reason": "smoke"})).status_code == 200
    edit = {"tools": ["free", "asked", "denied", "stopped", "unknown"]}
    assert (await as_("admin").put("/api/v1/agents/asked_agent", json=edit)).status_code == 200
    body = (await as_("viewer").get("/api/v1/agents/asked_agent")).json()
    assert {item["name"]: (item["use"], item["reason"]) for item in body["tools"]} == {
        "free": ("unasked", ""),
        "asked": ("asking", "money"),
        "denied": ("never", "the rule tool:denied@1"),
        "stopped": ("never", "its kill switch is on: smoke"),
        "unknown": ("never", "no worker has registered it"),
        "left_out": ("never", "the version in use doesn't include it"),
    }
    calls = body["stats"]["calls"]
    assert (calls["p50_usd"], calls["p95_usd"]) == (0.2, 0.29)


@pytest.mark.parametrize("path", ["workflows", "tools", "agents", "policies", "views", "tools/tagged"])
async def test_an_unchanged_catalog_is_not_sent_again(api: Api, as_, path):
    await factories.insert(api.plane.engine, *([factories.tool("tagged")] if path == "tools/tagged" else []))
    client, place = as_("viewer"), f"/api/v1/{path}"
    first = await client.get(place)
    again = await client.get(place, headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["cache-control"] == first.headers["cache-control"]
    assert (await client.get(place, headers={"If-None-Match": '"other"'})).status_code == 200
    assert (await as_("nobody").get(place, headers={"If-None-Match": first.headers["etag"]})).status_code == 403


async def test_a_changed_catalog_is_sent(as_):
    first = await as_("viewer").get(POLICIES)
    assert (
        await as_("admin").put(f"{POLICIES}/tagged", json={"tool": "tagged_*", "effect": "deny"})
    ).status_code == 200
    again = await as_("viewer").get(POLICIES, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 200
