"""Letters shown to callers who may not read payloads, and letters with hostile content."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.api import factories
from tests.api.conftest import Api, api, as_

__all__ = ["api", "as_"]

CANARY = "canary-letter"
HOSTILE = {
    f"{CANARY}\u202e": f"{CANARY}<script>",
    "__class__": f"{CANARY}{{0.__class__}}",
    "a" * 500: 1,
    "": f"{CANARY}\x1b[31m\x00",
    "big": 10**400,
    "deep": [[[f"{CANARY}"]]],
    "lone": f"{CANARY}\ud800",
}


@pytest.fixture(scope="module")
async def hostile(api: Api) -> dict[str, Any]:
    """An agent's call with hostile arguments, prose and earlier calls, and an explicit approval with a revealing title."""
    from agentgrid.domain.shapes import small

    engine = api.plane.engine
    version: dict[str, Any] = {
        "asks": "Pay {__class__} {big.__class__} {deep[0]!r:>99999}",
        "reach": ["r" * 10_000, "\u202eevil\n"] * 50,
        "input_schema": {"properties": {"big": "no schema", "__class__": {"x-unit": {}, "x-currency": []}}},
    }
    run = factories.run(workflow="hostile", status="waiting", waiting_on="approval")
    approval = factories.approval(
        run,
        tool="pay",
        approvers=["support-leads"],
        agent="resolver",
        turn=1,
        step_event_id=50,
        arguments=small(HOSTILE),
        payload={"size": 900, "value": HOSTILE},
        shape="hostile000000001",
        policy="not-a-rule",
    )
    steps = [
        factories.step(run, 10, kind="agent", name="resolver", status="running"),
        factories.step(run, 20, parent=10, input={"size": 9, "value": {"q": f"{CANARY}-label"}}),
        factories.step(
            run, 30, parent=10, kind="model", turn=1, output={"size": 9, "value": {"text": f"{CANARY}-prose"}}
        ),
        factories.step(run, 50, parent=10, kind="tool", name="pay", status="waiting", turn=1),
    ]
    await factories.insert(
        engine, factories.tool_version("pay", **version), factories.tool("pay", **version), run, factories.execution(run), *steps, approval
    )  # fmt: skip
    asking = factories.run(workflow="hostile", status="waiting", waiting_on="approval")
    explicit = factories.approval(
        asking, kind="explicit", tool=None, tool_version=None, risk=None, title=f"{CANARY}-title", approvers=["support-leads"],
        arguments={"a": f"{CANARY}-small"}, payload={"size": 9, "value": {"a": f"{CANARY}-shown"}}, policy=None,
    )  # fmt: skip
    explicit.terms = {**explicit.terms, "kind": "explicit", "title": explicit.title}
    await factories.insert(engine, asking, factories.execution(asking), explicit)
    return {"call": approval, "explicit": explicit, "runs": [run.run_id, asking.run_id]}


def places(hostile: dict[str, Any]) -> list[str]:
    paths = [f"/api/v1/approvals/{hostile[name].approval_id}" for name in ("call", "explicit")]
    paths += [f"/api/v1/runs/{run_id}{part}" for run_id in hostile["runs"] for part in ("", "/approvals")]
    lists = ("", "&sort=urgency", "&q=pay", "&status=pending")
    return paths + [f"/api/v1/approvals?workflow=hostile{part}" for part in lists] + ["/api/v1/approvals/counts"]


@pytest.mark.parametrize("who", ["viewer", "second", "admin"])
async def test_without_permission_to_read_payloads_no_argument_prose_label_or_title_value_is_shown(
    as_: Callable[[str], httpx.AsyncClient], hostile: dict[str, Any], who: str
):
    for path in places(hostile):
        answer = await as_(who).get(path)
        assert answer.status_code == 200, (path, answer.text)
        assert CANARY not in json.dumps(answer.json(), ensure_ascii=False), (who, path)
    # Searching for it doesn't reveal it either.
    for words in (f"{CANARY}-title", "canary"):
        page = await as_(who).get("/api/v1/approvals", params={"workflow": "hostile", "q": words})
        assert page.json()["items"] == [], (who, words)


async def test_a_hostile_letter_is_bounded_data(as_: Callable[[str], httpx.AsyncClient], hostile: dict[str, Any]):
    letter = (await as_("reviewer").get(f"/api/v1/approvals/{hostile['call'].approval_id}")).json()
    # A template that contains more than plain names is not used.
    assert letter["title"] == "Post reply"
    assert len(letter["reach"]) == 6
    assert max(map(len, letter["reach"])) <= 60
    assert "\u202e" not in "".join(letter["reach"])
    assert set(letter["arguments"]) == {f"{CANARY}\u202e", "__class__", "", "lone"}
    assert letter["prose"]["text"] == f"{CANARY}-prose"
    assert [item["label"] for item in letter["looked_at"]] == [f"{CANARY}-label"]
    assert letter["rule"]["title"] == "The rule not-a-rule"
    assert letter["payload"]["value"]["lone"] == f"{CANARY}?"
    tool = (await as_("viewer").get("/api/v1/tools/pay")).json()
    assert len(tool["reach"]) == 6


@pytest.mark.parametrize("cursor_of", ["sort=urgency&limit=1", "limit=1"])
async def test_a_cursor_of_one_order_is_refused_by_the_other(
    as_: Callable[[str], httpx.AsyncClient], hostile: dict[str, Any], cursor_of: str
):
    client = as_("operator")
    page = (await client.get(f"/api/v1/approvals?workflow=hostile&{cursor_of}")).json()
    other = "limit=1" if "sort" in cursor_of else "sort=urgency&limit=1"
    answer = await client.get(f"/api/v1/approvals?workflow=hostile&{other}&cursor={page['next_cursor']}")
    assert answer.status_code == 422, answer.text
