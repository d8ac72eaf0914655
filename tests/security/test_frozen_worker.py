"""R36: authority that was taken away while the worker was frozen has no effect when it goes on. Every part is a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.faults import checks
from tests.faults.processes import freeze, is_frozen, thaw
from tests.faults.stage import Stage, new_stage

pytestmark = pytest.mark.timeout(240)

UNSEEN_SECONDS = 5.0
"""A worker looks at the policy every two seconds: what is taken away counts within five."""


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with new_stage(durable=False) as stage:
        yield stage


async def decide(stage: Stage, approval: dict[str, Any], who: str) -> None:
    body = {"verdict": "approved", "digest": approval["digest"]}
    await stage.call(who, "POST", f"/approvals/{approval['approval_id']}/decisions", 202, json=body)


async def asked(stage: Stage, run_id: str, after: dict[str, Any] | None = None) -> dict[str, Any]:
    """The approval of the run, once there is one that can be decided and isn't the one before. Fails where the run ends without one."""

    async def probe() -> dict[str, Any] | None:
        listed = await stage.call("viewer", "GET", f"/approvals?run={run_id}&status=pending")
        assert (await stage.run(run_id))["status"] != "completed"
        found = (item for item in listed["items"] if after is None or item["approval_id"] != after["approval_id"])
        return next((item for item in found if item["decidable"]), None)

    found: dict[str, Any] = await stage.until(probe, f"people are asked about {run_id}")
    return found


async def _frozen(pid: int) -> bool:
    return is_frozen(pid)


@pytest.mark.parametrize(
    ("errand", "who"), [({"remove": True}, "both"), ({"ask": True}, "second")], ids=["tool", "explicit"]
)
async def test_r36_a_decision_whose_maker_was_disabled_while_the_worker_was_frozen_does_not_count(
    stage: Stage, errand: dict[str, Any], who: str
) -> None:
    run_id = await stage.start("run_errand", errand)
    first = await asked(stage, run_id)
    (worker,) = stage.of("worker")
    frozen = freeze(worker.pid)
    try:
        await stage.until(lambda: _frozen(worker.pid), "the worker is frozen")
        await decide(stage, first, who)
        await stage.call("admin", "POST", f"/principals/{who}/disable", json={})
        await stage.nothing_for(UNSEEN_SECONDS)
    finally:
        thaw(frozen)
    again = await asked(stage, run_id, after=first)
    assert "removed" not in checks.effects(stage, run_id)
    await decide(stage, again, "reviewer")
    assert (await stage.ended(run_id))["status"] == "completed"
    steps = (await stage.call("viewer", "GET", f"/runs/{run_id}/steps"))["items"]
    assert len([step for step in steps if step["kind"] == "approval"]) == (1 if "ask" in errand else 0)
