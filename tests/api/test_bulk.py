"""Starting runs in bulk: each item has its own outcome, and no started run is lost."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from agentgrid.api import bulk
from agentgrid.api.limits import Buckets
from agentgrid.control import runs
from tests.api import factories
from tests.api.conftest import Api

SCHEMA = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
PLACE = "/api/v1/runs/bulk"


async def catalog(api: Api, *names: str) -> None:
    for name in names:
        await factories.insert(api.plane.engine, *factories.workflow(name, SCHEMA))


def item(workflow: str, number: int, **over) -> dict:
    return {"workflow": workflow, "input": {"id": f"T-{number}"}, **over}


async def test_each_item_has_its_own_outcome_and_its_own_command(api: Api, as_):
    await catalog(api, "bulk_a", "bulk_b", "bulk_off")
    await as_("admin").post("/api/v1/workflows/bulk_off/disable", json={"reason": "an incident"})
    sent = [
        item("bulk_a", 1, reference="R-1", tags=["x", "x"]),
        item("bulk_b", 2),
        {"workflow": "bulk_a", "input": {"id": 7}},
        item("bulk_off", 4),
        item("no_such_workflow", 5),
        item("bulk_a", 6, priority=9, unknown=True),
        "not an object",
        item("bulk_a", 8),
    ]
    response = await as_("operator").post(PLACE, json={"items": sent})
    assert response.status_code == 200, response.text
    result = response.json()
    assert (result["started"], result["replayed"], result["refused"]) == (3, 0, 5)
    outcomes = result["items"]
    assert [each["outcome"] == "started" for each in outcomes] == [True, True, False, False, False, False, False, True]
    assert [each["problem"] and each["problem"]["code"] for each in outcomes] == [
        *(None, None),
        *("invalid_input", "conflict", "not_found", "invalid_input", "invalid_input"),
        None,
    ]
    pointers = [[fault["pointer"] for fault in each["problem"]["faults"]] for each in outcomes[2:7]]
    assert pointers == [["/items/2/input/id"], [], [], ["/items/5/priority", "/items/5/unknown"], ["/items/6"]]
    assert outcomes[6]["problem"]["faults"][0]["message"] == "Input should be an object"
    first = (await as_("operator").get(f"/api/v1/runs/{outcomes[0]['run_id']}")).json()
    assert (first["workflow"], first["reference"], first["tags"], first["initiator"]) == (
        *("bulk_a", "R-1", ["x"], "operator"),
    )
    # Each is an ordinary start in the audit log, even if refused.
    for each, given in zip(outcomes, sent, strict=True):
        command = (await as_("auditor").get(f"/api/v1/commands/{each['command_id']}")).json()
        assert (command["kind"], command["principal"]) == ("run.start", "operator")
        assert command["status"] == ("refused" if each["problem"] else "delivered")
        assert command["target"] == (given["workflow"] if isinstance(given, dict) else None)
        assert command["run_id"] == each["run_id"]


async def test_a_repeated_request_starts_nothing_twice_and_shares_keys_with_single_starts(api: Api, as_):
    await catalog(api, "bulk_keys")
    sent = {"items": [item("bulk_keys", 1), item("bulk_keys", 2, idempotency_key="order-2"), item("bulk_keys", 3)]}
    headers = {"Idempotency-Key": "batch-1"}
    first = (await as_("operator").post(PLACE, json=sent, headers=headers)).json()
    again = (await as_("operator").post(PLACE, json=sent, headers=headers)).json()
    assert (first["started"], again["replayed"]) == (3, 3)
    assert [each["run_id"] for each in again["items"]] == [each["run_id"] for each in first["items"]]
    single = await as_("operator").post(
        "/api/v1/workflows/bulk_keys/runs", json={"input": {"id": "T-2"}}, headers={"Idempotency-Key": "order-2"}
    )
    assert (single.status_code, single.json()["run_id"]) == (200, first["items"][1]["run_id"])
    changed = {"items": [item("bulk_keys", 1), item("bulk_keys", 9, idempotency_key="order-2")]}
    mixed = (await as_("operator").post(PLACE, json=changed, headers=headers)).json()["items"]
    assert [each["outcome"] for each in mixed] == ["replayed", "refused"]
    assert mixed[1]["problem"]["code"] == "idempotency_conflict"
    # Idempotency keys are scoped to the caller.
    theirs = (await as_("developer").post(PLACE, json=sent, headers=headers)).json()
    assert theirs["started"] == 3
    twice = {"items": [item("bulk_keys", 5, idempotency_key="same") for _ in range(8)]}
    same = (await as_("operator").post(PLACE, json=twice)).json()
    assert (same["started"], same["replayed"], len({each["run_id"] for each in same["items"]})) == (1, 7, 1)


@pytest.mark.parametrize("number", [0, 201])
async def test_zero_or_too_many_items_are_refused_and_start_nothing(api: Api, as_, number: int):
    await catalog(api, f"bulk_{number}")
    response = await as_("operator").post(PLACE, json={"items": [item(f"bulk_{number}", n) for n in range(number)]})
    assert (response.status_code, response.json()["faults"][0]["pointer"]) == (422, "/items")
    assert response.json()["command_id"]
    listed = (await as_("operator").get("/api/v1/runs", params={"workflow": f"bulk_{number}"})).json()["items"]
    assert listed == []


async def test_started_items_are_reported_even_if_the_others_fail(api: Api, as_, monkeypatch):
    await catalog(api, "bulk_faults")
    record, calls = runs._record, 0
    clock = SimpleNamespace(now=0.0)

    async def failing(*given):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RuntimeError("a bug")
        if calls == 4:
            raise ConnectionRefusedError("no database")
        if calls == 6:
            clock.now += bulk.START_SECONDS + 1
        return await record(*given)

    monkeypatch.setattr(runs, "_record", failing)
    monkeypatch.setattr(bulk, "CONCURRENCY", 1)
    monkeypatch.setattr(bulk, "time", SimpleNamespace(monotonic=lambda: clock.now))
    response = await as_("operator").post(PLACE, json={"items": [item("bulk_faults", n) for n in range(12)]})
    assert response.status_code == 200, response.text
    outcomes = response.json()["items"]
    codes = [each["problem"]["code"] if each["problem"] else each["outcome"] for each in outcomes]
    assert codes == [
        *("started", "started", "internal_error", "unavailable", "started", "started"),
        *6 * ["unavailable"],
    ]
    assert "a bug" not in response.text
    listed = (await as_("operator").get("/api/v1/runs", params={"workflow": "bulk_faults", "limit": 200})).json()
    started = {each["run_id"] for each in outcomes if each["outcome"] == "started"}
    assert {run["run_id"] for run in listed["items"]} == started


async def test_items_count_against_the_rate_limit(api: Api, as_, monkeypatch):
    now = 0.0
    narrow = Buckets(per_second=10.0, burst=20, clock=lambda: now)
    monkeypatch.setattr(api.app.state.limits, "_requests", narrow)
    await catalog(api, "bulk_rate")
    send = {"items": [item("bulk_rate", n) for n in range(15)]}
    assert (await as_("operator").post(PLACE, json=send)).json()["started"] == 15
    refused = await as_("operator").post(PLACE, json=send)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    now = 10.0
    # More items than the bucket's capacity: taken from a full bucket, which then stays empty until they are paid off.
    send = {"items": [item("bulk_rate", n) for n in range(40)]}
    assert (await as_("operator").post(PLACE, json=send)).json()["started"] == 40
    now = 12.0
    assert (await as_("operator").get("/api/v1/me")).status_code == 429
    assert (await as_("viewer").get("/api/v1/me")).status_code == 200
    now = 12.2
    assert (await as_("operator").get("/api/v1/me")).status_code == 200


async def test_a_caller_who_may_not_start_or_see_the_workflow_starts_nothing(api: Api, as_):
    await catalog(api, "bulk_hidden")
    body = {"items": [item("bulk_hidden", 1)]}
    for who in ("viewer", "reviewer", "auditor", "admin", "nobody"):
        assert (await as_(who).post(PLACE, json=body)).status_code == 403
    scope = {"kind": "service", "roles": ["operator"], "groups": [], "workflows": ["other_*"]}
    assert (await as_("admin").put("/api/v1/principals/bulk_narrow", json=scope)).status_code == 200
    key = (await as_("admin").post("/api/v1/keys", json={"principal": "bulk_narrow"})).json()["key"]
    async with Api(api.app, api.settings, {"narrow": key}).client("narrow") as client:
        (outcome,) = (await client.post(PLACE, json=body)).json()["items"]
    assert outcome["problem"]["detail"] == "there is no workflow 'bulk_hidden'"
