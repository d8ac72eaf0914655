"""Search over everything: typed, bounded, and never showing more than the caller's lists."""

from __future__ import annotations

import pytest

from tests.api import factories
from tests.api.conftest import Api
from tests.security.scoped import narrow, sides

__all__ = ["narrow", "sides"]

SEARCH = "/api/v1/search"


async def hits(client, q: str, **params):
    response = await client.get(SEARCH, params={"q": q, **params})
    assert response.status_code == 200, response.text
    return response.json()["items"]


async def test_every_kind_is_found_with_its_link_within_the_limit(api: Api, as_):
    flow, version = factories.workflow("zebra_flow")
    flow.title = "Zebra flow"
    runs = [factories.run(workflow="zebra_flow", reference=f"zebra-{n}") for n in range(3)]
    approval = factories.approval(runs[0], title="Feed the zebra")
    agent, agent_version = factories.agent("zebra_agent")
    tool = factories.tool("zebra_tool", risk="destructive")
    await factories.insert(
        api.plane.engine,
        flow,
        version,
        tool,
        agent,
        agent_version,
        *runs,
        factories.execution(runs[0]),
        approval,
    )
    results = await hits(as_("operator"), "zebra", limit=2)
    assert [item["kind"] for item in results] == ["run", "run", "approval", "workflow", "tool", "agent"]
    assert [item["id"] for item in results[:2]] == [runs[2].run_id, runs[1].run_id]
    assert (results[0]["title"], results[0]["detail"], results[0]["status"]) == ("Zebra flow", "zebra-2", "running")
    assert (results[4]["id"], results[4]["detail"]) == ("zebra_tool", "destructive")
    for item in results:
        assert (await as_("operator").get(item["href"])).status_code == 200, item
    people = await hits(as_("admin"), "viewer")
    assert ("principal", "viewer") in {(item["kind"], item["id"]) for item in people}
    assert {item["kind"] for item in await hits(as_("auditor"), "viewer")} <= {"run", "approval"}


async def test_approval_titles_are_neither_shown_nor_searched_for_callers_who_may_not_read_them(api: Api, as_):
    run = factories.run(asked="Pay the okapi")
    approval = factories.approval(run, title="Pay the okapi", kind="explicit", tool=None)
    await factories.insert(api.plane.engine, run, factories.execution(run), approval)
    waiting, seen = await hits(as_("operator"), "okapi")
    assert (waiting["id"], seen["id"], seen["title"]) == (run.run_id, approval.approval_id, "Pay the okapi")
    assert await hits(as_("viewer"), "okapi") == []
    (plain,) = [item for item in await hits(as_("viewer"), approval.approval_id) if item["kind"] == "approval"]
    assert plain["title"] == "An approval"
    assert "okapi" not in str(plain)


@pytest.mark.parametrize("who", ["scoped", "blind"])
async def test_nothing_out_of_scope_is_found(narrow: Api, as_, sides, who):
    word = f"quagga-of-{who}"
    run = factories.run(workflow="out_flow", reference=word)
    await factories.insert(narrow.plane.engine, run, factories.execution(run), factories.approval(run, title=word))
    for q in (word, run.run_id, sides["out_approval"].approval_id):
        assert [item for item in await hits(as_(who), q) if item["kind"] in ("run", "approval")] == []
    assert len(await hits(as_("operator"), word)) == 2


@pytest.mark.parametrize("params", [{}, {"q": "x"}, {"q": "a\0b"}, {"q": "y" * 201}, {"q": "zebra", "limit": 21}])
async def test_a_search_without_bounds_is_refused(as_, params):
    assert (await as_("operator").get(SEARCH, params=params)).status_code == 422


async def test_wildcards_are_searched_literally(api: Api, as_):
    assert await hits(as_("admin"), "%%") == []
    assert await hits(as_("admin"), "__________") == []
