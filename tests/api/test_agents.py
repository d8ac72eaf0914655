"""Agents over the API: operators' versions within what the code allows, and usage."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentgrid.control import agents as control_agents
from agentgrid.control import principals
from agentgrid.db.session import writing
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from tests.api import factories
from tests.api.conftest import PRINCIPALS, SETUP, Api
from tests.api.test_policies import last_command, published

PLACE = "/api/v1/agents"
HOUR = timedelta(hours=1)


async def registered(api: Api, name: str, **over: Any) -> str:
    """An agent in the catalog. Returns the path of its routes."""
    await factories.insert(api.plane.engine, *factories.agent(name, **over))
    return f"{PLACE}/{name}"


async def test_an_edit_is_a_new_version_with_a_diff_that_workers_receive(api: Api, as_):
    path = await registered(api, "desk")
    before = (await as_("viewer").get(path)).json()
    assert (before["version"], before["source"], before["chosen_by"]) == ("0123456789ab", "code", None)
    edit = {
        "instructions": "Look up the order.\nNever refund.",
        "tools": ["get_order"],
        "limits": {"usd": 0.25},
        "note": "too many refunds",
        "expected_version": before["version"],
    }

    response = await as_("operator").put(path, json=edit)

    assert response.status_code == 200, response.text
    version = response.json()
    assert (version["version"], version["source"], version["changed"], version["chosen_by"]) == (
        "edit-1",
        "operator",
        True,
        "operator",
    )
    assert version["changes"].keys() == {"instructions", "tools", "limits"}
    assert "+Never refund." in version["changes"]["instructions"]["diff"]
    assert (version["active"]["note"], version["active"]["made_for"]) == ("too many refunds", "0123456789ab")
    # Omitted fields keep the code's values.
    assert (version["active"]["limits"]["requests"], version["active"]["models"]) == (12, ["openai:gpt-5"])
    assert [(tool["name"], tool["allowed"]) for tool in version["tools"]] == [
        ("get_order", True),
        ("refund_order", False),
    ]
    sent = (await published(api)).agents["desk"]
    assert (sent["version"], sent["tools"], sent["limits"]["usd"]) == ("edit-1", ["get_order"], 0.25)
    audit = await last_command(as_, "agent.put")
    assert (audit["status"], audit["target"], audit["reason"], audit["principal"]) == (
        "applied",
        "desk",
        "too many refunds",
        "operator",
    )

    again = (await as_("operator").put(path, json={**edit, "expected_version": "edit-1"})).json()
    assert (again["version"], again["changed"], again["changes"]) == ("edit-1", False, {})


async def test_an_old_version_or_the_codes_can_be_selected_with_one_request(api: Api, as_):
    path = await registered(api, "back")
    for text in ("First.", "Second."):
        await as_("operator").put(path, json={"instructions": text})

    first = (await as_("operator").post(f"{path}/use", json={"version": "edit-1", "note": "worse"})).json()

    assert (first["version"], first["active"]["instructions"]) == ("edit-1", "First.")
    assert first["changes"]["instructions"]["before"] == "Second."
    code = (await as_("operator").post(f"{path}/use", json={"version": "code"})).json()
    assert (code["version"], code["source"]) == ("0123456789ab", "code")
    assert "back" not in (await published(api)).agents
    assert {item["version"] for item in code["versions"]} == {"0123456789ab", "edit-1", "edit-2"}
    unknown = await as_("operator").post(f"{path}/use", json={"version": "edit-7"})
    assert unknown.status_code == 404
    # Version numbers are never reused.
    assert (await as_("operator").put(path, json={"instructions": "Third."})).json()["version"] == "edit-3"


async def test_the_second_of_two_edits_of_the_same_version_is_refused(api: Api, as_):
    path = await registered(api, "twice")
    edit = {"instructions": "Mine.", "expected_version": "0123456789ab"}
    assert (await as_("operator").put(path, json=edit)).status_code == 200
    second = await as_("developer").put(path, json={**edit, "instructions": "Theirs."})
    assert (second.status_code, second.json()["current_status"]) == (409, "edit-1")
    assert (await last_command(as_, "agent.put"))["status"] == "refused"


@pytest.mark.parametrize(
    ("edit", "pointer", "why"),
    [
        ({"tools": ["get_order", "delete_customer"]}, "/tools/1", "the code has no tool"),
        ({"models": ["anthropic:claude-opus"]}, "/models/0", "is not allowed here"),
        ({"models": ["evil:x"]}, "/models/0", "is not a known model"),
        ({"limits": {"usd": 2.0}}, "/limits/usd", "must be at most 1"),
        ({"limits": {"requests": 10**13}}, "/limits/requests", ""),
        ({"limits": {"usd": "0.5"}}, "/limits/usd", ""),
        ({"output_schema": {"type": "object"}}, "/output_schema", "must be narrower"),
        ({"output_schema": {"$ref": "http://127.0.0.1/x"}}, "/output_schema", ""),
        ({"instructions": " \n"}, "/instructions", "must not be empty"),
        ({"instructions": "a\u0000b"}, "", ""),
        ({"instructions": "x" * 20_001}, "/instructions", ""),
        ({"timeout_seconds": 5}, "/timeout_seconds", ""),
    ],
)
async def test_an_edit_beyond_what_the_code_allows_is_refused_with_a_pointer(api: Api, as_, edit, pointer, why):
    name = f"bounded-{uuid.uuid4().hex}"
    path = await registered(api, name)
    response = await as_("operator").put(path, json=edit)
    assert response.status_code == 422, response.text
    (fault,) = response.json()["faults"]
    assert fault["pointer"].startswith(pointer)
    assert why in fault["message"]
    assert name not in (await published(api)).agents


async def test_instructions_of_ten_megabytes_are_refused_without_being_read(api: Api, as_):
    path = await registered(api, "huge")
    response = await as_("operator").put(path, json={"instructions": "x" * 10_000_000})
    assert response.status_code == 413


async def test_a_version_that_would_make_the_policy_snapshot_too_large_is_refused(
    api: Api, as_, monkeypatch: pytest.MonkeyPatch
):
    path = await registered(api, "bulky")
    monkeypatch.setattr(control_agents, "MAX_PUBLISHED_BYTES", 100)
    response = await as_("operator").put(path, json={"instructions": "Longer than that."})
    assert response.status_code == 409, response.text
    shown = (await as_("viewer").get(path)).json()
    assert (shown["source"], len(shown["versions"])) == ("code", 1)
    assert "bulky" not in (await published(api)).agents


@pytest.mark.parametrize("who", ["viewer", "reviewer", "auditor", "agent", "nobody"])
async def test_an_edit_without_the_permission_is_refused_and_recorded(api: Api, as_, who: str):
    """An agent's own key may have the role operator, but it may edit no agent, and so not itself."""
    place = await registered(api, f"kept-{who}")
    for method, path, body in (("PUT", place, {"tools": []}), ("POST", f"{place}/use", {"version": "code"})):
        response = await as_(who).request(method, path, json=body)
        assert response.status_code == 403, response.text
        command = (await as_("auditor").get(f"/api/v1/commands/{response.json()['command_id']}")).json()
        assert (command["status"], command["target"]) == ("refused", f"kept-{who}")


