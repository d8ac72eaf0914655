"""Saved views: private ones stay private, and shared ones can be changed by those who may edit."""

from __future__ import annotations

import pytest

from agentgrid.domain import views as domain_views
from tests.api.conftest import Api

VIEWS = "/api/v1/views"
FAILED = {"title": "Failed refunds", "filter": {"state": ["failed", "timed_out"], "workflow": ["refund"]}}


async def names(as_, who: str):
    return {(view["name"], view["shared"]) for view in (await as_(who).get(VIEWS)).json()["items"]}


async def test_a_private_view_is_visible_only_to_its_owner(as_):
    put = await as_("viewer").put(f"{VIEWS}/mine", json=FAILED)
    assert put.status_code == 200, put.text
    assert put.json() == put.json() | {"name": "mine", "shared": False, "version": 1, "changed_by": "viewer"} | FAILED
    assert ("mine", False) in await names(as_, "viewer")
    for other in ("operator", "admin", "auditor"):
        assert ("mine", False) not in await names(as_, other)
        assert (await as_(other).get(f"{VIEWS}/mine")).status_code == 404
        assert (await as_(other).delete(f"{VIEWS}/mine")).status_code == 404
    assert (await as_("operator").put(f"{VIEWS}/mine", json=FAILED)).json()["version"] == 1
    assert (await as_("viewer").delete(f"{VIEWS}/mine")).status_code == 204
    assert (await as_("operator").get(f"{VIEWS}/mine")).status_code == 200


async def test_a_shared_view_is_visible_to_all_and_changed_by_those_who_may_edit(as_):
    shared = FAILED | {"shared": True}
    for who in ("viewer", "reviewer", "auditor", "agent"):
        refused = await as_(who).put(f"{VIEWS}/ours", json=shared)
        assert refused.status_code == 403, who
        assert refused.json()["command_id"]
    assert (await as_("operator").put(f"{VIEWS}/ours", json=shared)).status_code == 200
    assert ("ours", True) in await names(as_, "viewer")
    assert (await as_("viewer").delete(f"{VIEWS}/ours?shared=true")).status_code == 403
    second = await as_("developer").put(f"{VIEWS}/ours", json=shared | {"title": "All", "expected_version": 1})
    assert (second.json()["version"], second.json()["changed_by"]) == (2, "developer")
    response = await as_("operator").put(f"{VIEWS}/ours", json=shared | {"expected_version": 1})
    assert (response.status_code, response.json()["current_status"]) == (409, "2")
    assert (await as_("operator").delete(f"{VIEWS}/ours?shared=true&expected_version=1")).status_code == 409
    assert (await as_("operator").delete(f"{VIEWS}/ours?shared=true")).status_code == 204
    assert (await as_("viewer").get(f"{VIEWS}/ours?shared=true")).status_code == 404
    kinds = (await as_("auditor").get("/api/v1/commands", params={"kind": ["view.put", "view.delete"]})).json()["items"]
    assert {(item["kind"], item["status"]) for item in kinds} >= {
        ("view.put", "applied"),
        ("view.put", "refused"),
        ("view.delete", "applied"),
    }
    assert (await as_("nobody").get(VIEWS)).status_code == 403


@pytest.mark.parametrize(
    ("name", "body", "pointer"),
    [
        ("Bad Name", FAILED, "name"),
        ("x", FAILED | {"filter": {"cursor": ["a"]}}, "/filter/cursor"),
        ("x", FAILED | {"filter": {"state": []}}, "/filter/state"),
        ("x", FAILED | {"filter": {"tag": ["x"] * 21}}, "/filter/tag"),
        ("x", FAILED | {"filter": {"q": ["x" * 301]}}, "/filter/q"),
        ("x", FAILED | {"title": ""}, "/title"),
    ],
)
async def test_an_invalid_view_is_refused_with_the_faulty_field(as_, name, body, pointer):
    refused = await as_("viewer").put(f"{VIEWS}/{name}", json=body)
    assert refused.status_code == 422
    assert refused.json()["faults"][0]["pointer"] == pointer


async def test_the_number_of_views_is_limited(api: Api, as_, monkeypatch):
    monkeypatch.setattr("agentgrid.control.views.MAX_PRIVATE", 1)
    assert (await as_("second").put(f"{VIEWS}/one", json=FAILED)).status_code == 200
    assert (await as_("second").put(f"{VIEWS}/one", json=FAILED)).status_code == 200
    assert (await as_("second").put(f"{VIEWS}/two", json=FAILED)).status_code == 409


async def test_a_view_can_hold_every_filter_of_the_list_and_nothing_else(api: Api):
    parameters = api.app.openapi()["paths"]["/api/v1/runs"]["get"]["parameters"]
    parameter_names = {item["name"] for item in parameters if item["in"] == "query"}
    assert parameter_names - {"limit", "cursor", "ids"} == domain_views.FILTERS
