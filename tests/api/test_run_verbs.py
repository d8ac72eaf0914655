"""The verbs on a run, as observed in Temporal."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import update
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus

from agentgrid.db.session import writing
from agentgrid.db.tables import Run
from agentgrid.projector.fold.state import FoldState
from agentgrid.protocol import SENDER_PREFIX, SIGNAL_CONTROL, ControlSignal
from agentgrid.sdk.state import MAX_SIGNAL_BYTES
from tests.api import factories
from tests.api.conftest import Api


async def open_run(api: Api, *, own: bool = True, **over):
    """A run that is open in Temporal and in the projection."""
    workflow_id = over.pop("workflow_id", None) or str(uuid.uuid4())
    handle = await api.plane.temporal.start_workflow("Waits", id=workflow_id, task_queue=f"nobody-{workflow_id}")
    run = factories.run(
        run_id=workflow_id if own else handle.first_execution_run_id,
        workflow_id=workflow_id,
        first_execution_id=handle.first_execution_run_id,
        execution_id=handle.first_execution_run_id,
        **over,
    )
    await factories.insert(api.plane.engine, run, factories.execution(run))
    return run, handle


async def act(client, run, verb, **body):
    return await client.post(f"/api/v1/runs/{run.run_id}/{verb}", json=body)


async def events(handle, kind):
    return [event for event in (await handle.fetch_history()).events if event.event_type == kind]


@pytest.mark.parametrize("own", [True, False], ids=["started by AgentGrid", "started outside AgentGrid"])
async def test_cancel_requests_cancellation_and_records_the_command_id(api: Api, as_, own: bool):
    run, handle = await open_run(api, own=own)
    response = await act(as_("operator"), run, "cancel", reason="wrong customer")
    assert response.status_code == 202, response.text
    command = response.json()["command"]
    assert (command["kind"], command["status"], command["reason"]) == ("run.cancel", "delivered", "wrong customer")
    (event,) = await events(handle, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED)
    attributes = event.workflow_execution_cancel_requested_event_attributes
    assert (attributes.identity, attributes.cause) == (f"{SENDER_PREFIX}{command['command_id']}", "wrong customer")


async def test_terminate_ends_the_run_at_once(api: Api, as_):
    run, handle = await open_run(api)
    response = await act(as_("operator"), run, "terminate", reason="enough")
    assert response.status_code == 202
    assert (await handle.describe()).status is WorkflowExecutionStatus.TERMINATED
    again = await act(as_("operator"), run, "terminate")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


async def test_pause_and_resume_are_signals_that_name_the_principal_and_the_command(api: Api, as_):
    run, handle = await open_run(api)
    paused = await act(as_("operator"), run, "pause", reason="hold on")
    assert paused.status_code == 202
    async with writing(api.plane.engine) as session:
        await session.execute(update(Run).where(Run.run_id == run.run_id).values(status="paused"))
    resumed = await act(as_("operator"), run, "resume")
    assert resumed.status_code == 202
    sent = await events(handle, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
    signals = []
    for event in sent:
        attributes = event.workflow_execution_signaled_event_attributes
        assert attributes.signal_name == SIGNAL_CONTROL
        signals.append(ControlSignal.model_validate_json(attributes.input.payloads[0].data))
        assert attributes.request_id == signals[-1].command_id
    assert [(item.action, item.principal, item.reason) for item in signals] == [
        ("pause", "operator", "hold on"),
        ("resume", "operator", None),
    ]


@pytest.mark.parametrize(
    ("taken", "why"),
    [(False, "no worker has completed the run's first task"), (True, "without the AgentGrid plugin")],
    ids=["not taken", "taken without the plugin"],
)
async def test_a_refused_pause_mentions_the_plugin_only_once_a_worker_has_taken_the_run(
    api: Api, as_, taken: bool, why: str
):
    run = factories.run(governed=False, status="waiting", waiting_on="worker")
    # A NUL in a worker's data must not prevent anyone from reading or ending the run.
    folded = FoldState(execution_id=run.execution_id, problem="\x00").dump()
    await factories.insert(api.plane.engine, run, factories.execution(run, fold_state=folded, taken=taken))

    refused = await act(as_("operator"), run, "pause")
    assert refused.status_code == 409
    assert why in refused.json()["detail"]
    actions = (await as_("operator").get(f"/api/v1/runs/{run.run_id}")).json()["actions"]
    assert [why in item["reason"] for item in actions if item["verb"] == "pause"] == [True]


async def test_a_queued_run_cannot_be_paused_because_it_is_queued(api: Api, as_):
    run = factories.run(status="queued", governed=False, execution_id=None, first_execution_id=None)
    await factories.insert(api.plane.engine, run)
    assert "is queued" in (await act(as_("operator"), run, "pause")).json()["detail"]


async def test_a_signal_reaches_the_workflow_with_its_arguments(api: Api, as_):
    run, handle = await open_run(api, own=False)
    response = await act(as_("operator"), run, "signal", name="nudge", arguments=[{"a": 1}, "b"])
    assert response.status_code == 202
    (event,) = await events(handle, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
    attributes = event.workflow_execution_signaled_event_attributes
    assert attributes.signal_name == "nudge"
    assert await api.plane.temporal.data_converter.decode(attributes.input.payloads) == [{"a": 1}, "b"]


@pytest.mark.parametrize("name", ["agentgrid.decide", "agentgrid.control", "__temporal_x"])
async def test_the_gates_own_signals_cannot_be_sent_by_hand(api: Api, as_, name: str):
    run, handle = await open_run(api)
    response = await act(as_("operator"), run, "signal", name=name)
    assert response.status_code == 422
    assert response.json()["faults"][0]["pointer"] == "/name"
    assert await events(handle, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) == []


async def test_an_interruption_carries_its_message_up_to_the_size_a_worker_accepts(api: Api, as_):
    run, handle = await open_run(api)
    await factories.insert(api.plane.engine, factories.step(run, 5, kind="agent", name="desk", status="running"))
    long = await act(as_("operator"), run, "interrupt", message="\u0001" * 1_000)
    assert (long.status_code, long.json()["faults"][0]["pointer"]) == (422, "/message")

    message, reason = "ä" * 2_400, "\u0001" * 4_000
    response = await act(as_("operator"), run, "interrupt", message=message, reason=reason)
    assert response.status_code == 202, response.text
    (event,) = await events(handle, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
    (payload,) = event.workflow_execution_signaled_event_attributes.input.payloads
    sent = ControlSignal.model_validate_json(payload.data)
    assert (sent.action, sent.message, len(payload.data) <= MAX_SIGNAL_BYTES) == ("interrupt", message, True)


async def test_an_interruption_does_not_reach_child_runs_and_the_refusal_says_how_to(api: Api, as_):
    parent = factories.run()
    child, handle = await open_run(api, parent_run_id=parent.run_id)
    at_work = factories.step(child, 5, kind="agent", name="desk", status="running")
    await factories.insert(api.plane.engine, parent, factories.execution(parent), at_work)
    refused = await act(as_("operator"), parent, "interrupt")
    assert refused.status_code == 409
    assert "To interrupt an agent in a child run, use the child's id" in refused.json()["detail"]
    assert (await act(as_("operator"), child, "interrupt")).status_code == 202
    assert len(await events(handle, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)) == 1


IMPOSSIBLE = {
    "cancel an ended run": ("cancel", {"status": "completed"}, "completed"),
    "pause a queued run": ("pause", {"status": "queued"}, "queued"),
    "pause an ungoverned run": ("pause", {"governed": False}, "running"),
    "resume a run that is not paused": ("resume", {}, "running"),
    "interrupt a run without a running agent": ("interrupt", {}, "running"),
    "cancel twice": ("cancel", {"status": "cancelling"}, "cancelling"),
}


@pytest.mark.parametrize(("verb", "over", "status"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
async def test_an_impossible_verb_is_an_audited_conflict_with_the_status(api: Api, as_, verb, over, status):
    run = factories.run(**over)
    await factories.insert(api.plane.engine, run)
    response = await act(as_("operator"), run, verb, reason="why not")
    problem = response.json()
    assert (response.status_code, problem["code"], problem["current_status"]) == (409, "conflict", status)
    audit = (await as_("auditor").get("/api/v1/commands", params={"run": run.run_id})).json()["items"]
    assert [(command["status"], command["command_id"]) for command in audit] == [("refused", problem["command_id"])]
    detail = (await as_("operator").get(f"/api/v1/runs/{run.run_id}")).json()
    action = next(action for action in detail["actions"] if action["verb"] == verb)
    assert (action["allowed"], action["reason"]) == (False, problem["detail"])


async def test_a_run_that_temporal_no_longer_has_cannot_be_acted_on(api: Api, as_):
    run = factories.run()
    await factories.insert(api.plane.engine, run, factories.execution(run))
    response = await act(as_("operator"), run, "cancel")
    assert response.status_code == 409
    assert "no longer has this run" in response.json()["detail"]


async def test_a_workflow_id_reused_by_somebody_else_is_left_alone(api: Api, as_):
    shared = f"orders/{uuid.uuid4()}"
    run, first = await open_run(api, own=False, workflow_id=shared)
    await first.terminate()
    other = await api.plane.temporal.start_workflow("Waits", id=shared, task_queue="nobody")
    for verb, body in (("signal", {"name": "nudge"}), ("cancel", {}), ("terminate", {})):
        assert (await act(as_("operator"), run, verb, **body)).status_code == 409, verb
    assert (await other.describe()).status is WorkflowExecutionStatus.RUNNING
    kinds = {event.event_type for event in (await other.fetch_history()).events}
    assert EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED not in kinds
    assert EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED not in kinds
