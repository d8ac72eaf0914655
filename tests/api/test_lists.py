"""Lists: pages that inserts don't shift, filters, no payloads, and an index for each."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest
from sqlalchemy import text

from agentgrid.db import run_counts
from agentgrid.db.session import reading
from agentgrid.db.tables import Control, Job, Log
from agentgrid.domain.runs import RunStatus
from tests.api import factories
from tests.api.conftest import Api


async def pages(client, path, **params):
    """Every page of a list."""
    items, cursor = [], None
    while True:
        response = await client.get(path, params={**params, **({"cursor": cursor} if cursor else {})})
        assert response.status_code == 200, response.text
        items.append(response.json()["items"])
        cursor = response.json()["next_cursor"]
        if cursor is None:
            return items


async def test_pages_return_every_run_once_in_order_while_new_runs_arrive(api: Api, as_):
    same = datetime.now(UTC) - timedelta(days=1)
    rows = [factories.run(workflow="paged", created_at=same - timedelta(seconds=n // 3)) for n in range(25)]
    await factories.insert(api.plane.engine, *rows)
    expected = [row.run_id for row in sorted(rows, key=lambda row: (row.created_at, row.run_id), reverse=True)]

    seen, cursor = [], None
    while True:
        params = {"workflow": "paged", "limit": 4, **({"cursor": cursor} if cursor else {})}
        page = (await as_("viewer").get("/api/v1/runs", params=params)).json()
        seen += [item["run_id"] for item in page["items"]]
        await factories.insert(api.plane.engine, factories.run(workflow="paged"))
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == expected


async def test_a_last_page_that_is_exactly_full_has_no_next_page(api: Api, as_):
    await factories.insert(api.plane.engine, *(factories.run(workflow="full") for _ in range(3)))
    assert [len(page) for page in await pages(as_("viewer"), "/api/v1/runs", workflow="full", limit=3)] == [3]
    assert [len(page) for page in await pages(as_("viewer"), "/api/v1/runs", workflow="full", limit=2)] == [2, 1]


FILTERS = {
    "status": ({"status": "failed"}, {"status": "failed"}),
    "waiting on": ({"status": "waiting", "waiting_on": "timer"}, {"waiting_on": "timer"}),
    "tool": ({"tools": ["crm_update", "other"]}, {"tool": "crm_update"}),
    "tag": ({"tags": ["eu", "vip", "x"]}, {"tag": ["vip", "eu"]}),
    "reference": ({"reference": "INV-9"}, {"reference": "INV-9"}),
    "initiator": ({"initiator": "developer"}, {"initiator": "developer"}),
    "trigger": ({"trigger": "external"}, {"trigger": "external"}),
    "words in the reference": ({"reference": "100%_sure"}, {"q": "0%_s"}),
    "words in the note": ({"note": "Call the Bank"}, {"q": "the bank"}),
    "workflow id": ({"workflow_id": "order-7"}, {"workflow_id": "order-7"}),
    "stuck": ({"status": "waiting", "waiting_on": "worker"}, {"stuck": "true"}),
    "started before": (
        {"created_at": datetime(2020, 1, 1, tzinfo=UTC)},
        {"started_after": "2019-12-31T00:00:00Z", "started_before": "2020-01-02T01:00:00+02:00"},
    ),
    "closed before": (
        {
            "status": "completed",
            "created_at": datetime(2010, 1, 1, tzinfo=UTC),
            "closed_at": datetime(2010, 1, 2, tzinfo=UTC),
        },
        {"closed_before": "2010-01-03T00:00:00Z"},
    ),
    "version": ({"version": "v7"}, {"version": "v7"}),
    "task queue": ({"task_queue": "mail"}, {"task_queue": "mail"}),
    "took long": (
        {
            "status": "completed",
            "started_at": datetime(2030, 1, 1, tzinfo=UTC),
            "closed_at": datetime(2030, 1, 1, 2, tzinfo=UTC),
        },
        {"duration_over": "7000"},
    ),
    "takes long": ({"started_at": datetime(2020, 1, 1, tzinfo=UTC)}, {"duration_over": "7001"}),
    "waiting for approval or failed": (
        {"status": "waiting", "waiting_on": "approval"},
        {"state": ["failed", "approval"]},
    ),
    "sleeping": ({"status": "waiting", "waiting_on": "timer"}, {"state": "sleeping"}),
    "some other wait": ({"status": "waiting", "waiting_on": None}, {"state": "waiting"}),
    "closed after": (
        {"status": "completed", "closed_at": datetime(2090, 1, 1, tzinfo=UTC)},
        {"closed_after": "2089-01-01T00:00:00Z"},
    ),
}


@pytest.mark.parametrize(("over", "params"), FILTERS.values(), ids=FILTERS.keys())
async def test_each_filter_of_runs_returns_exactly_the_matches(api: Api, as_, over, params):
    workflow = f"filter-{abs(hash(json.dumps(params, sort_keys=True)))}"
    matching = factories.run(**{"workflow": workflow, **over})
    await factories.insert(api.plane.engine, matching, factories.run(workflow=workflow))
    response = await as_("viewer").get("/api/v1/runs", params={"workflow": workflow, **params})
    assert [item["run_id"] for item in response.json()["items"]] == [matching.run_id]


async def test_an_unknown_trigger_is_refused_with_the_valid_ones(as_):
    response = await as_("viewer").get("/api/v1/runs", params={"trigger": "cron"})
    assert response.status_code == 422
    assert "'api', 'schedule', 'child', 'external' or 'other'" in response.text


async def test_runs_by_agent_are_those_with_a_step_of_that_agent(api: Api, as_):
    run = factories.run(workflow="agents")
    await factories.insert(
        api.plane.engine,
        run,
        factories.execution(run),
        factories.step(run, 5, kind="agent", name="triager"),
        factories.run(workflow="agents"),
    )
    response = await as_("viewer").get("/api/v1/runs", params={"agent": "triager"})
    assert [item["run_id"] for item in response.json()["items"]] == [run.run_id]


async def test_a_list_of_runs_has_no_payloads(api: Api, as_):
    payload = {"size": 6, "value": "canary"}
    run = factories.run(workflow="canary", input=payload, result=payload, error={"message": "canary"})
    await factories.insert(api.plane.engine, run)
    response = await as_("operator").get("/api/v1/runs", params={"workflow": "canary"})
    assert len(response.json()["items"]) == 1
    assert {"input", "result", "error"} & set(response.json()["items"][0]) == set()


async def test_steps_are_those_of_the_executions_shown_oldest_first(api: Api, as_):
    run = factories.run()
    left_behind = factories.execution(run, execution_id="left-behind", reset_to=run.execution_id)
    newest = factories.execution(run, kind="reset", reset_from="left-behind")
    old = [factories.step(run, n, execution_id="left-behind") for n in (5, 11)]
    new = [factories.step(run, n, inherited=n == 5) for n in (5, 12, 20, 31)]
    await factories.insert(api.plane.engine, run, left_behind, newest, *old, *new)
    path = f"/api/v1/runs/{run.run_id}/steps"
    steps = [step for page in await pages(as_("operator"), path, limit=3) for step in page]
    assert [(step["event_id"], step["inherited"]) for step in steps] == [
        (5, True),
        (12, False),
        (20, False),
        (31, False),
    ]
    (behind,) = await pages(as_("operator"), path, execution="left-behind")
    assert [step["event_id"] for step in behind] == [5, 11]


async def test_jobs_and_logs_of_a_run_are_in_order_of_time(api: Api, as_):
    run = factories.run()
    begun = datetime.now(UTC)
    shared = {"execution_id": run.execution_id, "workflow_id": run.workflow_id, "worker": "w1"}
    jobs = [
        Job(
            job_id=f"{run.execution_id}/1/{n}",
            started_at=begun + timedelta(seconds=n),
            activity_id="1",
            activity_type="tool.post_reply",
            attempt=n,
            task_queue=run.task_queue,
            status="failed",
            error={"type": "E", "message": "m", "stack": "secret"},
            **shared,
        )
        for n in (1, 2, 3)
    ]
    logs = [
        Log(logged_at=begun, level=level, logger="x", message=f"line {level}", activity_id="1", **shared)
        for level in ("info", "warning", "info")
    ]
    await factories.insert(api.plane.engine, run, factories.execution(run), *jobs, *logs)
    path = f"/api/v1/runs/{run.run_id}"
    found = [job for page in await pages(as_("viewer"), f"{path}/jobs", limit=2) for job in page]
    assert [job["attempt"] for job in found] == [1, 2, 3]
    assert found[0]["error"]["stack"] is None
    lines = [line for page in await pages(as_("operator"), f"{path}/logs", limit=1) for line in page]
    assert [line["level"] for line in lines] == ["info", "warning", "info"]
    (warnings,) = await pages(as_("operator"), f"{path}/logs", level="warning")
    assert [line["message"] for line in warnings] == ["line warning"]


async def test_without_the_role_auditor_callers_see_only_their_own_commands(api: Api, as_):
    run = factories.run(status="completed")
    await factories.insert(api.plane.engine, run)
    refused = (await as_("operator").post(f"/api/v1/runs/{run.run_id}/cancel")).json()["command_id"]
    for name, seen in (("operator", True), ("auditor", True), ("developer", False), ("nobody", False)):
        listed = (await as_(name).get("/api/v1/commands", params={"run": run.run_id})).json()["items"]
        assert [command["command_id"] for command in listed] == ([refused] if seen else []), name
        assert (await as_(name).get(f"/api/v1/commands/{refused}")).status_code == (200 if seen else 404)


PLANS = {
    "newest": "SELECT * FROM runs ORDER BY created_at DESC, run_id DESC LIMIT 51",
    "by status": "SELECT * FROM runs WHERE status = 'failed' ORDER BY created_at DESC, run_id DESC LIMIT 51",
    "by workflow": "SELECT * FROM runs WHERE workflow = 'w7' ORDER BY created_at DESC, run_id DESC LIMIT 51",
    "by tag": "SELECT * FROM runs WHERE tags @> ARRAY['t7'] ORDER BY created_at DESC, run_id DESC LIMIT 51",
    "open counts": "SELECT status, count(*) FROM runs WHERE status IN ('running', 'waiting') GROUP BY status",
    "closed counts": "SELECT status, count(*) FROM runs WHERE closed_at >= now() - interval '1 day' GROUP BY status",
}


async def test_lists_and_counts_use_indexes_and_are_fast_over_many_runs(api: Api, as_):
    async with api.plane.engine.begin() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await connection.execute(
            text(
                "INSERT INTO runs (run_id, namespace, workflow_id, workflow, task_queue, status, created_at, closed_at, tags)"
                " SELECT 'many-' || n, 'default', 'many-' || n, 'w' || n % 100, 'q',"
                " CASE WHEN n % 50 = 0 THEN 'running' WHEN n % 50 = 1 THEN 'failed' ELSE 'completed' END,"
                " now() - n * interval '1 minute',"
                " CASE WHEN n % 50 = 0 THEN NULL ELSE now() - n * interval '1 minute' END, ARRAY['t' || n % 500]"
                " FROM generate_series(1, 20000) AS n"
            )
        )
        await connection.execute(text("ANALYZE runs"))
    async with reading(api.plane.engine) as session:
        for name, query in PLANS.items():
            plan = (await session.execute(text(f"EXPLAIN (FORMAT JSON) {query}"))).scalar_one()
            assert "Seq Scan" not in json.dumps(plan), (name, json.dumps(plan))
    begun = datetime.now(UTC)
    response = await as_("operator").get("/api/v1/overview")
    assert datetime.now(UTC) - begun < timedelta(seconds=1)
    assert response.json()["running"]["count"] >= 400
    counted = (await as_("operator").get("/api/v1/runs/counts", params={"tag": "t7"})).json()
    assert (counted["total"], counted["complete"]) == (40, True)


async def counts(client, **params):
    response = await client.get("/api/v1/runs/counts", params=params)
    assert response.status_code == 200, response.text
    return response.json()


async def test_counts_by_status_match_the_list_under_the_same_filter(api: Api, as_):
    await factories.insert(
        api.plane.engine,
        *(factories.run(workflow="counted_a", status=status) for status in ("failed", "failed", "running")),
        *(factories.run(workflow="counted_b", status="failed", reference="R-9") for _ in range(2)),
    )
    assert set((await counts(as_("viewer")))["by_status"]) == set(RunStatus)
    for params in ({}, {"status": "failed"}, {"workflow": "counted_a"}, {"reference": "R-9"}, {"q": "counted_"}):
        listed = [
            run["status"] for page in await pages(as_("viewer"), "/api/v1/runs", limit=200, **params) for run in page
        ]
        result = await counts(as_("viewer"), **params)
        assert {name: count for name, count in result["by_status"].items() if count} == dict(Counter(listed)), params
        assert (result["total"], result["complete"]) == (len(listed), True)
    assert (await as_("viewer").get("/api/v1/runs/counts", params={"limit": 3})).status_code == 422


async def test_counts_exclude_runs_outside_the_scope(api: Api, as_):
    await factories.insert(api.plane.engine, factories.run(workflow="seen_1"), factories.run(workflow="hidden_1"))
    scope = {"kind": "human", "roles": ["viewer"], "groups": [], "workflows": ["seen_*"]}
    assert (await as_("admin").put("/api/v1/principals/narrow", json=scope)).status_code == 200
    key = (await as_("admin").post("/api/v1/keys", json={"principal": "narrow"})).json()["key"]
    async with Api(api.app, api.settings, {"narrow": key}).client("narrow") as client:
        for params in ({}, {"status": "running"}, {"initiator": "operator"}):
            assert (await counts(client, **params))["total"] == 1
        assert (await counts(client, workflow="hidden_1"))["total"] == 0


@pytest.mark.parametrize("params", [{}, {"workflow": "capped"}], ids=["in the index", "collected"])
async def test_counting_stops_at_a_limit_and_says_so(api: Api, as_, monkeypatch, params):
    await factories.insert(api.plane.engine, *(factories.run(workflow="capped", status="failed") for _ in range(4)))
    monkeypatch.setattr(run_counts, "MOST", 3)
    result = await counts(as_("viewer"), **params)
    assert (result["by_status"]["failed"], result["complete"]) == (3, False)


async def test_r30_only_unattributed_acts_are_listed_newest_first(api: Api, as_):
    run, other = factories.run(), factories.run()
    approval = factories.approval(run)
    begun = datetime.now(UTC)
    why = {"unattributed_because": "AgentGrid did not send this signal", "principal": "cfo"}

    def control(event_id: int, **over: object) -> Control:
        values = {"execution_id": run.execution_id, "run_id": run.run_id, "action": "pause"}
        return Control(event_id=event_id, signalled_at=begun + timedelta(seconds=event_id), **{**values, **why, **over})

    await factories.insert(
        api.plane.engine,
        run,
        other,
        factories.execution(run),
        factories.execution(other),
        approval,
        *(
            factories.decision(approval, n, signalled_at=begun + timedelta(seconds=n), **why, **over)
            for n, over in ((2, {}), (3, {"judged": "refused"}), (4, {"attributed": True}), (5, {"inherited": True}))
        ),
        control(6),
        control(7, attributed=True),
        control(8, action="resume"),
        control(9, execution_id=other.execution_id, run_id=other.run_id),
    )
    path = "/api/v1/commands/unattributed"
    acts = [act for page in await pages(as_("viewer"), path, limit=1, run=run.run_id) for act in page]
    assert [(act["event_id"], act["action"]) for act in acts] == [(8, "resume"), (6, "pause"), (2, "approved")]
    assert {act["claimed_principal"] for act in acts} == {"cfo"}
    everywhere = [act for page in await pages(as_("auditor"), path, limit=2) for act in page]
    assert [act["event_id"] for act in everywhere if act["run_id"] == other.run_id] == [9]
    assert len({(act["execution_id"], act["event_id"]) for act in everywhere}) == len(everywhere)
    detail = (await as_("viewer").get(f"/api/v1/runs/{run.run_id}")).json()
    assert (detail["unattributed_signals"], detail["last_control"]["action"]) == (3, "resume")
    assert (await as_("nobody").get(path)).status_code == 403


async def test_the_overviews_counts_match_their_linked_lists(api: Api, as_):
    """F17: the overview counts every run status."""
    approval_run = factories.run(status="waiting", waiting_on="approval", initiator="somebody")
    rows = [
        approval_run,
        factories.run(status="queued"),
        factories.run(status="paused"),
        factories.run(status="waiting", waiting_on="worker"),
        factories.run(status="waiting", waiting_on="retry"),
        factories.run(status="waiting", waiting_on="timer"),
        factories.run(status="cancelling"),
        *(
            factories.run(status=status, closed_at=datetime.now(UTC))
            for status in ("failed", "timed_out", "terminated", "cancelled", "completed")
        ),
        factories.run(status="failed", closed_at=datetime.now(UTC) - timedelta(days=2)),
    ]
    failing = factories.run(status="running")
    approval = factories.under(api.plane.signer, factories.approval(approval_run))
    await factories.insert(
        api.plane.engine,
        *rows,
        failing,
        factories.execution(approval_run),
        factories.execution(failing, live_problem="NondeterminismError"),
        approval,
    )
    overview = (await as_("reviewer").get("/api/v1/overview")).json()
    for name, count in overview.items():
        if not isinstance(count, dict) or "href" not in count:
            continue
        path, _, query = count["href"].partition("?")
        listed = await pages(as_("reviewer"), path, **parse_qs(query), limit=200)
        assert sum(len(page) for page in listed) == count["count"], name
        assert count["count"] >= 1, name
    hrefs = [count["href"] for count in overview.values() if isinstance(count, dict) and "href" in count]
    counted = {status for href in hrefs for status in parse_qs(href.partition("?")[2]).get("status", ())}
    assert {status.value for status in RunStatus} <= counted, "a status that is not counted"
    assert overview["stuck"]["count"] >= 2
    assert overview["projection"]["stale"] is True
