"""Rules are read by everybody who reads, and changed by those who have seen the newest version."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.api import factories
from tests.api.conftest import Api
from tests.security.scoped import narrow, sides

__all__ = ["narrow", "sides"]

POLICIES = "/api/v1/policies"
RULE = {"tool": "seen_*", "effect": "deny", "reason": "quarter end"}


async def test_rules_are_read_by_every_role_and_changed_by_administrators_alone(as_):
    assert (await as_("admin").put(f"{POLICIES}/seen", json=RULE)).status_code == 200
    for who in ("viewer", "operator", "reviewer", "developer", "auditor", "agent"):
        assert "seen" in {rule["rule_id"] for rule in (await as_(who).get(POLICIES)).json()["items"]}, who
        assert (await as_(who).get(f"{POLICIES}/seen")).json()["reason"] == "quarter end"
        tested = await as_(who).post(f"{POLICIES}/test", json={"tool": "seen_it"})
        assert (tested.status_code, tested.json()["rule"]) == (200, "seen@1")
        assert (await as_(who).put(f"{POLICIES}/seen", json=RULE)).status_code == 403
    assert (await as_("nobody").get(POLICIES)).status_code == 403
    assert (await as_(None).get(POLICIES)).status_code == 401


async def test_a_rule_that_changed_meanwhile_is_not_overwritten(api: Api, as_):
    await factories.insert(api.plane.engine, factories.tool("versioned"))
    for place, body, rule in (
        (f"{POLICIES}/versioned", {"tool": "versioned_*", "effect": "deny"}, "versioned"),
        ("/api/v1/tools/versioned/policy", {"effect": "deny"}, "tool:versioned"),
        ("/api/v1/agents/versioned/policy", {"effect": "deny"}, "agent:versioned"),
    ):
        put = as_("admin").put
        assert (await put(place, json=body | {"expected_version": 1})).status_code == 409
        assert (await put(place, json=body | {"expected_version": 0})).status_code == 200
        again = await put(place, json=body | {"reason": "new", "expected_version": 0})
        assert (again.status_code, again.json()["current_status"]) == (409, f"{rule}@1")
        assert (await put(place, json=body | {"reason": "new", "expected_version": 1})).status_code == 200
        late = await as_("admin").delete(f"{POLICIES}/{rule}", params={"expected_version": 1})
        assert late.status_code == 409
        assert (await as_("viewer").get(f"{POLICIES}/{rule}")).json()["withdrawn"] is False


async def test_figures_of_a_workflow_are_of_runs_in_scope(narrow: Api, as_, sides):
    now = datetime.now(UTC)

    def ended(status: str, seconds: float, **over: object):
        return factories.run(
            workflow="out_flow", status=status, started_at=now - timedelta(seconds=seconds), closed_at=now, **over
        )

    await factories.insert(
        narrow.plane.engine,
        ended("completed", 2),
        ended("completed", 20),
        ended("completed", 100_000),
        ended("failed", 1, error_type="Upstream"),
        ended("failed", 1, error_type="Upstream"),
        ended("timed_out", 1),
        ended("failed", 1, error_type="not a class: canary"),
    )
    found = (await as_("viewer").get("/api/v1/workflows/out_flow/figures")).json()
    assert {(each["status"], each["error_type"], each["count"]) for each in found["errors"]} == {
        ("failed", "Upstream", 2),
        ("failed", "Error", 1),
        ("timed_out", None, 1),
    }
    bins = {each["from_seconds"]: each["count"] for each in found["durations"] if each["count"]}
    assert bins == {1.0: 1, 10.0: 1, 86_400.0: 1}
    row = (await as_("viewer").get("/api/v1/workflows/out_flow")).json()["lately"]
    assert row == {"open": 1, "completed": 3, "failed": 4, "p50_seconds": 20.0}
    listed = (await as_("viewer").get("/api/v1/workflows", params={"q": "out_flow"})).json()["items"]
    assert [each["lately"] for each in listed] == [row]
    for who in ("scoped", "blind"):
        hidden = (await as_(who).get("/api/v1/workflows/out_flow/figures")).json()
        assert hidden["errors"] == []
        assert not any(each["count"] for each in hidden["durations"])
        assert (await as_(who).get("/api/v1/workflows/out_flow")).json()["lately"]["open"] == 0
