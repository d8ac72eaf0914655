"""Downloads of whole inputs and outputs: from the database, from Temporal, from the archive, or with the reason why not."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import zstandard
from temporalio import workflow
from temporalio.api.history.v1 import History as Proto
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from agentgrid.api.openapi import document
from agentgrid.db.tables import History, Run
from agentgrid.temporal import archive
from tests.api import factories
from tests.api.conftest import Api

LONG = "ä" * 50_000
CUT = {"size": 200_000, "preview": "ää", "truncated": True}


@workflow.defn(name="Doubles")
class Doubles:
    @workflow.run
    async def run(self, text: str) -> str:
        return text * 2


async def test_a_long_value_is_downloaded_whole_from_temporal_and_then_from_the_archive(api: Api, as_: Any) -> None:
    client, queue = await Client.connect(api.settings.temporal_address), f"doubles-{uuid.uuid4()}"
    async with Worker(client, task_queue=queue, workflows=[Doubles], workflow_runner=UnsandboxedWorkflowRunner()):
        handle = await client.start_workflow("Doubles", LONG, id=f"odd {uuid.uuid4()} \u202e", task_queue=queue)
        await handle.result()
    history = await handle.fetch_history()
    run = factories.run(
        workflow_id=handle.id,
        first_execution_id=handle.first_execution_run_id,
        execution_id=handle.first_execution_run_id,
        status="completed",
        input=CUT,
        result=CUT,
    )
    last = history.events[-1].event_id
    execution = factories.execution(run, status="completed", last_event_id=last)
    await factories.insert(api.plane.engine, run, execution)
    path = f"/api/v1/runs/{run.run_id}"

    async def check_download() -> None:
        download = await as_("auditor").get(f"{path}/input/download")
        assert (download.status_code, download.json()) == (200, LONG)
        assert download.headers["content-type"] == "application/json"
        assert download.headers["content-disposition"] == f'attachment; filename="{run.run_id}-input.json"'
        assert (await as_("operator").get(f"{path}/result/download")).json() == LONG * 2

    await check_download()
    packed = zstandard.ZstdCompressor().compress(Proto(events=history.events).SerializeToString())
    await factories.insert(
        api.plane.engine,
        History(
            execution_id=run.first_execution_id or "",
            run_id=run.run_id,
            workflow_id=run.workflow_id,
            namespace="default",
            event_count=len(history.events),
            events=packed,
        ),
    )
    await client.workflow_service.delete_workflow_execution(_deletion(handle))
    await check_download()


def _deletion(handle: Any) -> Any:
    from temporalio.api.common.v1 import WorkflowExecution
    from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest

    execution = WorkflowExecution(workflow_id=handle.id, run_id=handle.first_execution_run_id)
    return DeleteWorkflowExecutionRequest(namespace="default", workflow_execution=execution)


async def stored(api: Api) -> Run:
    """A run whose steps have values of every form, and which is unknown to Temporal."""
    run = factories.run()
    await factories.insert(
        api.plane.engine,
        run,
        factories.execution(run),
        factories.step(
            run, 5, input={"size": 2, "value": {"a": 1}}, output={"size": 3, "arity": 2, "values": [1, None]}
        ),
        factories.step(run, 6, input=CUT, output={"size": 8, "encoding": "binary/encrypted", "opaque": True}),
        factories.step(run, 7, input={"size": 2, "value": 1}, changed_input={"size": 9, "value": "\ud800"}),
    )
    return run


async def test_a_short_value_is_downloaded_as_stored(api: Api, as_: Any) -> None:
    run = await stored(api)
    path = f"/api/v1/runs/{run.run_id}/steps/{run.execution_id}"
    assert (await as_("operator").get(f"{path}/5/input")).json() == {"a": 1}
    assert (await as_("operator").get(f"{path}/5/output")).json() == [1, None]
    assert (await as_("operator").get(f"{path}/7/input")).text == '"\\ud800"'


async def test_a_value_that_cannot_be_downloaded_says_why(api: Api, as_: Any) -> None:
    run = await stored(api)
    path = f"/api/v1/runs/{run.run_id}/steps/{run.execution_id}"
    gone = await as_("operator").get(f"{path}/6/input")
    assert (gone.status_code, gone.json()["code"]) == (410, "gone")
    assert "Temporal no longer has the history" in gone.json()["detail"]
    opaque = await as_("operator").get(f"{path}/6/output")
    assert opaque.status_code == 410
    assert "binary/encrypted" in opaque.json()["detail"]
    none = await as_("operator").get(f"{path}/7/output")
    assert (none.status_code, none.json()["code"]) == (404, "no_value")
    assert (await as_("operator").get(f"{path}/5/error")).status_code == 422


async def test_a_payload_in_the_api_names_its_form(api: Api, as_: Any) -> None:
    run = await stored(api)
    steps = (await as_("operator").get(f"/api/v1/runs/{run.run_id}/steps", params={"limit": 2})).json()["items"]
    assert [(step["input"]["form"], (step["output"] or {}).get("form")) for step in steps[:2]] == [
        ("value", "values"),
        ("preview", "opaque"),
    ]


async def test_a_value_from_an_oversized_archive_is_refused_as_documented(
    api: Api, as_: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 100)
    cut = {"truncated": True}
    run = factories.run(status="completed", input=cut, result=cut)
    long = factories.step(run, 5, input=cut, output=cut)
    packed = archive.pack([HistoryEvent(event_id=number) for number in range(1, 100)])
    execution = factories.execution(run, last_event_id=99)
    named: dict[str, Any] = {"run_id": run.run_id, "workflow_id": run.workflow_id, "namespace": "default"}
    stored = History(execution_id=execution.execution_id, **named, event_count=99, events=packed)
    await factories.insert(api.plane.engine, run, execution, long, stored)
    paths = document(api.app)["paths"]
    step = f"steps/{long.execution_id}/{long.event_id}/input"
    for tail, route in (
        ("history", "history"),
        ("input/download", "input/download"),
        ("result/download", "result/download"),
        (step, "steps/{execution_id}/{event_id}/{side}"),
    ):
        response = await as_("auditor").get(f"/api/v1/runs/{run.run_id}/{tail}")
        assert (response.status_code, response.json()["code"]) == (409, "conflict"), (tail, response.text)
        content = paths[f"/api/v1/runs/{{run_id}}/{route}"]["get"]["responses"]["409"]["content"]
        assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
