"""Approvals and policy in the whole loop: what needs approval, who may decide, and what runs afterwards."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from temporalio.common import RawValue

from agentgrid.control import principals
from agentgrid.domain.approvals import Verdict
from agentgrid.projector.rebuild import rebuild_projection
from agentgrid.protocol import SIGNAL_DECIDE, to_payload
from agentgrid.testing import Governance, open_approvals
from tests.api.conftest import SETUP
from tests.e2e.conftest import Loop, steps_of
from tests.worker import gated
from tests.worker.conftest import reset

pytestmark = pytest.mark.usefixtures("mirrored")


async def test_a_tool_that_requires_approval_waits_and_runs_once(loop: Loop) -> None:
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
    (step,) = await steps_of(loop, run_id)
    assert (step["kind"], step["name"], step["status"], step["approval_id"]) == (
        "tool",
        "refund",
        "completed",
        approval["approval_id"],
    )


async def test_a_rejection_fails_the_run_and_names_the_approver(loop: Loop) -> None:
    run_id = await loop.start("gated", "explicit")
    await loop.decide(await loop.approval(run_id), "rejected", comment="no")
    run = await loop.until(run_id)
    assert run["status"] == "failed"
    assert "rejected by reviewer" in run["status_reason"]
    assert "/gated.py:" in run["error"]["at"], "the place in the project's code"
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
async def test_invalid_decisions_are_refused(loop: Loop, who: str, changed: dict[str, Any], expect: int) -> None:
    run_id = await loop.start("gated", "explicit")
    approval = await loop.approval(run_id)
    await loop.decide(approval, who=who, expect=expect, **changed)
    current = await loop.call("operator", "GET", f"/approvals/{approval['approval_id']}")
    assert current["status"] == "pending"
    await loop.call("operator", "POST", f"/runs/{run_id}/terminate", 202, json={"reason": "done"})
    assert (await loop.until(run_id))["status"] == "terminated"
    closed = await loop.call("operator", "GET", f"/approvals/{approval['approval_id']}")
    assert closed["status"] == "cancelled"
    await loop.decide(approval, expect=409)


async def test_the_initiator_can_not_decide_even_as_an_approver(loop: Loop) -> None:
    run = await loop.call("both", "POST", "/workflows/gated/runs", 201, json={"input": "explicit"})
    approval = await loop.approval(run["run_id"])
    await loop.decide(approval, who="both", expect=403)
    await loop.decide(approval, who="second")
    assert (await loop.until(run["run_id"]))["status"] == "completed"


async def test_r21_a_call_whose_arguments_are_not_shown_exactly_can_not_be_approved(loop: Loop) -> None:
    """An attacker with write access to the database changes what approvers are shown, so the digest no longer matches."""
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
    assert "does not match the worker's digest" in problem["detail"]
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


async def test_a_kill_switch_stops_a_workflows_open_run_and_new_starts(loop: Loop) -> None:
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


async def test_the_decision_of_a_principal_disabled_before_the_effect_does_not_count(loop: Loop) -> None:
    await loop.call("admin", "PUT", "/tools/refund/policy", json={"effect": "require_approval", "expires_seconds": 600})
    run_id = await loop.start("gated", "once")
    approval = await loop.approval(run_id)
    await loop.call("operator", "POST", f"/runs/{run_id}/pause", 202)
    await loop.until(run_id, "paused")
    await loop.decide(approval, who="second")
    await loop.call("admin", "POST", "/principals/second/disable", json={"reason": "left"})
    try:
        await loop.call("operator", "POST", f"/runs/{run_id}/resume", 202)
        renewed = await loop.approval(run_id, after=approval["approval_id"])
        assert (await loop.run(run_id))["executions"][0]["execution_id"] not in [
            where for _, _, where in gated.EXECUTED
        ]
        await loop.decide(renewed)
        assert (await loop.until(run_id))["status"] == "completed"
    finally:
        await principals.set_disabled(loop.api.plane.engine, SETUP, "second", False)


async def test_a_reset_run_needs_a_new_approval_and_runs_its_call_again(loop: Loop) -> None:
    """The run stays the same but has a new execution: the decision on the base is void in the fork."""
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
    assert [
        execution["kind"] for execution in sorted(run["executions"], key=lambda execution: execution["started_at"])
    ] == [
        "first",
        "reset",
    ]
    assert run["steps_done"] == run["step_count"]


async def test_an_approver_changes_a_call_and_both_versions_are_shown(loop: Loop) -> None:
    rule = {"effect": "require_approval", "changes": "second_person"}
    await loop.call("admin", "PUT", "/tools/refund/policy", json=rule)
    run_id = await loop.start("gated", "rejectable")
    approval = await loop.approval(run_id)
    assert approval["changes"] == "second_person"
    changed = {"order": "order", "cents": 500}
    problem = await loop.decide(approval, arguments={**changed, "cents": "many"}, expect=422)
    assert [fault["pointer"] for fault in problem["faults"]] == ["/arguments/cents"]
    await loop.decide(approval, arguments=changed, who="second")
    assert (await loop.run(run_id))["status"] == "waiting", "a second approver must confirm"
    await loop.decide(approval, arguments=changed, comment="half is enough")
    run = await loop.until(run_id)
    assert run["result"]["value"] == "refunded 500"

    async def shown() -> Any:
        (step,) = await steps_of(loop, run_id)
        letter = await loop.call("reviewer", "GET", f"/approvals/{approval['approval_id']}")
        return step, {name: value for name, value in letter.items() if name != "actions"}

    step, letter = await shown()
    assert (step["status"], step["attempts"]) == ("completed", 1)
    assert (step["input"]["value"], step["original_input"]["value"]) == (changed, {"order": "order", "cents": 900})
    assert (letter["payload"]["value"], letter["changed"]["value"]) == ({"order": "order", "cents": 900}, changed)
    assert (letter["decided_by"], letter["proposed_by"], letter["comment"]) == ("reviewer", "second", "half is enough")
    assert letter["changed_digest"] not in (None, letter["digest"])
    commands = (await loop.call("auditor", "GET", f"/commands?approval={approval['approval_id']}"))["items"]
    assert {(command["kind"], command["principal"], command["status"]) for command in commands} == {
        ("approval.decide", "reviewer", "applied"),
        ("approval.propose", "second", "applied"),
        ("approval.decide", "reviewer", "refused"),
    }
    await rebuild_projection(loop.settings, run_ids=[run_id])
    assert await shown() == (step, letter)
