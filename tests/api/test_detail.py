"""One run in one response, the catalog, tools and their rules, workers, health, metrics, the OpenAPI document."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import zstandard
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import WorkerDeploymentVersion
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

from agentgrid.api.openapi import document
from agentgrid.db import policies
from agentgrid.db.session import reading, writing
from agentgrid.db.tables import History
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Risk
from agentgrid.domain.runs import RunStatus
from agentgrid.protocol import BUILD_GATE
from tests.api import factories
from tests.api.conftest import Api, eventually

SNAPSHOT = Path(__file__).parent / "openapi.json"


async def test_a_run_is_complete_in_one_response(api: Api, as_):
    parent = factories.run(
        status="waiting",
        waiting_on="approval",
        current_step="Post reply",
        step_count=4,
        steps_done=2,
        steps_failed=1,
        input={"size": 3, "value": "in"},
    )
    child = factories.run(parent_run_id=parent.run_id, trigger="child")
    approval = factories.approval(parent, approvers=["support-leads"])
    waiting = factories.step(parent, 9, status="waiting", title="Post reply", input={"size": 2, "value": "x"})
    await factories.insert(
        api.plane.engine,
        parent,
        child,
        factories.execution(parent),
        approval,
        waiting,
        factories.step(parent, 5),
    )

    run = (await as_("operator").get(f"/api/v1/runs/{parent.run_id}")).json()

    assert (run["status"], run["waiting_on"], run["current_step"]) == ("waiting", "approval", "Post reply")
    assert (run["steps"]["total"], run["steps"]["done"], run["steps"]["failed"]) == (4, 2, 1)
    assert [(step["event_id"], step["input"]) for step in run["steps"]["open"]] == [(9, None)]
    assert [item["run_id"] for item in run["children"]] == [child.run_id]
    assert [item["approval_id"] for item in run["approvals"]] == [approval.approval_id]
    assert run["executions"][0]["execution_id"] == parent.execution_id
    assert run["input"] == {"form": "value", "size": 3, "value": "in"}
    assert run["links"]["temporal_ui"].startswith("http://127.0.0.1:8233/namespaces/default/workflows/")
    assert run["next"]["approvers"] == ["support-leads"]
    assert "support-leads" in run["next"]["summary"]
    assert datetime.fromisoformat(run["next"]["until"]) == approval.expires_at
    assert run["next"]["actions"] == ["cancel", "terminate", "pause", "signal", "update"]
    verbs = {action["verb"]: action for action in run["actions"]}
    assert (verbs["resume"]["allowed"], verbs["cancel"]["allowed"]) == (False, True)
    watched = (await as_("viewer").get(f"/api/v1/runs/{parent.run_id}")).json()
    assert {action["allowed"] for action in watched["actions"]} == {False}
    assert all(
        "role operator or developer" in item["reason"]
        for item in watched["actions"]
        if item["verb"] not in ("resume", "interrupt")
    )
    assert watched["next"]["actions"] == []


async def test_history_comes_from_temporal_or_from_the_archive_once_archived(api: Api, as_):
    workflow_id = str(uuid.uuid4())
    handle = await api.plane.temporal.start_workflow("Waits", "hello", id=workflow_id, task_queue="nobody")
    await handle.signal("one")
    await handle.terminate()
    run = factories.run(
        run_id=workflow_id,
        first_execution_id=handle.first_execution_run_id,
        execution_id=handle.first_execution_run_id,
    )
    await factories.insert(api.plane.engine, run, factories.execution(run))
    path = f"/api/v1/runs/{run.run_id}/history"

    async def all_pages():
        events, sources, cursor = [], set(), None
        while True:
            params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
            page = (await as_("auditor").get(path, params=params)).json()
            events += page["items"]
            sources.add(page["source"])
            cursor = page["next_cursor"]
            if cursor is None:
                return events, sources

    live, source = await all_pages()
    assert source == {"temporal"}
    assert [event["eventId"] for event in live] == [str(n + 1) for n in range(len(live))]
    assert live[-1]["eventType"] == "EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED"

    history = await handle.fetch_history()
    from temporalio.api.history.v1 import History as Proto

    packed = zstandard.ZstdCompressor().compress(Proto(events=history.events).SerializeToString())
    await factories.insert(
        api.plane.engine,
        History(
            execution_id=run.execution_id,
            run_id=run.run_id,
            workflow_id=workflow_id,
            namespace="default",
            event_count=len(history.events),
            events=packed,
        ),
    )
    assert await all_pages() == (live, {"archive"})
    assert (await as_("auditor").get(path, params={"execution": "another"})).status_code == 404


async def test_a_version_has_its_schemas_and_its_predecessor(api: Api, as_):
    first, older = factories.workflow("changing", {"type": "object", "title": "Before"}, version="v1")
    _, newer = factories.workflow("changing", {"type": "object", "title": "After"}, version="v2")
    older.first_seen_at = datetime.now(UTC) - timedelta(days=1)
    newer.first_seen_at = datetime.now(UTC)
    await factories.insert(api.plane.engine, first, older, newer)
    body = (await as_("viewer").get("/api/v1/workflows/changing/versions/v2")).json()
    assert (body["input_schema"]["title"], body["previous"]) == ("After", "v1")
    before = (await as_("viewer").get("/api/v1/workflows/changing/versions/v1")).json()
    assert (before["input_schema"]["title"], before["previous"], before["handlers"]) == ("Before", None, None)
    gone = await as_("viewer").get("/api/v1/workflows/changing/versions/v3")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


async def test_a_workflow_has_its_schema_versions_numbers_and_last_run(api: Api, as_):
    schema = {"type": "object", "properties": {"id": {"type": "string"}}}
    await factories.insert(api.plane.engine, *factories.workflow("served", schema, task_queue="nobody-served"))
    runs = [
        factories.run(workflow="served"),
        factories.run(workflow="served", status="failed", closed_at=datetime.now(UTC)),
    ]
    await factories.insert(api.plane.engine, *runs)
    body = (await as_("operator").get("/api/v1/workflows/served")).json()
    assert body["input_schema"] == schema
    assert (body["served"], body["version"], [item["version"] for item in body["versions"]]) == (False, "v1", ["v1"])
    assert body["stats"] == {"open": {"running": 1}, "closed_24h": {"failed": 1}}
    assert body["last_run"]["run_id"] == runs[-1].run_id
    assert [(action["verb"], action["allowed"]) for action in body["actions"]] == [
        ("start", True),
        ("disable", False),
        ("enable", False),
    ]
    listed = (await as_("viewer").get("/api/v1/workflows", params={"q": "ERVE"})).json()["items"]
    assert [item["name"] for item in listed] == ["served"]


async def test_a_tools_rule_is_put_published_and_shown_and_every_version_is_kept(api: Api, as_):
    await factories.insert(api.plane.engine, factories.tool("wire_money", risk="destructive"))
    path = "/api/v1/tools/wire_money"
    before = (await as_("viewer").get(path)).json()["policy"]
    assert (before["rule"], before["effect"]) == ("default:destructive@1", "require_approval")

    rule = {"effect": "require_approval", "approvers": ["support-leads"], "expires_seconds": 600, "reason": "four eyes"}
    put = await as_("admin").put(f"{path}/policy", json=rule)
    assert put.status_code == 200, put.text
    again = await as_("admin").put(f"{path}/policy", json={**rule, "expires_seconds": 60})

    assert (again.json()["policy"]["rule"], again.json()["policy"]["created_by"]) == ("tool:wire_money@2", "admin")
    async with reading(api.plane.engine) as session:
        snapshot = await policies.newest_snapshot(session)
    applied = snapshot.rule_for("wire_money", Risk.DESTRUCTIVE)
    assert (applied.reference, applied.effect, applied.approvers) == (
        "tool:wire_money@2",
        Effect.REQUIRE_APPROVAL,
        ("support-leads",),
    )
    assert snapshot.keys_in_force[api.plane.signer.key_id] == api.plane.signer.public_key
    audit = (await as_("auditor").get("/api/v1/commands", params={"kind": "tool.policy"})).json()["items"]
    assert [(item["status"], item["target"], item["principal"]) for item in audit[:2]] == [
        ("applied", "wire_money", "admin")
    ] * 2
    refused = await as_("operator").put(f"{path}/policy", json=rule)
    assert (refused.status_code, "role admin" in refused.json()["detail"]) == (403, True)
    assert (await as_("admin").put(f"{path}/policy", json={**rule, "approvers": []})).status_code == 422
    assert (await as_("admin").put("/api/v1/tools/none/policy", json=rule)).status_code == 404


async def test_concurrent_policy_changes_are_all_kept(api: Api, as_):
    names = [f"rush_{n}" for n in range(8)]
    await factories.insert(api.plane.engine, *(factories.tool(name) for name in names))
    answers = await asyncio.gather(
        *(as_("admin").put(f"/api/v1/tools/{name}/policy", json={"effect": "deny"}) for name in names)
    )
    assert {response.status_code for response in answers} == {200}
    async with reading(api.plane.engine) as session:
        snapshot = await policies.newest_snapshot(session)
    assert {name for name in names if snapshot.rule_for(name, Risk.READ).effect is Effect.DENY} == set(names)


@workflow.defn(name="Served")
class Served:
    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)


@activity.defn
async def served_now() -> None:
    """Only served by a poller."""


async def test_workers_and_queues_show_what_is_served_and_what_is_not(api: Api, as_):
    queue, before = f"served-{uuid.uuid4()}", datetime.now(UTC) - timedelta(minutes=1)
    await factories.insert(
        api.plane.engine,
        *factories.workflow("Served", {"type": "null"}, task_queue=queue),
        *factories.workflow("Served_before", {"type": "null"}, task_queue=queue, registered_at=before),
        factories.tool("served_now", task_queue=queue),
        factories.tool("served_before", task_queue=queue, registered_at=before),
        factories.run(task_queue="deserted", workflow="Gone"),
    )
    runtime = Runtime(telemetry=TelemetryConfig(), worker_heartbeat_interval=timedelta(seconds=1))
    client = await Client.connect(api.settings.temporal_address, runtime=runtime)
    # Unsandboxed: the sandbox would load this module, and with it the database driver, a second time.
    version = WorkerDeploymentVersion(deployment_name="served", build_id=f"{BUILD_GATE}b1")
    async with Worker(
        client,
        task_queue=queue,
        workflows=[Served],
        activities=[served_now],
        workflow_runner=UnsandboxedWorkflowRunner(),
        deployment_config=WorkerDeploymentConfig(version=version, use_worker_versioning=False),
    ):

        async def seen():
            items = (await as_("viewer").get("/api/v1/workers")).json()["items"]
            return [item for item in items if item["task_queue"] == queue]

        async def served():
            items = (await as_("viewer").get("/api/v1/task-queues")).json()["items"]
            return {item["name"]: item for item in items}.get(queue, {}).get("served")

        await eventually(served)
        await eventually(seen, seconds=40)
        (worker,) = await seen()
        assert (worker["status"], worker["sdk"].split()[0]) == ("live", "temporal-python")
        assert worker["build"] == "served.b1"
        queues = (await as_("viewer").get("/api/v1/task-queues")).json()["items"]
        by_name = {item["name"]: item for item in queues}
        assert (by_name[queue]["workflows"], by_name[queue]["served"]) == (["Served", "Served_before"], True)
        assert (by_name["deserted"]["served"], by_name["deserted"]["open_runs"]) == (False, 1)
        assert [item["served"] for item in queues] == sorted(item["served"] for item in queues)

        # After a rename the worker still polls the queue of the old name but has no code for it.
        async def listed(noun):
            items = (await as_("viewer").get(f"/api/v1/{noun}", params={"limit": 200})).json()["items"]
            return {item["name"]: item["served"] for item in items if item["task_queue"] == queue}

        async def served():
            expected = {"Served": True, "Served_before": False}, {"served_now": True, "served_before": False}
            return (await listed("workflows"), await listed("tools")) == expected

        await eventually(served)  # its workflow and activity pollers may start at different times
        for path, expected in (
            ("workflows/Served_before", False),
            ("tools/served_now", True),
            ("tools/served_before", False),
        ):
            assert (await as_("viewer").get(f"/api/v1/{path}")).json()["served"] is expected


async def test_readiness_follows_the_projectors_reports(api: Api, as_):
    async def say(lag: float, age: timedelta) -> dict:
        async with writing(api.plane.engine) as session:
            await session.execute(
                text(
                    "INSERT INTO projector_state (name, value, updated_at)"
                    " VALUES ('lag', json_build_object('lag_seconds', CAST(:lag AS float)), now() - CAST(:age AS interval))"
                    " ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at"
                ),
                {"lag": lag, "age": age},
            )
        response = await as_(None).get("/readyz")
        assert response.status_code == 200
        overview = (await as_("viewer").get("/api/v1/overview")).json()
        assert overview["projection"]["stale"] == response.json()["projection"]["stale"]
        return response.json()

    fresh = await say(0.2, timedelta(0))
    behind = await say(31.0, timedelta(0))
    silent = await say(0.2, timedelta(minutes=2))
    assert [item["status"] for item in (fresh, behind, silent)] == ["ready", "degraded", "degraded"]
    assert (fresh["projection"]["lag_seconds"], behind["projection"]["stale"]) == (0.2, True)
    assert {item["name"]: item["ok"] for item in silent["dependencies"]} == {
        "database": True,
        "temporal": True,
        "projector": False,
    }


async def test_metrics_are_in_prometheus_format_and_count_by_route_pattern(api: Api, as_):
    await as_("viewer").get("/api/v1/runs/some-id-that-must-not-be-a-label")
    text_format = (await as_("viewer").get("/metrics")).text
    assert 'agentgrid_http_requests_total{method="GET",route="/api/v1/runs/{run_id}",status="404"}' in text_format
    assert "some-id" not in text_format
    assert "agentgrid_commands_pending" in text_format


async def test_metrics_count_each_run_once_and_a_status_that_emptied_falls_to_zero(api: Api, as_):
    async def scraped() -> dict[str, float]:
        families = text_string_to_metric_families((await as_("viewer").get("/metrics")).text)
        samples = [
            sample for family in families for sample in family.samples if sample.name.startswith("agentgrid_runs")
        ]
        names = [sample.labels.get("status", sample.name) for sample in samples]
        assert len(names) == len(set(names))
        return dict(zip(names, (sample.value for sample in samples), strict=True))

    before = await scraped()
    assert set(before) == {*RunStatus, "agentgrid_runs_waiting_for_approval", "agentgrid_runs_stuck"}

    asking = factories.run(status="waiting", waiting_on="approval")
    deserted = factories.run(status="waiting", waiting_on="worker")
    ending = factories.run(status="cancelling")
    await factories.insert(api.plane.engine, asking, deserted, ending)
    during = await scraped()
    assert {name: during[name] - before[name] for name in during if during[name] != before[name]} == {
        "waiting": 2,
        "cancelling": 1,
        "agentgrid_runs_waiting_for_approval": 1,
        "agentgrid_runs_stuck": 1,
    }

    async with writing(api.plane.engine) as session:
        await session.execute(
            text("UPDATE runs SET status = 'cancelled', waiting_on = NULL, closed_at = now() WHERE run_id = ANY(:ids)"),
            {"ids": [asking.run_id, deserted.run_id, ending.run_id]},
        )
    assert await scraped() == before | {"cancelled": before["cancelled"] + 3}


async def test_me_names_the_caller(as_):
    me = (await as_("reviewer").get("/api/v1/me")).json()
    assert (me["name"], me["kind"], me["roles"], me["groups"]) == ("reviewer", "human", ["approver"], ["support-leads"])
    assert me["permissions"] == ["decide", "read"]
    assert "secret" not in json.dumps(me)


async def test_the_openapi_document_is_the_pinned_one(api: Api, as_):
    """After an intended change: `AGENTGRID_PIN=1 .venv/bin/pytest tests/api/test_detail.py -k openapi`, and review the diff."""
    served = (await as_(None).get("/api/openapi.json")).json()
    assert served == document(api.app)
    written = json.dumps(served, indent=1, sort_keys=True) + "\n"
    if os.environ.get("AGENTGRID_PIN"):
        SNAPSHOT.write_text(written)
    assert SNAPSHOT.read_text() == written


def test_the_openapi_document_names_a_permission_and_the_problems_of_every_route(api: Api):
    openapi = document(api.app)
    operations = [operation for path in openapi["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["summary"]
        assert "application/problem+json" in operation["responses"]["422"]["content"]
        if "security" in operation:
            assert {"401"} <= set(operation["responses"])