async def test_a_principal_limited_to_some_workflows_may_not_edit_agents(api: Api, as_):
    path = await registered(api, "shared")
    scoped = Principal(
        name="operator", kind=PrincipalKind.HUMAN, roles=frozenset({Role.OPERATOR}), workflows=frozenset({"mine"})
    )
    await principals.put(api.plane.engine, SETUP, scoped)
    try:
        assert (await as_("operator").put(path, json={"tools": []})).status_code == 403
    finally:
        await principals.put(api.plane.engine, SETUP, PRINCIPALS["operator"])


async def test_newer_code_than_an_edits_is_shown_and_versions_it_does_not_allow_are_not_used(api: Api, as_):
    path = await registered(api, "moved")
    await as_("operator").put(path, json={"instructions": "Mine.", "limits": {"usd": 0.9}})
    (row, version) = factories.agent("moved", "ba9876543210", tools=["get_order"], limits={"usd": 0.5})
    async with writing(api.plane.engine) as session:
        await session.merge(row)
        session.add(version)

    shown = (await as_("viewer").get(path)).json()

    assert (shown["version"], shown["code_version"], shown["outdated"]) == ("edit-1", "ba9876543210", True)
    assert any("refund_order" in problem for problem in shown["problems"])
    assert any("usd" in problem for problem in shown["problems"])
    assert (await as_("operator").post(f"{path}/use", json={"version": "code"})).json()["problems"] == []
    back = await as_("operator").post(f"{path}/use", json={"version": "edit-1"})
    assert (back.status_code, back.json()["code"]) == (409, "conflict")
    assert "made for a different version of its code" in back.json()["detail"]


