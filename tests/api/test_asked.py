"""A run's subject and what its open approvals ask, wherever runs are shown or searched: only for callers who may read payloads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from agentgrid.db import run_search
from agentgrid.db.run_filter import R
from agentgrid.db.session import reading
from agentgrid.db.tables import Run
from tests.api import factories
from tests.api.conftest import Api, listening
from tests.api.streaming import stream
from tests.api.talking_mcp import mcp_client

V1 = "/api/v1"
REFUND = "Refund 48.00 USD on ticket T-77031"
PLAIN = "Refund ticket"
READERS = ("operator", "developer", "auditor")
BLIND = ("viewer", "admin", "second")


@dataclass(frozen=True)
class Asking:
    one: Run
    """Waits for one approval of a tool's call."""
    several: Run
    explicit: Run


@pytest.fixture(scope="module")
async def asking(api: Api) -> Asking:
    due = datetime.now(UTC) + timedelta(minutes=30)
    waits: dict[str, Any] = {"status": "waiting", "waiting_on": "approval", "workflow": "asks", "next_at": due}
    call: dict[str, Any] = {"title": PLAIN, "approvers": ["support-leads"], "expires_at": due}
    at_tool: dict[str, Any] = {"current_step": PLAIN, "current_kind": "tool"}
    one = factories.run(**waits, **at_tool, asked=REFUND, approvals_pending=1)
    several = factories.run(**waits, **at_tool, asked="Refund A-1 and 2 more", approvals_pending=3)
    title = "Publish the okapi"
    explicit = factories.run(**waits, current_step=title, current_kind="approval", asked=title, approvals_pending=1)
    approvals = [
        factories.approval(one, **call, asked=REFUND),
        *(factories.approval(several, **call, asked=f"Refund A-{n}", step_event_id=n) for n in (1, 2, 3)),
        factories.approval(explicit, **call | {"title": title}, kind="explicit", tool=None),
        factories.approval(several, **call, asked="Refund A-9 copied", inherited=True),
    ]
    runs = (one, several, explicit)
    await factories.insert(api.plane.engine, *runs, *map(factories.execution, runs), *approvals)
    return Asking(*runs)


@pytest.fixture(scope="module")
async def url(api: Api) -> AsyncIterator[str]:
    async with listening(api.app) as url:
        yield url


async def steps(client: Any, path: str, *inside: str) -> dict[str, str]:
    """The current step of each run in the list."""
    response = await client.get(f"{V1}{path}")
    assert response.status_code == 200, response.text
    items = response.json()
    for name in inside:
        items = items[name]
    return {run["run_id"]: run["current_step"] for run in items}


async def test_lists_show_what_each_run_asks_only_to_callers_who_may_read_it(as_, asking: Asking):
    runs = (asking.one, asking.several, asking.explicit)
    for path, inside in (
        ("/runs?workflow=asks", ("items",)),
        ("/runs?workflow=asks&sort=updated", ("items",)),
        ("/overview?lists=true", ("lists", "open")),
        ("/overview", ("next",)),
    ):
        for who in READERS:
            seen = await steps(as_(who), path, *inside)
            expected = [REFUND, "Refund A-1 and 2 more", "Publish the okapi"]
            if inside == ("next",):
                # An approval that expires is listed separately.
                expected[1] = seen[asking.several.run_id]
                assert expected[1] in ("Refund A-1", "Refund A-2", "Refund A-3")
            assert [seen[run.run_id] for run in runs] == expected, (who, path)
        for who in BLIND:
            seen = await steps(as_(who), path, *inside)
            assert [seen[run.run_id] for run in runs] == [PLAIN, PLAIN, "approval"], (who, path)


