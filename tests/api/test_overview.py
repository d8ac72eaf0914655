"""The overview: hours, what is due next, and what needs attention."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import parse_qs

import pytest

from agentgrid.db.tables import Command, Switch
from tests.api import factories
from tests.api.conftest import Api
from tests.db.test_paging import statements
from tests.security.scoped import narrow, sides

__all__ = ["narrow", "sides"]

OVERVIEW = "/api/v1/overview"


async def overview(as_, name: str = "operator"):
    response = await as_(name).get(OVERVIEW)
    assert response.status_code == 200, response.text
    return response.json()


async def listed(as_, name: str, href: str) -> int:
    path, _, query = href.partition("?")
    response = await as_(name).get(path, params={**parse_qs(query), "limit": ["200"]})
    assert response.status_code == 200, response.text
    return len(response.json()["items"])


async def test_the_hours_include_every_run_that_closed_within_24_hours(api: Api, as_):
    before = await overview(as_)
    now = datetime.now(UTC)
    ended = [
        factories.run(status=status, closed_at=now - timedelta(minutes=minutes))
        for status, minutes in (
            ("completed", 1),
            ("completed", 90),
            ("failed", 90),
            ("timed_out", 23 * 60 + 30),
            ("terminated", 5),
            ("cancelled", 5),
            ("failed", 24 * 60 + 1),
            ("completed", -1),  # Temporal's clock is ahead
        )
    ]
    await factories.insert(api.plane.engine, *ended)
    after = await overview(as_)
    assert len(after["hours"]) == 24
    gained = [
        (new["completed"] - old["completed"], new["failed"] - old["failed"])
        for old, new in zip(before["hours"], after["hours"], strict=True)
    ]
    assert (gained[23], gained[22], gained[0]) == ((2, 1), (1, 1), (0, 1))
    assert [sum(column) for column in zip(*gained, strict=True)] == [3, 3]
    assert sum(hour["completed"] for hour in after["hours"]) == after["completed_24h"]["count"]
    assert sum(hour["failed"] for hour in after["hours"]) == after["unsuccessful_24h"]["count"]
    assert await listed(as_, "operator", after["unsuccessful_24h"]["href"]) == after["unsuccessful_24h"]["count"]


async def test_what_is_due_next_is_listed_once_soonest_first(api: Api, as_):
    soon = datetime.now(UTC) + timedelta(minutes=1)
    gated = factories.run(status="waiting", waiting_on="approval", next_at=soon + timedelta(minutes=1))
    approval = factories.approval(gated, expires_at=soon + timedelta(minutes=1))
    rows = {
        "retry": factories.run(status="waiting", waiting_on="retry", next_at=soon),
        "timer": factories.run(status="waiting", waiting_on="timer", next_at=soon + timedelta(minutes=2)),
        "late": factories.run(status="waiting", waiting_on="timer", next_at=datetime.now(UTC) - timedelta(minutes=1)),
        "queued": factories.run(status="queued", start_at=soon + timedelta(minutes=3), started_at=None),
        "delayed": factories.run(
            status="waiting",
            waiting_on="timer",
            start_at=soon + timedelta(minutes=4),
            next_at=soon + timedelta(minutes=4),
        ),
    }
    await factories.insert(api.plane.engine, *rows.values(), gated, factories.execution(gated), approval)
    ours = {row.run_id for row in (*rows.values(), gated)}
    due = [item for item in (await overview(as_))["next"] if item["run_id"] in ours]
    assert [(item["kind"], item["run_id"]) for item in due] == [
        ("retry", rows["retry"].run_id),
        ("approval_expires", gated.run_id),
        ("timer", rows["timer"].run_id),
        ("start", rows["queued"].run_id),
        ("start", rows["delayed"].run_id),
    ]
    assert (due[1]["href"], due[1]["tool"]) == (f"/api/v1/approvals/{approval.approval_id}", "post_reply")
    more = [factories.run(status="waiting", waiting_on="timer", next_at=soon + timedelta(seconds=n)) for n in range(12)]
    await factories.insert(api.plane.engine, *more)
    assert len((await overview(as_))["next"]) == 10


async def test_conditions_name_what_is_wrong_with_counts(api: Api, as_):
    waiting = [factories.run(status="waiting", waiting_on="worker", task_queue="unserved-queue") for _ in range(3)]
    run = factories.run()
    approval = factories.approval(run)
    old = datetime.now(UTC) - timedelta(minutes=5)
    pending = [
        Command(
            command_id=f"overview-{who}",
            kind="run.cancel",
            status="pending",
            principal=who,
            run_id=run.run_id,
            created_at=old,
        )
        for who in ("operator", "somebody")
    ]
    # Delivered within moments, like most commands: no condition.
    fresh = Command(
        command_id="overview-fresh", kind="run.cancel", status="pending", principal="operator", run_id=run.run_id
    )
    switches = [
        Switch(kind="tool", name="stopped", version=1, disabled=True, reason="smoke", created_by="admin"),
        Switch(kind="tool", name="running", version=1, disabled=True, created_by="admin"),
        Switch(kind="tool", name="running", version=2, disabled=False, created_by="admin"),
    ]
    await factories.insert(
        api.plane.engine,
        *waiting,
        run,
        factories.execution(run),
        approval,
        factories.decision(approval, 9, judged="refused"),
        factories.decision(approval, 10, judged="refused", signalled_at=datetime.now(UTC) - timedelta(days=2)),
        *pending,
        fresh,
        *switches,
    )
    for name, commands in (("operator", 1), ("auditor", 2)):
        conditions = {}
        for item in (await overview(as_, name))["conditions"]:
            conditions.setdefault(item["kind"], []).append(item)
        (queue,) = [item for item in conditions["queue_unserved"] if item["name"] == "unserved-queue"]
        assert queue["count"] == 3 == await listed(as_, name, queue["href"])
        assert [(item["thing"], item["name"], item["reason"]) for item in conditions["switched_off"]] == [
            ("tool", "stopped", "smoke")
        ]
        (pending_commands,) = conditions["commands_pending"]
        assert pending_commands["count"] == commands == await listed(as_, name, pending_commands["href"])
        assert [item["count"] for item in conditions["signals_refused"]] == [1]
        assert conditions["signals_refused"][0]["href"] == f"/api/v1/runs/{run.run_id}"
        assert "projection_behind" in conditions, "no projector reports here"
        assert "temporal_away" not in conditions


async def test_a_stale_worker_is_reported_and_an_unreachable_temporal_does_not_fail_the_overview(
    api: Api, as_, monkeypatch
):
    from agentgrid.control import workers
    from agentgrid.errors import Unavailable

    silent = workers.WorkerHeartbeat(worker_identity="4711@gone")
    silent.heartbeat_time.GetCurrentTime()
    silent.heartbeat_time.seconds -= 151
    stopped = workers.WorkerHeartbeat(
        worker_identity="stopped",
        status=workers.WorkerStatus.WORKER_STATUS_SHUTDOWN,
        heartbeat_time=silent.heartbeat_time,
    )

    async def beats(_plane):
        return [silent, stopped]

    monkeypatch.setattr(workers, "heartbeats", beats)
    conditions = (await overview(as_))["conditions"]
    assert [item["name"] for item in conditions if item["kind"] == "worker_stale"] == ["4711@gone"]

    async def away(_plane):
        raise Unavailable("Temporal can't be reached")

    monkeypatch.setattr(workers, "heartbeats", away)
    conditions = (await overview(as_))["conditions"]
    assert [item["kind"] for item in conditions].count("temporal_away") == 1


@pytest.mark.parametrize("who", ["scoped", "blind"])
async def test_the_overview_shows_nothing_of_runs_out_of_scope(narrow: Api, as_, sides, who):
    soon = datetime.now(UTC) + timedelta(minutes=1)
    hidden = [
        factories.run(workflow="out_flow", status="waiting", waiting_on="timer", next_at=soon, reference="out-next"),
        factories.run(workflow="out_flow", status="queued", start_at=soon, reference="out-next"),
        factories.run(workflow="out_flow", status="waiting", waiting_on="worker", task_queue="out-waits"),
        factories.run(workflow="out_flow", status="failed", closed_at=datetime.now(UTC)),
    ]
    approval = sides["out_approval"]
    refused = factories.decision(approval, 1000 if who == "blind" else 1001, judged="refused")
    command = Command(
        command_id=f"out-{who}",
        kind="run.cancel",
        status="pending",
        principal=who,
        run_id=hidden[0].run_id,
        created_at=datetime.now(UTC) - timedelta(minutes=5),
    )
    await factories.insert(narrow.plane.engine, *hidden, refused, command)
    seen = await as_(who).get(OVERVIEW, params={"lists": "true"})
    body = seen.json()
    for noun in ("workflows", "agents", "tools"):  # all roles see the catalog
        catalog = body["lists"].pop(noun)
        assert {item["last_run"] for item in catalog["items"] if item["name"] == "out_flow"} <= {None}
    assert "out_flow" not in str(body)
    assert "out-" not in str(body)
    assert {hour["failed"] for hour in body["hours"]} == {0}
    assert {item["kind"] for item in body["conditions"]} <= {"projection_behind", "switched_off"}
    everything = (await as_("operator").get(OVERVIEW, params={"lists": "true"})).text
    assert "out-next" in everything
    assert "out-waits" in everything


async def test_the_lists_are_the_first_rows_of_what_the_counts_cover(api: Api, as_):
    now = datetime.now(UTC)
    flow, version = factories.workflow("aaa_overview")
    flow.title = "Overview flow"
    ahead = now + timedelta(minutes=5)
    flow_run = partial(factories.run, workflow="aaa_overview", status="waiting")
    gated = flow_run(waiting_on="approval", created_at=ahead + timedelta(seconds=1))
    retrying = flow_run(waiting_on="retry", created_at=ahead)
    approval = factories.under(
        api.plane.signer, factories.approval(gated, expires_at=now + timedelta(seconds=40), tool="aaa_tool")
    )
    # A long run that has just failed would not be on the list of runs' first page, behind newer ones.
    failed = [
        factories.run(
            status="failed",
            created_at=now - timedelta(days=20 if n == 0 else 0),
            closed_at=now + timedelta(minutes=5, seconds=-n),  # before the rows of other tests
            status_reason="a secret word",
        )
        for n in range(8)
    ]
    tool = factories.tool("aaa_tool", title="A tool", risk="destructive")
    agent, code = factories.agent("aaa_agent", tools=["aaa_tool", "aaa_mail", "aaa_reader"])
    switch = Switch(kind="tool", name="aaa_tool", version=1, disabled=True, reason="smoke", created_by="admin")
    await factories.insert(
        api.plane.engine,
        flow,
        version,
        tool,
        switch,
        factories.tool("aaa_reader", risk="read"),
        factories.tool("aaa_mail", risk="destructive"),
        agent,
        code,
        retrying,
        gated,
        factories.execution(gated),
        approval,
        *failed,
    )
    assert (await overview(as_))["lists"] is None
    with statements(api) as asked:
        response = await as_("reviewer").get(OVERVIEW, params={"lists": "true"})
    assert sum("FROM policies" in item for item, _ in asked) == 1
    body = response.json()
    lists = body["lists"]
    assert lists["started"]
    assert [run["run_id"] for run in lists["unsuccessful"]] == [run.run_id for run in failed[:6]]
    assert body["unsuccessful_24h"]["count"] >= 8
    assert lists["open"][0]["run_id"] == retrying.run_id  # before runs that wait for people, although those are newer
    assert len({run["run_id"] for run in lists["open"]}) == len(lists["open"]) <= 12
    assert lists["open"][0]["workflow_title"] == "Overview flow"
    first = await as_("reviewer").get(
        "/api/v1/approvals", params={"decidable_by": "me", "status": "pending", "sort": "urgency", "limit": 6}
    )
    assert approval.approval_id in [item["approval_id"] for item in lists["approvals"]]
    assert lists["approvals"] == first.json()["items"]
    (due,) = [item for item in body["next"] if item["run_id"] == gated.run_id]
    assert (due["workflow_title"], due["tool_title"]) == ("Overview flow", "A tool")
    catalog = {
        noun: (await as_("reviewer").get(f"/api/v1/{noun}", params={"limit": 200})).json()["items"]
        for noun in ("workflows", "agents", "tools")
    }
    for noun, items in catalog.items():
        acting = [item for item in items if item.get("risk") != "read"]
        if noun == "tools":
            acting.sort(key=lambda item: (item["risk"] != "destructive", item["name"]))
            assert lists["tools"]["acting"] == len(acting)
        assert lists[noun]["total"] == len(items)
        assert [item["name"] for item in lists[noun]["items"]] == [item["name"] for item in acting[:6]]
    shown = {item["name"]: item for item in lists["tools"]["items"]}["aaa_tool"]
    may = {item["name"]: item for item in lists["agents"]["items"]}["aaa_agent"]
    assert (may["unasked"], may["asking"]) == (1, 1)  # the third is disabled
    assert (shown["disabled"], shown["effect"], shown["risk"]) == (True, "require_approval", "destructive")
    assert {item["name"]: item for item in lists["workflows"]["items"]}["aaa_overview"]["last_run"][
        "run_id"
    ] == gated.run_id


async def test_the_lists_have_no_payloads_for_callers_who_may_not_read_them(api: Api, as_):
    ahead = datetime.now(UTC) + timedelta(minutes=10)  # before the rows of other tests
    run = factories.run(status="failed", closed_at=ahead, status_reason="a secret word")
    await factories.insert(api.plane.engine, run)
    for name, seen in (("operator", True), ("viewer", False)):
        response = await as_(name).get(OVERVIEW, params={"lists": "true"})
        assert run.run_id in response.text
        assert ("a secret word" in response.text) is seen, name