async def turns(
    api: Api, agent: str, workflow: str, *usages: dict[str, Any], at: datetime, inherited: bool = False
) -> None:
    run = factories.run(workflow=workflow, created_at=at)
    steps = [
        factories.step(
            run, 3, kind="agent", name=agent, started_at=at, closed_at=at + timedelta(seconds=4), scheduled_at=at
        )
    ]
    for number, usage in enumerate(usages):
        steps.append(
            factories.step(
                run, 5 + number, kind="model", name=agent, usage=usage, scheduled_at=at, parent=3, inherited=inherited
            )
        )
    await factories.insert(api.plane.engine, run, factories.execution(run), *steps)


async def test_usage_is_summed_by_hour_over_runs_in_scope_and_counts_steps_copied_by_a_reset_once(api: Api, as_):
    path = await registered(api, "meter")
    await factories.insert(api.plane.engine, *factories.workflow("billing"), *factories.workflow("other"))
    now = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
    priced = {"requests": 1, "input_tokens": 100, "output_tokens": 10, "usd": 0.25, "unpriced": 0, "model": "m"}
    unpriced = {"requests": 1, "input_tokens": 7, "output_tokens": 3, "unpriced": 1}
    await turns(api, "meter", "billing", priced, priced, at=now - 2 * HOUR)
    await turns(api, "meter", "other", unpriced, at=now - HOUR)
    await turns(api, "meter", "billing", priced, at=now - HOUR, inherited=True)
    await turns(api, "meter", "billing", priced, at=now - timedelta(days=3))

    day = (await as_("viewer").get(f"{path}/usage")).json()

    assert [(item["requests"], item["usd"], item["unpriced"]) for item in day["items"]] == [(2, 0.5, 0), (1, None, 1)]
    assert day["items"][0]["start"].startswith((now - 2 * HOUR).strftime("%Y-%m-%dT%H:00"))
    assert (day["total"]["requests"], day["total"]["input_tokens"], day["total"]["usd"]) == (3, 207, 0.5)
    week = {"from": (now - timedelta(days=7)).isoformat(), "bucket": "day"}
    assert (await as_("viewer").get(f"{path}/usage", params=week)).json()["total"]["requests"] == 4
    workflow = (await as_("viewer").get("/api/v1/workflows/billing/usage")).json()
    assert (workflow["total"]["requests"], workflow["total"]["usd"]) == (2, 0.5)
    (listed,) = (await as_("viewer").get(PLACE, params={"q": "meter"})).json()["items"]
    assert listed["stats"]["usage"]["requests"] == 3
    assert (listed["stats"]["calls"]["completed"], listed["stats"]["calls"]["p95_seconds"]) == (3, 4.0)
    runs = (await as_("viewer").get("/api/v1/runs", params={"agent": "meter", "workflow": "other"})).json()["items"]
    assert len(runs) == 1

    scoped = Principal(
        name="viewer", kind=PrincipalKind.HUMAN, roles=frozenset({Role.VIEWER}), workflows=frozenset({"oth*"})
    )
    await principals.put(api.plane.engine, SETUP, scoped)
    try:
        assert (await as_("viewer").get(f"{path}/usage")).json()["total"]["requests"] == 1
        assert (await as_("viewer").get("/api/v1/workflows/billing/usage")).json()["total"]["requests"] == 0
        assert (await as_("viewer").get(path)).json()["stats"]["calls"]["completed"] == 1
    finally:
        await principals.put(api.plane.engine, SETUP, PRINCIPALS["viewer"])


@pytest.mark.parametrize(
    "params",
    [
        {"from": "2026-01-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"},
        {"from": "2026-03-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
        {"from": "2020-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z", "bucket": "day"},
        {"to": "0001-01-01T00:00:00Z"},
        {"from": "9999-12-31T23:59:59Z"},
        {"bucket": "minute"},
        {"from": "yesterday"},
    ],
)
async def test_an_invalid_time_range_is_refused(api: Api, as_, params):
    response = await as_("viewer").get(f"{PLACE}/meter/usage", params=params)
    assert (
        response.status_code in (404, 422) if params.get("from", "").startswith("9999") else response.status_code == 422
    )