async def test_a_run_says_who_must_decide_what(as_, asking: Asking):
    sentences = {}
    for who in ("operator", "viewer"):
        for run in (asking.one, asking.several, asking.explicit):
            detail = (await as_(who).get(f"{V1}/runs/{run.run_id}")).json()
            sentences[who, run.run_id] = (detail["next"]["summary"], detail["approvals"][0]["title"])
    prefix = sentences["viewer", asking.one.run_id][0].removesuffix(PLAIN)
    assert sentences == {
        ("operator", asking.one.run_id): (prefix + REFUND, REFUND),
        ("operator", asking.several.run_id): (f"{prefix}Refund A-1 and 2 more", "Refund A-1"),
        ("operator", asking.explicit.run_id): (f"{prefix}Publish the okapi", "Publish the okapi"),
        ("viewer", asking.one.run_id): (prefix + PLAIN, PLAIN),
        ("viewer", asking.several.run_id): (f"{prefix}{PLAIN} and 2 more", PLAIN),
        ("viewer", asking.explicit.run_id): (f"{prefix}An approval", "An approval"),
    }
    assert prefix.endswith(" to decide: ")


@pytest.mark.parametrize(
    ("words", "names"),
    [("t-77031", ("one",)), ("refund 48.00 usd", ("one",)), ("Refund A-3", ("several",)), ("okapi", ("explicit",))],
)
async def test_only_callers_who_may_read_what_a_run_asks_can_search_for_it(
    as_, asking: Asking, words: str, names: tuple[str, ...]
):
    expected = {getattr(asking, name).run_id for name in names}
    for who in READERS:
        params = {"q": words}
        listed = (await as_(who).get(f"{V1}/runs", params=params)).json()["items"]
        assert {run["run_id"] for run in listed} == expected, who
        assert (await as_(who).get(f"{V1}/runs/counts", params=params)).json()["total"] == len(expected)
        facets = (await as_(who).get(f"{V1}/runs/facets", params=params)).json()
        assert facets["workflow"]["items"] == [{"value": "asks", "count": len(expected)}]
        hits = (await as_(who).get(f"{V1}/search", params=params)).json()["items"]
        assert {hit["id"] for hit in hits if hit["kind"] == "run"} == expected
        assert len([hit for hit in hits if hit["kind"] == "approval"]) == len(expected)
        approvals = (await as_(who).get(f"{V1}/approvals", params=params)).json()["items"]
        assert {item["run_id"] for item in approvals} == expected
    for who in BLIND:
        for path in ("/runs", "/search", "/approvals"):
            assert (await as_(who).get(f"{V1}{path}", params={"q": words})).json()["items"] == [], (who, path)
        assert (await as_(who).get(f"{V1}/runs/counts", params={"q": words})).json()["total"] == 0


async def test_a_run_is_not_found_by_a_copied_or_decided_approval(api: Api, as_, asking: Asking):
    done = factories.run(status="completed")
    approval = factories.approval(done, status="approved", asked="Refund the quagga", closed_at=datetime.now(UTC))
    earlier = factories.approval(asking.one, status="approved", asked="Refund the kudu", closed_at=datetime.now(UTC))
    await factories.insert(api.plane.engine, done, factories.execution(done), approval, earlier)
    hits = (await as_("operator").get(f"{V1}/search", params={"q": "quagga"})).json()["items"]
    assert [(hit["kind"], hit["title"]) for hit in hits] == [("approval", "Refund the quagga")]
    for words in ("quagga", "kudu", "A-9 copied"):
        assert (await as_("operator").get(f"{V1}/runs", params={"q": words})).json()["items"] == []
        async with reading(api.plane.engine) as session:  # how a list is paged through
            assert (
                await session.execute(select(R.run_id).where(run_search.matches(R, words, titles=True)))
            ).all() == []


@pytest.mark.parametrize(("who", "expected"), [("operator", REFUND), ("viewer", PLAIN)])
async def test_an_mcp_client_sees_what_its_principal_may(api: Api, asking: Asking, who: str, expected: str):
    async with mcp_client(api, who) as client:
        listed = await client.call_tool("agentgrid_list_runs", {"workflow": ["asks"]})
        run_detail = await client.call_tool("agentgrid_get_run", {"run_id": asking.one.run_id})
        run_list = await client.call_tool("agentgrid_list_runs", {"q": "T-77031"})
    runs = {run["run_id"]: run for run in listed.structured_content["items"]}
    assert runs[asking.one.run_id]["current_step"] == expected
    assert run_detail.structured_content["next"]["summary"].endswith(expected)
    assert len(run_list.structured_content["items"]) == (who == "operator")


