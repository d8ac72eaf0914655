"""Approval letters: the order of urgency, what a row shows to whom, and counts that match the lists."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from agentgrid.db.tables import PolicyRow
from tests.api import factories
from tests.api.conftest import Api

RISKS = ("destructive", "write", None, "read")
SCHEMA = {
    "type": "object",
    "properties": {
        "ticket_id": {"type": "string"},
        "amount_cents": {"type": "integer", "x-unit": "cents", "x-currency": "USD"},
    },
}
VERSION: dict[str, Any] = {
    "title": "Refund ticket",
    "reach": ["Moves money out", "One customer"],
    "undoable": False,
    "asks": "Refund {amount_cents} on ticket {ticket_id}",
    "input_schema": SCHEMA,
}


def refund(api: Api, run: Any, ticket: str = "T-1042", cents: int = 41200, **over: Any) -> Any:
    arguments = {"ticket_id": ticket, "amount_cents": cents, "reason": "paid twice"}
    approval = factories.approval(
        run,
        **{
            "tool": "refund_it",
            "title": "Refund ticket",
            "arguments": arguments,
            "payload": {"size": 60, "value": arguments},
            "shape": "refund0000000001",
            **over,
        },
    )
    approval.terms = {**approval.terms, "tool": "refund_it"}
    return factories.under(api.plane.signer, approval)


async def pages(client: Any, path: str, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        response = await client.get(httpx.URL(path).copy_merge_params({**params, **cursor}))
        assert response.status_code == 200, response.text
        page = response.json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


@pytest.fixture(scope="module")
async def refunds(api: Api) -> list[Any]:
    """Pending refunds of every risk, some of which expire within the hour, one that is not open yet, and a decided one."""
    await factories.insert(
        api.plane.engine,
        *factories.workflow("letters"),
        factories.tool("refund_it", **VERSION),
        factories.tool_version("refund_it", **VERSION),
    )
    approvals = []
    minutes = itertools.count(10, 7)
    for risk, soon in itertools.product(RISKS, (True, False, False)):
        run = factories.run(workflow="letters", status="waiting", waiting_on="approval", reference="case-1")
        expires = datetime.now(UTC) + timedelta(minutes=next(minutes) % 50 if soon else 90 + next(minutes))
        approvals.append(refund(api, run, risk=risk, expires_at=expires))
        approvals[-1].__dict__["_run"] = run
    run = factories.run(workflow="letters", status="waiting", waiting_on="approval")
    approvals.append(refund(api, run, risk="write", expires_at=None, decidable=False))
    approvals[-1].__dict__["_run"] = run
    random.Random(1).shuffle(approvals)
    for approval in approvals:
        run = approval.__dict__.pop("_run")
        await factories.insert(api.plane.engine, run, factories.execution(run), approval)
    closed = factories.run(workflow="letters", status="completed")
    decided = refund(api, closed, risk="write", status="approved", decided_by="second", closed_at=datetime.now(UTC))
    await factories.insert(api.plane.engine, closed, factories.execution(closed), decided)
    return approvals


async def test_urgency_sorts_by_expiry_within_the_hour_then_risk_then_expiry(api: Api, as_, refunds):
    soon = datetime.now(UTC) + timedelta(hours=1)
    never = datetime.max.replace(tzinfo=UTC)
    expected = sorted(
        refunds,
        key=lambda approval: (
            approval.expires_at is None or approval.expires_at > soon,
            RISKS.index(approval.risk),
            approval.expires_at or never,
        ),
    )
    for limit in (1, 5, 200):
        seen = await pages(as_("reviewer"), "/api/v1/approvals", workflow="letters", sort="urgency", limit=limit)
        assert [item["approval_id"] for item in seen] == [approval.approval_id for approval in expected], limit
    assert [item["expires_soon"] for item in seen] == [True] * 4 + [False] * 9


async def test_urgency_applies_only_to_pending_approvals(as_, refunds):
    response = await as_("reviewer").get("/api/v1/approvals", params={"sort": "urgency", "status": "approved"})
    assert response.status_code == 422
    assert response.json()["faults"][0]["pointer"] == "status"


async def test_a_row_summarises_the_letter_for_those_who_may_read_it(as_, refunds):
    params = {"workflow": "letters", "sort": "urgency", "limit": 1}
    row = (await as_("reviewer").get("/api/v1/approvals", params=params)).json()["items"][0]
    assert row["title"] == "Refund 412.00 USD on ticket T-1042"
    assert (row["tool_title"], row["workflow_title"], row["risk"]) == ("Refund ticket", "letters", "destructive")
    assert (row["reach"], row["undoable"]) == (["Moves money out", "One customer"], False)
    assert row["arguments"] == {"ticket_id": "T-1042", "amount_cents": 41200, "reason": "paid twice"}
    assert {item["verb"]: item["allowed"] for item in row["actions"]} == {"approve": True, "reject": True}
    seen = (await as_("viewer").get("/api/v1/approvals", params=params)).json()["items"][0]
    assert (seen["title"], seen["arguments"], seen["payloads_visible"]) == ("Refund ticket", None, False)
    assert not any(item["allowed"] for item in seen["actions"])


async def test_rows_are_filtered_by_words_person_shape_and_time(as_, refunds):
    client = as_("reviewer")

    async def ids(**params: Any) -> set[str]:
        return {item["approval_id"] for item in await pages(client, "/api/v1/approvals", workflow="letters", **params)}

    everything = await ids()
    assert await ids(q="CASE-1") == {approval.approval_id for approval in refunds if approval.expires_at is not None}
    assert await ids(q=refunds[0].approval_id) >= {refunds[0].approval_id}
    assert await ids(q="%") == set()
    assert len(await ids(decided_by="second")) == 1
    assert await ids(decided_by="me") == set()
    assert await ids(shape="refund0000000001") == everything
    assert await ids(shape="another") == set()
    assert await ids(opened_after=(datetime.now(UTC) + timedelta(hours=1)).isoformat()) == set()
    assert await ids(approver="role:approver") == everything
    assert await ids(approver="support-leads") == set()


async def test_only_those_who_may_read_an_explicit_title_can_search_it(api: Api, as_):
    run = factories.run(workflow="letters-explicit", status="waiting", waiting_on="approval")
    approval = factories.approval(
        run,
        kind="explicit",
        tool=None,
        tool_version=None,
        risk=None,
        title="Dismiss Ingrid",
        shape="explicit00000001",
        approvers=["support-leads"],
        arguments={},
    )
    approval.terms = {**approval.terms, "kind": "explicit"}
    await factories.insert(api.plane.engine, run, factories.execution(run), approval)
    params = {"workflow": "letters-explicit"}
    for who, title in (("operator", "Dismiss Ingrid"), ("viewer", "An approval"), ("second", "An approval")):
        client = as_(who)
        page = (await client.get("/api/v1/approvals", params=params)).json()["items"]
        assert [item["title"] for item in page] == [title], who
        assert (page[0]["shape"] is None) == (title == "An approval")
        items = (await client.get("/api/v1/approvals", params={**params, "q": "ingrid"})).json()["items"]
        assert len(items) == (1 if who == "operator" else 0), who
        # The title's hash could confirm a guess of the title.
        alike = (await client.get("/api/v1/approvals", params={**params, "shape": approval.shape})).json()["items"]
        assert len(alike) == (1 if who == "operator" else 0), who
        detail = (await client.get(f"/api/v1/runs/{run.run_id}")).text
        assert ("Ingrid" in detail) == (who == "operator"), who


async def test_counts_agree_with_the_lists_and_the_overview(as_, refunds):
    for who in ("reviewer", "second", "both", "operator", "viewer", "admin", "agent"):
        client = as_(who)
        counts = (await client.get("/api/v1/approvals/counts")).json()
        overview = (await client.get("/api/v1/overview")).json()["approvals_for_me"]
        mine = await pages(client, counts["mine"]["href"], limit=200)
        assert counts["mine"]["count"] == overview["count"] == len(mine), who
        assert counts["soon"] == sum(item["expires_soon"] for item in mine), who
        assert all(action["allowed"] for item in mine for action in item["actions"]), who
        assert counts["all"]["count"] == len(await pages(client, counts["all"]["href"], limit=200)), who
        urgent = await pages(client, "/api/v1/approvals", sort="urgency", limit=200)
        assert counts["all"]["count"] == len(urgent), who
        for group in counts["groups"]:
            assert group["count"] == len(await pages(client, group["href"], limit=200)), (who, group)
            assert all(group["approver"] in item["approvers"] for item in await pages(client, group["href"]))


@pytest.fixture(scope="module")
async def agent_refund(api: Api, refunds: list[Any]) -> Any:
    """A refund requested by an agent, with the steps before it, its own rule, and earlier refunds of the same shape."""
    run = factories.run(workflow="letters", status="waiting", waiting_on="approval", initiator="operator")
    approval = refund(
        api,
        run,
        agent="resolver",
        agent_version="v7",
        turn=2,
        step_event_id=50,
        policy="tool:refund_it@4",
        shape="asked00000000001",
        payload={
            "size": 99,
            "value": {"ticket_id": "T-1042", "amount_cents": 41200, "reason": "paid", "more": [{"a": "b"}], "n": [1]},
        },
    )
    approval.terms = {
        **approval.terms,
        "reason": "Money does not come back.",
        "issuers": ["key-maker"],
        "takes": ["arguments"],
    }
    rule = PolicyRow(
        rule_id="tool:refund_it",
        version=4,
        tool="refund_it",
        effect="require_approval",
        approvers=["role:approver"],
        expires_seconds=3600.0,
        title="Every refund is answered by a lead",
        reason="Another reason by now.",
        created_by="admin",
    )
    done = {"closed_at": run.created_at + timedelta(seconds=30), "started_at": run.created_at + timedelta(seconds=29)}
    steps = [
        factories.step(run, 10, kind="agent", name="resolver", status="running"),
        *(
            factories.step(
                run,
                n,
                parent=10,
                kind="tool",
                name="fetch",
                title="Fetch",
                input={"size": 9, "value": {"id": f"T-{n}"}},
                **done,
            )
            for n in range(20, 30)
        ),
        factories.step(run, 31, parent=9, kind="tool", name="of_another_call"),
        factories.step(
            run,
            40,
            parent=10,
            kind="model",
            name="resolver",
            turn=1,
            output={"size": 9, "value": {"text": "too early"}},
        ),
        factories.step(
            run,
            41,
            parent=10,
            kind="model",
            name="resolver",
            turn=2,
            output={"size": 9, "value": {"text": "Charged twice. " * 1000}},
            usage={"model": "claude"},
        ),
        factories.step(run, 50, parent=10, kind="tool", name="refund_it", status="waiting", turn=2),
        factories.step(run, 60, parent=10, kind="tool", name="later"),
    ]
    await factories.insert(api.plane.engine, rule, run, factories.execution(run), *steps, approval)
    ended = [("approved", "second", 3), ("rejected", "second", 2), ("expired", None, 1), ("approved", "second", 40)]
    for status, who, days in ended:
        other = factories.run(workflow="letters", status="completed", reference=f"{status}-{days}")
        closed = datetime.now(UTC) - timedelta(days=days)
        before = refund(
            api, other, "T-0987", 29800, shape="asked00000000001", status=status, decided_by=who, attributed=True if who else None,
            closed_at=closed, approvers=["support-leads"],
        )  # fmt: skip
        await factories.insert(api.plane.engine, other, factories.execution(other), before)
    return approval


async def test_an_approval_letter_is_complete(as_, agent_refund):
    letter = (await as_("reviewer").get(f"/api/v1/approvals/{agent_refund.approval_id}")).json()
    assert letter["title"] == "Refund 412.00 USD on ticket T-1042"
    assert letter["input_schema"] == SCHEMA
    assert letter["step"] == {"execution_id": agent_refund.execution_id, "event_id": 50}
    rule = letter["rule"]
    assert (rule["title"], rule["reason"]) == ("Every refund is answered by a lead", "Money does not come back.")
    assert (rule["rule"], rule["rule_id"], rule["created_by"]) == ("tool:refund_it@4", "tool:refund_it", "admin")
    assert letter["authored"] == ["ticket_id", "reason", "more"]
    prose = letter["prose"]
    assert prose["text"].startswith("Charged twice.")
    assert len(prose["text"]) == 8000
    assert prose["truncated"]
    assert (prose["agent"], prose["version"], prose["model"], prose["turn"]) == ("resolver", "v7", "claude", 2)
    looked_at = letter["looked_at"]
    assert [item["event_id"] for item in looked_at] == list(range(22, 30))
    assert {(item["title"], item["took_ms"]) for item in looked_at} == {("Fetch", 1000)}
    assert looked_at[0]["label"] == "T-22"
    previous = letter["previous"]
    assert (previous["verdict"], previous["decided_by"], previous["reference"]) == ("rejected", "second", "rejected-2")
    assert previous["arguments"]["amount_cents"] == 29800
    assert letter["same_shape_30d"] == {"approved": 1, "rejected": 1, "expired": 1}
    who = letter["who"]
    assert (who["needed"], who["needed_to_change"]) == (1, 1)
    assert {item["principal"]: item["why"] for item in who["refused"]} == {
        "operator": "started the run",
        "key-maker": "issued the key that started the run",
    }
    assert who["text"].startswith("Anyone with the role approver may decide; one decision is enough.")


async def test_a_letter_with_many_people_names_the_starters_and_counts_the_other_approvers(api: Api, as_):
    run = factories.run(workflow="letters", status="waiting", waiting_on="approval", initiator="operator")
    approval = refund(api, run, approvers=["role:approver", *(f"lead-{n:02}" for n in range(24))])
    approval.terms = {**approval.terms, "issuers": [f"issuer-{n:02}" for n in range(30)], "changed_by": "issuer-00"}
    await factories.insert(api.plane.engine, run, factories.execution(run), approval)
    who = (await as_("reviewer").get(f"/api/v1/approvals/{approval.approval_id}")).json()["who"]
    assert who["text"].startswith("Anyone with the role approver or lead-00 or ")
    assert (
        " or lead-18 or 5 more may decide; one decision is enough. operator may not decide: they started the run."
        in who["text"]
    )
    assert len(who["refused"]) == 20
    assert who["refused"][1] == {"principal": "issuer-00", "why": "issued the key that started the run"}


async def test_an_approver_sees_the_previous_arguments_only_if_they_may_read_that_approval(as_, agent_refund):
    letter = (await as_("second").get(f"/api/v1/approvals/{agent_refund.approval_id}")).json()
    assert letter["payloads_visible"]
    assert letter["prose"] is not None
    assert (letter["previous"]["verdict"], letter["previous"]["arguments"]) == ("rejected", None)


async def test_a_built_in_rule_has_a_plain_title(as_, refunds):
    letter = (await as_("reviewer").get(f"/api/v1/approvals/{refunds[0].approval_id}")).json()
    assert (letter["rule"]["title"], letter["rule"]["created_by"]) == ("Destructive tools require approval", None)
    assert (letter["authored"], letter["prose"], letter["looked_at"]) == ([], None, [])


async def test_a_rules_title_is_put_and_read(as_):
    body = {"effect": "require_approval", "tool": "titled_*", "title": "Leads answer"}
    admin = as_("admin")
    assert (await admin.put("/api/v1/policies/titled", json=body)).status_code == 200
    read = (await admin.get("/api/v1/policies/titled")).json()
    assert (read["title"], read["versions"][0]["title"]) == ("Leads answer", "Leads answer")
    for title in ("x" * 121, "two\nlines"):
        assert (await admin.put("/api/v1/policies/titled", json=body | {"title": title})).status_code == 422
