"""From a workflow in code to a finished, mirrored, audited run: the whole loop, as its users meet it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from temporalio.client import WorkflowFailureError
from temporalio.common import RawValue

from agentgrid.api.schemas.events import StreamData
from agentgrid.control import principals
from agentgrid.domain.approvals import Verdict
from agentgrid.projector.rebuild import rebuild
from agentgrid.protocol import SIGNAL_DECIDE, to_payload
from agentgrid.testing import Governance, open_approvals
from tests import oracle
from tests.api.conftest import SETUP
from tests.e2e.conftest import Loop
from tests.worker import gated
from tests.worker.conftest import reset


@pytest.fixture(autouse=True)
async def mirrored(loop: Loop) -> AsyncIterator[None]:
    """After each test an oracle that shares no code with the projector reads Temporal itself, and compares every run with the API's answer."""
    loop.runs.clear()
    yield

    for run_id in list(loop.runs):

        async def ask(run_id: str = run_id) -> tuple[Any, Any, Any]:
            approvals = (await loop.call("operator", "GET", f"/runs/{run_id}/approvals"))["items"]
            return await loop.run(run_id), await steps(loop, run_id), approvals

        await oracle.eventually(loop.client, ask)


async def steps(loop: Loop, run_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await loop.call("operator", "GET", f"/runs/{run_id}/steps?limit=200"))["items"]
    return found