async def test_an_event_shows_what_the_run_asked_when_the_event_was_stored(api: Api, url: str, asking: Asking):
    before = {"current_step": PLAIN, "current_kind": "tool", "asked": "Refund T-1"}
    after = {"current_step": "Post reply", "current_kind": "tool", "asked": None}
    async with stream(api, url, "operator", kinds="run") as whole, stream(api, url, "viewer", kinds="run") as plain:
        run_id = asking.one.run_id
        await factories.publish(api.plane.engine, (run_id, "run", before), (run_id, "run", after))
        for received in (whole, plain):
            await received.until(lambda received: len(received.of("run")) == 2)
    steps_seen = [[event["data"]["current_step"] for event in received.of("run")] for received in (whole, plain)]
    assert steps_seen == [["Refund T-1", "Post reply"], [PLAIN, "Post reply"]]
    assert "T-1" not in "".join(event.data for event in plain.events)


ABOUT = "Ticket T-90210 of “a customer”"


async def test_a_subject_is_shown_to_and_searchable_by_those_who_may_read_it_even_after_the_run_ends(api: Api, as_):
    run = factories.run(
        workflow="about", status="completed", subject=ABOUT, reference="R-1", closed_at=datetime.now(UTC)
    )
    unfilled = factories.run(workflow="about", status="completed", subject="", closed_at=datetime.now(UTC))
    await factories.insert(api.plane.engine, run, unfilled)
    for who, subject in (*((who, ABOUT) for who in READERS), *((who, None) for who in BLIND)):
        listed = (await as_(who).get(f"{V1}/runs", params={"workflow": "about"})).json()["items"]
        assert [item["subject"] for item in listed] == [None, subject], who
        assert (await as_(who).get(f"{V1}/runs/{run.run_id}")).json()["subject"] == subject
        for words in ("t-90210", "a customer"):
            found = [
                (await as_(who).get(f"{V1}{path}", params={"q": words})).json()["items"]
                for path in ("/runs", "/search")
            ]
            assert [len(item) for item in found] == ([1, 1] if subject else [0, 0]), who
            assert not subject or found[1][0]["subject"] == ABOUT
        hits = (await as_(who).get(f"{V1}/search", params={"q": "R-1"})).json()["items"]
        assert [(hit["subject"], hit["detail"]) for hit in hits if hit["id"] == run.run_id] == [(subject, "R-1")]


async def test_a_queued_run_has_its_subject_immediately(api: Api, as_):
    schema = {
        "type": "object",
        "properties": {
            "ticket": {"type": "string"},
            "cents": {"type": "integer", "x-unit": "cents", "x-currency": "USD"},
        },
        "required": ["ticket"],
    }
    flow, version = factories.workflow("has_subject", schema)
    version.subject = "Ticket {ticket}, {cents}"
    await factories.insert(api.plane.engine, flow, version)
    for given, subject in (({"ticket": "T-5", "cents": 4800}, "Ticket T-5, 48.00 USD"), ({"ticket": "T-6"}, None)):
        body = {"input": given, "start_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
        started = await as_("operator").post(f"{V1}/workflows/has_subject/runs", json=body)
        assert (started.status_code, started.json()["subject"]) == (201, subject), started.text
        seen = (await as_("viewer").get(f"{V1}/runs/{started.json()['run_id']}")).json()
        assert (seen["status"], seen["subject"]) == ("queued", None)
        for who, expected in (("operator", subject), ("viewer", None)):
            due = (await as_(who).get(f"{V1}/overview")).json()["next"]
            assert [item["subject"] for item in due if item["run_id"] == seen["run_id"]] == [expected]
        await as_("operator").post(f"{V1}/runs/{seen['run_id']}/terminate", json={})
