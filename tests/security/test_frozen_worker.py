"""R36: authority revoked while the worker was frozen has no effect when it resumes. Every part is a separate process."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults import checks
from tests.faults.processes import freeze, is_frozen, thaw
from tests.faults.stage import Stage

pytestmark = pytest.mark.timeout(240)

UNSEEN_SECONDS = 5.0
"""A worker checks the policy every two seconds, so a revocation takes effect within five."""


async def decide(stage: Stage, approval: dict[str, Any], who: str) -> None:
    body = {"verdict": "approved", "digest": approval["digest"]}
    await stage.call(who, "POST", f"/approvals/{approval['approval_id']}/decisions", 202, json=body)


async def decidable_approval(stage: Stage, run_id: str, after: dict[str, Any] | None = None) -> dict[str, Any]:
    """The run's approval, once there is a decidable one other than `after`. Fails if the run completes without one."""

    async def probe() -> dict[str, Any] | None:
        listed = await stage.call("viewer", "GET", f"/approvals?run={run_id}&status=pending")
        assert (await stage.run(run_id))["status"] != "completed"
        items = (item for item in listed["items"] if after is None or item["approval_id"] != after["approval_id"])
        return next((item for item in items if item["decidable"]), None)

    approval: dict[str, Any] = await stage.until(probe, f"{run_id} requests an approval")
    return approval


async def _frozen(pid: int) -> bool:
    return is_frozen(pid)


@pytest.mark.parametrize(
    ("errand", "who"), [({"remove": True}, "both"), ({"ask": True}, "second")], ids=["tool", "explicit"]
)
async def test_r36_a_decision_by_a_principal_disabled_while_the_worker_was_frozen_does_not_count(
    stage: Stage, errand: dict[str, Any], who: str
) -> None:
    run_id = await stage.start("run_errand", errand)
    first = await decidable_approval(stage, run_id)
    (worker,) = stage.of("worker")
    frozen = freeze(worker.pid)
    try:
        await stage.until(lambda: _frozen(worker.pid), "the worker is frozen")
        await decide(stage, first, who)
        await stage.call("admin", "POST", f"/principals/{who}/disable", json={})
        await stage.let_last(UNSEEN_SECONDS)
    finally:
        thaw(frozen)
    again = await decidable_approval(stage, run_id, after=first)
    assert "removed" not in checks.effects(stage, run_id)
    await decide(stage, again, "reviewer")
    assert (await stage.ended(run_id))["status"] == "completed"
    steps = (await stage.call("viewer", "GET", f"/runs/{run_id}/steps"))["items"]
    assert len([step for step in steps if step["kind"] == "approval"]) == (1 if "ask" in errand else 0)
