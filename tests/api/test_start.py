"""Starting runs: the simplest path through the whole API, then idempotency and refusals."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from temporalio.client import Client, WorkflowExecutionStatus

from agentgrid import protocol
from agentgrid.control.signing import memo_bytes
from agentgrid.db.session import writing
from agentgrid.db.tables import WorkflowVersion
from tests.api import factories
from tests.api.conftest import Api, running

SCHEMA = {
    "$defs": {"Ticket": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}},
    "$ref": "#/$defs/Ticket",
}


async def catalog(api: Api, name: str, schema: dict | None = None) -> str:
    await factories.insert(api.plane.engine, *factories.workflow(name, SCHEMA if schema is None else schema))
    return f"/api/v1/workflows/{name}/runs"


async def temporal(api: Api) -> Client:
    return api.plane.temporal


async def test_a_started_run_is_visible_at_once_and_in_temporal_under_the_same_id(api: Api, as_):
    path = await catalog(api, "thread")

    response = await as_("operator").post(
        path, json={"input": {"id": "T-1"}, "reference": "T-1", "tags": ["a", "a"], "priority": 2, "note": "please"}
    )

    assert response.status_code == 201, response.text
    run = response.json()
    assert response.headers["location"] == f"/api/v1/runs/{run['run_id']}"
    assert (run["status"], run["initiator"], run["trigger"], run["tags"]) == ("queued", "operator", "api", ["a"])
    assert run["command"]["status"] == "delivered"
    described = await (await temporal(api)).get_workflow_handle(run["run_id"]).describe()
    assert described.status is WorkflowExecutionStatus.RUNNING
    assert described.workflow_type == "thread"
    memo = protocol.RunMemo.model_validate(await described.memo_value(protocol.MEMO))
    assert (memo.run_id, memo.initiator, memo.command_id) == (run["run_id"], "operator", run["command_id"])
    api.plane.signer.private_key.public_key().verify(__import__("base64").b64decode(memo.signature), memo_bytes(memo))
    history = await (await temporal(api)).get_workflow_handle(run["run_id"]).fetch_history()
    started = history.events[0].workflow_execution_started_event_attributes
    header = protocol.RunHeader.model_validate_json(started.header.fields[protocol.HEADER_RUN].data)
    assert (header.tree, header.initiator) == (run["run_id"], "operator")

    shown = await as_("viewer").get(f"/api/v1/runs/{run['run_id']}")
    assert shown.status_code == 200
    listed = await as_("viewer").get("/api/v1/runs", params={"workflow": "thread", "reference": "T-1"})
    assert [item["run_id"] for item in listed.json()["items"]] == [run["run_id"]]


async def test_the_response_to_a_start_equals_the_run_as_read(api: Api, as_):
    path = await catalog(api, "answers")
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    full = {"input": {"id": "T-1"}, "reference": "r", "tags": ["a", "b"], "priority": 2, "note": "n"}

    for given in (full, {"input": {"id": "T-2"}}, {"input": {"id": "T-3"}, "start_at": later}):
        response = (await as_("operator").post(path, json=given)).json()
        command = response.pop("command")

        assert response == (await as_("operator").get(f"/api/v1/runs/{response['run_id']}")).json()
        read = (await as_("operator").get(f"/api/v1/commands/{command['command_id']}")).json()
        assert command == {name: value for name, value in read.items() if name != "body"}


async def test_each_start_is_checked_against_the_current_state_of_the_workflow(api: Api, as_):
    path = await catalog(api, "changes")
    ticket = {"input": {"id": "1"}}
    assert (await as_("operator").post(path, json=ticket)).status_code == 201

    await as_("admin").post("/api/v1/workflows/changes/disable")
    assert (await as_("operator").post(path, json=ticket)).json()["current_status"] == "disabled"
    await as_("admin").post("/api/v1/workflows/changes/enable")
    assert (await as_("operator").post(path, json=ticket)).status_code == 201

    newer = WorkflowVersion(name="changes", version="v2", input_schema={"type": "integer"}, build="b2")
    await factories.insert(api.plane.engine, newer)
    async with writing(api.plane.engine) as session:
        await session.execute(text("UPDATE workflows SET version = 'v2', task_queue = 'other' WHERE name = 'changes'"))
    # The new schema accepts what the old one refused, and vice versa.
    started = await as_("operator").post(path, json={"input": 7})
    assert (started.status_code, started.json()["version"], started.json()["task_queue"]) == (201, "v2", "other")
    assert (await as_("operator").post(path, json=ticket)).status_code == 422
    described = await (await temporal(api)).get_workflow_handle(started.json()["run_id"]).describe()
    assert described.task_queue == "other"


async def test_input_that_does_not_match_the_schema_is_refused_with_a_pointer_and_audited(api: Api, as_):
    path = await catalog(api, "picky")

    response = await as_("operator").post(path, json={"input": {"id": 7}})

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["code"] == "invalid_input"
    assert [fault["pointer"] for fault in problem["faults"]] == ["/input/id"]
    command = (await as_("operator").get(f"/api/v1/commands/{problem['command_id']}")).json()
    assert (command["status"], command["target"], command["outcome"]["code"]) == ("refused", "picky", "invalid_input")


async def test_the_same_idempotency_key_and_body_is_the_same_run_and_a_different_body_a_conflict(api: Api, as_):
    path = await catalog(api, "once")
    headers = {"Idempotency-Key": "order-7"}

    first = await as_("operator").post(path, json={"input": {"id": "1"}}, headers=headers)
    again = await as_("operator").post(path, json={"input": {"id": "1"}}, headers=headers)
    other = await as_("operator").post(path, json={"input": {"id": "2"}}, headers=headers)
    somebody = await as_("developer").post(path, json={"input": {"id": "2"}}, headers=headers)

    assert (first.status_code, again.status_code, other.status_code, somebody.status_code) == (201, 200, 409, 201)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["run_id"] == first.json()["run_id"] != somebody.json()["run_id"]
    assert other.json()["code"] == "idempotency_conflict"


async def test_fifty_equal_posts_at_once_start_one_run(api: Api, as_):
    path = await catalog(api, "crowd")

    async def post():
        return await as_("operator").post(path, json={"input": {"id": "1"}}, headers={"Idempotency-Key": "crowd-1"})

    answers = await asyncio.gather(*(post() for _ in range(50)))

    assert sorted({response.status_code for response in answers}) == [200, 201]
    assert [response.status_code for response in answers].count(201) == 1
    assert len({response.json()["run_id"] for response in answers}) == 1
    listed = (await as_("operator").get("/api/v1/runs", params={"workflow": "crowd"})).json()
    assert len(listed["items"]) == 1


async def test_the_same_idempotency_key_is_the_same_run_in_another_and_in_a_restarted_api(api: Api, as_):
    path = await catalog(api, "restarted")
    body, headers = {"input": {"id": "1"}}, {"Idempotency-Key": "over-restarts"}
    first = await as_("operator").post(path, json=body, headers=headers)
    for _ in range(2):
        async with running(api.settings, api.tokens) as another, another.client("operator") as client:
            again = await client.post(path, json=body, headers=headers)
            other = await client.post(path, json={"input": {"id": "2"}}, headers=headers)
        assert (again.status_code, other.status_code) == (200, 409)
        assert again.json()["run_id"] == first.json()["run_id"]