async def test_a_ticket_is_triaged_with_an_approval_and_everything_is_told(loop: Loop) -> None:
    run_id = await loop.start(
        "support_triage", {"ticket_id": "T-1002"}, reference="T-1002", tags=["demo"], note="by hand"
    )
    waiting = await loop.until(run_id, "waiting")
    assert waiting["waiting_on"] == "approval"
    approval = await loop.approval(run_id)
    assert approval["title"] == "Send reply to T-1002"
    assert approval["approvers"] == ["support-leads"]
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
        # It ends by itself, because the run has ended.
        stream = (await client.get(f"/api/v1/runs/{run_id}/events")).text
    told_live = [StreamData.validate_json(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    assert {event.kind for event in told_live} == {"run", "step", "approval", "end"}
    told = [(step["kind"], step["name"], step["status"]) for step in await steps(loop, run_id)]
    assert told == [
        ("tool", "fetch_ticket", "completed"),
        ("tool", "classify_ticket", "completed"),
        ("tool", "search_articles", "completed"),
        ("tool", "draft_reply", "completed"),
        ("approval", "Send reply to T-1002", "completed"),
        ("tool", "post_reply", "completed"),
        ("tool", "create_task", "completed"),
    ]
    commands = (await loop.call("auditor", "GET", f"/commands?run={run_id}"))["items"]
    assert {(command["kind"], command["principal"], command["status"]) for command in commands} == {
        ("run.start", "operator", "applied"),
        ("approval.decide", "reviewer", "applied"),
    }
    await loop.told(run_id, "logs", lambda logs: "ticket_classified" in [line["message"] for line in logs])
    jobs = await loop.told(run_id, "jobs", lambda jobs: [job["status"] for job in jobs].count("completed") >= 6)
    assert [job["status"] for job in jobs] == ["completed"] * 6


async def test_a_tool_that_policy_says_must_be_approved_waits_and_runs_once(loop: Loop) -> None:
    await loop.call(
        "admin",
        "PUT",
        "/tools/refund/policy",
        json={"effect": "require_approval", "approvers": ["role:approver"], "expires_seconds": 600},
    )
    run_id = await loop.start("gated", "")
    approval = await loop.approval(run_id)
    assert approval["tool"] == "refund"
    assert approval["payload"]["value"] == {"order": "order", "cents": 900}
    assert approval["initiator"] == "operator"
    await loop.decide(approval)
    assert (await loop.until(run_id))["status"] == "completed"
    (step,) = await steps(loop, run_id)
    assert (step["kind"], step["name"], step["status"], step["approval_id"]) == (
        "tool",
        "refund",
        "completed",
        approval["approval_id"],
    )


async def test_a_rejection_fails_the_run_and_says_by_whom(loop: Loop) -> None:
    run_id = await loop.start("gated", "explicit")
    await loop.decide(await loop.approval(run_id), "rejected", comment="no")
    run = await loop.until(run_id)
    assert run["status"] == "failed"
    assert "rejected by reviewer" in run["status_reason"]
    assert "/gated.py:" in run["error"]["at"], "where the project asked"
    assert run["status_reason"].endswith(f"(at {run['error']['at']})")


async def test_raw_signals_from_outside_are_refused_and_shown(loop: Loop) -> None:
    run_id = await loop.start("gated", "explicit")
    approval = await loop.approval(run_id)
    handle = loop.client.get_workflow_handle(run_id)
    (terms,) = await open_approvals(handle)
    forged = Governance().decide(terms, Verdict.APPROVED)
    await handle.signal(SIGNAL_DECIDE, RawValue(to_payload(forged)))
    await handle.signal(SIGNAL_DECIDE, {"verdict": "approved"})
    await handle.signal(SIGNAL_DECIDE)
    await loop.decide(approval)
    assert (await loop.until(run_id))["status"] == "completed"
    shown = await loop.call("operator", "GET", f"/approvals/{approval['approval_id']}")
    assert shown["status"] == "approved"
    assert shown["decided_by"] == "reviewer"
    judged = [decision["judged"] for decision in shown["decisions"]]
    assert judged.count("counted") == 1
    assert judged.count("refused") >= 1


@pytest.mark.parametrize(
    ("who", "changed", "expect"),
    [
        ("operator", {}, 403),
        ("robot", {}, 403),
        ("viewer", {}, 403),
        ("admin", {}, 403),
        ("reviewer", {"digest": "0" * 64}, 409),
        ("reviewer", {"digest": ""}, 422),
        ("reviewer", {"verdict": "perhaps"}, 422),
    ],
)
async def test_decisions_that_must_not_count_are_refused(
    loop: Loop, who: str, changed: dict[str, Any], expect: int
) -> None:
    run_id = await loop.start("gated", "explicit")
    approval = await loop.approval(run_id)
    await loop.decide(approval, who=who, expect=expect, **changed)
    still = await loop.call("operator", "GET", f"/approvals/{approval['approval_id']}")
    assert still["status"] == "pending"
    await loop.call("operator", "POST", f"/runs/{run_id}/terminate", 202, json={"reason": "done"})
    assert (await loop.until(run_id))["status"] == "terminated"
    late = await loop.call("operator", "GET", f"/approvals/{approval['approval_id']}")
    assert late["status"] == "cancelled"
    await loop.decide(approval, expect=409)


async def test_the_initiator_never_decides_even_as_an_approver(loop: Loop) -> None:
    run = await loop.call("both", "POST", "/workflows/gated/runs", 201, json={"input": "explicit"})
    approval = await loop.approval(run["run_id"])
    await loop.decide(approval, who="both", expect=403)
    await loop.decide(approval, who="second")
    assert (await loop.until(run["run_id"]))["status"] == "completed"


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
        while not (found := await loop.call("operator", "GET", "/runs?q=elsewhere/1"))["items"]:
            await asyncio.sleep(0.05)
    run = await loop.until(found["items"][0]["run_id"])
    assert run["initiator"] == "unknown"
    assert run["trigger"] == "external"
    assert [step["kind"] for step in await steps(loop, run["run_id"])] == ["activity", "activity"]


async def test_bad_input_is_refused_with_its_place_and_starts_nothing(loop: Loop) -> None:
    problem = await loop.call(
        "operator", "POST", "/workflows/support_triage/runs", 422, json={"input": {"ticket_id": 7}}
    )
    assert problem["code"] == "invalid_input"
    assert problem["faults"][0]["pointer"] == "/input/ticket_id"
    await loop.call("operator", "POST", "/workflows/nothing/runs", 404, json={"input": {}})


async def test_r21_arguments_that_are_not_shown_exactly_can_not_be_approved(loop: Loop) -> None:
    """Somebody who can write the database changes what approvers are shown: the digest no longer covers it."""
    run_id = await loop.start("gated", "explicit")
    approval = await loop.approval(run_id)
    connection = await asyncpg.connect(loop.settings.require_database())
    await connection.execute(
        "UPDATE approvals SET payload = $2::json WHERE approval_id = $1",
        approval["approval_id"],
        '{"size": 20, "value": {"text": "Something harmless"}}',
    )
    await connection.close()
    problem = await loop.decide(approval, expect=409)
    assert "not exactly" in problem["detail"]
    await loop.decide(approval, "rejected")
    assert (await loop.until(run_id))["status"] == "failed"


@pytest.mark.parametrize("case", ["plain", "local"])
async def test_r21_plain_and_local_calls_are_shown_exactly_and_can_be_approved(loop: Loop, case: str) -> None:
    name = {"plain": "plain", "local": "lookup"}[case]
    rule = {"tool": f"{name[:-1]}?", "effect": "require_approval", "expires_seconds": 600}
    await loop.call("admin", "PUT", f"/policies/ask-{name}", json=rule)
    run_id = await loop.start("gated", case)
    approval = await loop.approval(run_id)
    assert approval["parameters"] == (["order"] if case == "plain" else [])
    await loop.decide(approval)
    assert (await loop.until(run_id))["status"] == "completed"


async def test_a_kill_switch_stops_a_workflow_whose_run_is_under_way_and_its_starts(loop: Loop) -> None:
    await loop.call("admin", "PUT", "/tools/refund/policy", json={"effect": "require_approval", "expires_seconds": 600})
    run_id = await loop.start("gated", "once")
    approval = await loop.approval(run_id)
    await loop.call("admin", "POST", "/workflows/gated/disable", json={"reason": "a flood of refunds"})
    try:
        problem = await loop.call("operator", "POST", "/workflows/gated/runs", 409, json={"input": "once"})
        assert "a flood of refunds" in problem["detail"]
        await loop.decide(approval)
        run = await loop.until(run_id)
    finally:
        await loop.call("admin", "POST", "/workflows/gated/enable")
    assert run["status"] == "failed"
    assert run["status_reason"].startswith("refund: PolicyDenied: ")
    assert run["executions"][0]["execution_id"] not in [where for _, _, where in gated.EXECUTED]


async def test_a_principal_disabled_between_its_decision_and_the_effect_decides_nothing(loop: Loop) -> None:
    await loop.call("admin", "PUT", "/tools/refund/policy", json={"effect": "require_approval", "expires_seconds": 600})
    run_id = await loop.start("gated", "once")
    approval = await loop.approval(run_id)
    await loop.call("operator", "POST", f"/runs/{run_id}/pause", 202)
    await loop.until(run_id, "paused")
    await loop.decide(approval, who="second")
    await loop.call("admin", "POST", "/principals/second/disable", json={"reason": "left"})
    try:
        await loop.call("operator", "POST", f"/runs/{run_id}/resume", 202)
        again = await loop.approval(run_id, after=approval["approval_id"])
        assert (await loop.run(run_id))["executions"][0]["execution_id"] not in [each[2] for each in gated.EXECUTED]
        await loop.decide(again)
        assert (await loop.until(run_id))["status"] == "completed"
    finally:
        await principals.set_disabled(loop.api.plane.engine, SETUP, "second", False)


async def test_a_gated_run_that_is_reset_asks_again_and_runs_once_more(loop: Loop) -> None:
    """The same run, another execution: the decision on the base is void in the fork."""
    await loop.call("admin", "PUT", "/tools/refund/policy", json={"effect": "require_approval", "expires_seconds": 600})
    run_id = await loop.start("gated", "ticking")
    first = await loop.approval(run_id)
    await loop.decide(first)
    before = await loop.until(run_id)
    handle = loop.client.get_workflow_handle(run_id)
    events = (await handle.fetch_history()).events
    deciding = next(
        event.event_id for event in events if event.HasField("workflow_execution_signaled_event_attributes")
    )
    point = next(
        event.event_id
        for event in events
        if event.event_id > deciding and event.HasField("workflow_task_completed_event_attributes")
    )
    await reset(loop.client, handle, before["execution_id"], point)
    second = await loop.approval(run_id, after=first["approval_id"])
    assert second["execution_id"] != first["execution_id"]
    assert (await loop.run(run_id))["status"] == "waiting"
    await loop.decide(second)
    run = await loop.until(run_id)
    assert [execution["kind"] for execution in sorted(run["executions"], key=lambda each: each["started_at"])] == [
        "first",
        "reset",
    ]
    assert run["steps_done"] == run["step_count"]


async def test_a_run_that_continues_as_new_is_one_run(loop: Loop) -> None:
    handle = await loop.client.start_workflow("Shapes", "continue_as_new", id="continued", task_queue="plain")
    await handle.result()
    run: dict[str, Any] = {}
    async with asyncio.timeout(30):
        while not run:
            listed = (await loop.call("operator", "GET", "/runs?workflow=Shapes&limit=50"))["items"]
            run = next((each for each in listed if each["run_id"] == handle.first_execution_run_id), {})
    waited = await loop.call("operator", "GET", f"/runs/{run['run_id']}/result?wait=30")
    ended = await loop.until(run["run_id"], "completed")
    assert {execution["kind"] for execution in ended["executions"]} == {"first", "continued"}
    assert (waited["status"], waited["result"]) == ("completed", ended["result"])


async def test_a_run_that_times_out_says_so(loop: Loop) -> None:
    handle = await loop.client.start_workflow(
        "gated", "forever", id="too-slow", task_queue="gated", execution_timeout=timedelta(seconds=1)
    )
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    async with asyncio.timeout(30):
        while True:
            found = (await loop.call("operator", "GET", "/runs?status=timed_out"))["items"]
            if found:
                break
    assert found[0]["run_id"] == handle.first_execution_run_id


async def test_a_failing_tool_shows_its_attempts_and_when_it_is_tried_again(loop: Loop) -> None:
    run_id = await loop.start("gated", "flaky")
    async with asyncio.timeout(30):
        while (waiting := await loop.run(run_id))["waiting_on"] != "retry":
            await asyncio.sleep(0.05)
    assert waiting["next_at"] is not None
    async with asyncio.timeout(30):
        while (step := (await steps(loop, run_id))[0])["live_next_retry_at"] is None:
            await asyncio.sleep(0.05)
    assert step["live_attempt"] >= 2
    assert "not yet" in str(step["live_error"])
    gated.HEALED.set()
    assert (await loop.until(run_id))["status"] == "completed"
    (step,) = await steps(loop, run_id)
    assert step["attempts"] >= 2
    jobs = await loop.told(run_id, "jobs", lambda jobs: "completed" in [job["status"] for job in jobs])
    assert {job["status"] for job in jobs} == {"failed", "completed"}


async def test_an_approver_changes_a_call_and_everything_shows_both(loop: Loop) -> None:
    rule = {"effect": "require_approval", "changes": "second_person"}
    await loop.call("admin", "PUT", "/tools/refund/policy", json=rule)
    run_id = await loop.start("gated", "rejectable")
    approval = await loop.approval(run_id)
    assert approval["changes"] == "second_person"
    given = {"order": "order", "cents": 500}
    unfit = await loop.decide(approval, arguments={**given, "cents": "many"}, expect=422)
    assert [fault["pointer"] for fault in unfit["faults"]] == ["/arguments/cents"]
    await loop.decide(approval, arguments=given, who="second")
    assert (await loop.run(run_id))["status"] == "waiting", "it takes another approver"
    await loop.decide(approval, arguments=given, comment="half is enough")
    run = await loop.until(run_id)
    assert run["result"]["value"] == "refunded 500"

    async def shown() -> Any:
        (step,) = await steps(loop, run_id)
        told = await loop.call("reviewer", "GET", f"/approvals/{approval['approval_id']}")
        return step, {name: value for name, value in told.items() if name != "actions"}

    step, told = await shown()
    assert (step["status"], step["attempts"]) == ("completed", 1)
    assert (step["input"]["value"], step["original_input"]["value"]) == (given, {"order": "order", "cents": 900})
    assert (told["payload"]["value"], told["changed"]["value"]) == ({"order": "order", "cents": 900}, given)
    assert (told["decided_by"], told["proposed_by"], told["comment"]) == ("reviewer", "second", "half is enough")
    assert told["changed_digest"] not in (None, told["digest"])
    commands = (await loop.call("auditor", "GET", f"/commands?approval={approval['approval_id']}"))["items"]
    assert {(command["kind"], command["principal"], command["status"]) for command in commands} == {
        ("approval.decide", "reviewer", "applied"),
        ("approval.propose", "second", "applied"),
        ("approval.decide", "reviewer", "refused"),
    }
    await rebuild(loop.settings, run_ids=[run_id])
    assert await shown() == (step, told)
