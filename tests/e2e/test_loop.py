"""The whole loop, as users see it: from a workflow in code to a finished, projected and audited run."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError

from agentgrid.api.schemas.events import EventOut
from tests.e2e.conftest import Loop, steps_of
from tests.worker import gated

pytestmark = pytest.mark.usefixtures("mirrored")


async def test_a_ticket_is_triaged_with_an_approval_and_everything_is_shown(loop: Loop) -> None:
    run_id = await loop.start(
        "support_triage", {"ticket_id": "T-1002"}, reference="T-1002", tags=["demo"], note="by hand"
    )
    waiting = await loop.until(run_id, "waiting")
    assert waiting["waiting_on"] == "approval"
    approval = await loop.approval(run_id)
    assert (approval["title"], approval["tool"]) == ("Refund 48.00 USD on ticket T-1002", "refund_ticket")
    assert approval["payload"]["value"]["amount_cents"] == 4_800
    assert (await loop.run(run_id))["actions"]
    waited = asyncio.create_task(loop.call("operator", "GET", f"/runs/{run_id}/result?wait=30"))
    await loop.decide(approval, comment="looks right")
    result = await waited
    assert (result["status"], "RE-" in str(result["result"])) == ("completed", True)
    run = await loop.until(run_id)
    assert run["status"] == "completed"
    assert run["initiator"] == "operator"
    assert run["version"]
    async with loop.api.client("viewer") as client:
        # The stream ends, because the run has ended.
        stream = (await client.get(f"/api/v1/runs/{run_id}/events")).text
    live = [EventOut.validate_json(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    assert {event.kind for event in live} == {"run", "step", "approval", "end"}
    steps = [(step["kind"], step["name"]) for step in await steps_of(loop, run_id)]
    assert steps == [
        ("tool", "fetch_ticket"),
        ("tool", "classify_ticket"),
        ("agent", "triager"),
        ("model", "triager"),
        ("tool", "fetch_ticket"),
        ("model", "triager"),
        ("tool", "search_articles"),
        ("model", "triager"),
        ("tool", "refund_ticket"),
        ("model", "triager"),
        ("tool", "fetch_ticket"),
        ("tool", "post_reply"),
        ("tool", "create_task"),
    ]
    assert {step["status"] for step in await steps_of(loop, run_id)} == {"completed"}
    commands = (await loop.call("auditor", "GET", f"/commands?run={run_id}"))["items"]
    assert {(command["kind"], command["principal"], command["status"]) for command in commands} == {
        ("run.start", "operator", "applied"),
        ("approval.decide", "reviewer", "applied"),
    }
    await loop.reports(run_id, "logs", lambda logs: "ticket_classified" in [line["message"] for line in logs])
    # The refund has two jobs: one that asked for an approval, and one with the decision.
    jobs = await loop.reports(run_id, "jobs", lambda jobs: [job["status"] for job in jobs].count("completed") >= 12)
    assert sorted(job["status"] for job in jobs) == ["completed"] * 12 + [
        "gated"
    ]  # the first call asked for an approval


async def test_a_run_is_paused_resumed_and_cancelled(loop: Loop) -> None:
    run_id = await loop.start("gated", "forever")
    await loop.until(run_id, "running", "waiting")
    await loop.call("operator", "POST", f"/runs/{run_id}/pause", 202, json={"reason": "look"})
    assert (await loop.until(run_id, "paused"))["status"] == "paused"
    await loop.call("operator", "POST", f"/runs/{run_id}/pause", 409, json={})
    await loop.call("operator", "POST", f"/runs/{run_id}/resume", 202, json={})
    await loop.until(run_id, "running", "waiting")
    await loop.call("operator", "POST", f"/runs/{run_id}/cancel", 202, json={"reason": "enough"})
    run = await loop.until(run_id)
    assert run["status"] == "cancelled"
    commands = (await loop.call("auditor", "GET", f"/commands?run={run_id}"))["items"]
    assert {(command["kind"], command["status"]) for command in commands} == {
        ("run.start", "applied"),
        ("run.pause", "applied"),
        ("run.pause", "refused"),
        ("run.resume", "applied"),
        ("run.cancel", "applied"),
    }


async def test_children_are_linked_and_inherit_the_initiator(loop: Loop) -> None:
    run_id = await loop.start("lead_qualification", {"lead_id": "L-201"})
    run = await loop.until(run_id)
    assert run["status"] == "completed"
    (child,) = run["children"]
    mirrored = await loop.until(child["run_id"])
    assert mirrored["workflow"] == "account_update"
    assert (mirrored["parent_run_id"], mirrored["initiator"], mirrored["trigger"]) == (run_id, "operator", "child")


async def test_a_workflow_that_agentgrid_did_not_start_is_shown(loop: Loop) -> None:
    handle = await loop.client.start_workflow("Shapes", "local", id="elsewhere/1", task_queue="plain")
    await handle.result()
    async with asyncio.timeout(30):
        while not (runs := await loop.call("operator", "GET", "/runs?q=elsewhere/1"))["items"]:
            await asyncio.sleep(0.05)
    run = await loop.until(runs["items"][0]["run_id"])
    assert run["initiator"] == "unknown"
    assert run["trigger"] == "external"
    assert [step["kind"] for step in await steps_of(loop, run["run_id"])] == ["activity", "activity"]


async def test_invalid_input_is_refused_with_its_place_and_starts_no_run(loop: Loop) -> None:
    problem = await loop.call(
        "operator", "POST", "/workflows/support_triage/runs", 422, json={"input": {"ticket_id": 7}}
    )
    assert problem["code"] == "invalid_input"
    assert problem["faults"][0]["pointer"] == "/input/ticket_id"
    await loop.call("operator", "POST", "/workflows/nothing/runs", 404, json={"input": {}})


async def test_a_run_that_continues_as_new_is_one_run(loop: Loop) -> None:
    handle = await loop.client.start_workflow("Shapes", "continue_as_new", id="continued", task_queue="plain")
    await handle.result()
    run: dict[str, Any] = {}
    async with asyncio.timeout(30):
        while not run:
            listed = (await loop.call("operator", "GET", "/runs?workflow=Shapes&limit=50"))["items"]
            run = next((item for item in listed if item["run_id"] == handle.first_execution_run_id), {})
    waited = await loop.call("operator", "GET", f"/runs/{run['run_id']}/result?wait=30")
    ended = await loop.until(run["run_id"], "completed")
    assert {execution["kind"] for execution in ended["executions"]} == {"first", "continued"}
    assert (waited["status"], waited["result"]) == ("completed", ended["result"])


async def test_a_run_that_times_out_has_that_status(loop: Loop) -> None:
    handle = await loop.client.start_workflow(
        "gated", "forever", id="too-slow", task_queue="gated", execution_timeout=timedelta(seconds=1)
    )
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    async with asyncio.timeout(30):
        while True:
            runs = (await loop.call("operator", "GET", "/runs?status=timed_out"))["items"]
            if runs:
                break
    assert runs[0]["run_id"] == handle.first_execution_run_id


async def test_a_failing_tool_shows_its_attempts_and_next_retry(loop: Loop) -> None:
    run_id = await loop.start("gated", "flaky")
    async with asyncio.timeout(30):
        while (waiting := await loop.run(run_id))["waiting_on"] != "retry":
            await asyncio.sleep(0.05)
    assert waiting["next_at"] is not None
    async with asyncio.timeout(30):
        while (step := (await steps_of(loop, run_id))[0])["live_next_retry_at"] is None:
            await asyncio.sleep(0.05)
    assert step["live_attempt"] >= 2
    assert "not yet" in str(step["live_error"])
    gated.HEALED.set()
    assert (await loop.until(run_id))["status"] == "completed"
    (step,) = await steps_of(loop, run_id)
    assert step["attempts"] >= 2
    jobs = await loop.reports(run_id, "jobs", lambda jobs: "completed" in [job["status"] for job in jobs])
    assert {job["status"] for job in jobs} == {"failed", "completed"}
