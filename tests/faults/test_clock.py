"""APIs whose clocks are two days fast or slow: expiries and delayed starts don't depend on those clocks."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from tests.faults import checks, skewed
from tests.faults.stage import Stage

DAYS_OFF = {1: 2, 2: -2}
"""By number of the API."""
SKEWED = "from tests.faults.skewed import main; main()"


async def test_delayed_starts_and_expiries_use_temporals_clock_and_not_the_apis(stage: Stage) -> None:
    wrong = [stage.add("api", number, code=SKEWED, **{skewed.VARIABLE: str(days)}) for number, days in DAYS_OFF.items()]
    try:
        for program in wrong:
            program.start()
        run_ids = await asyncio.gather(*(_use(stage, number, days) for number, days in DAYS_OFF.items()))
    finally:
        for program in reversed(wrong):
            stage.remove(program)
    await checks.mirrored(stage, [run_id for ids in run_ids for run_id in ids])
    assert await checks.rebuilt(stage)


async def _use(stage: Stage, number: int, days: int) -> list[str]:
    """Use the API with the wrong clock for everything that depends on time. Returns the run ids."""
    await stage.until(lambda: stage.request(None, "GET", "/healthz", api=number), "the API with the wrong clock serves")
    health = await stage.http(None, number).get("/healthz")
    off = parsedate_to_datetime(health.headers["date"]) - datetime.now(UTC)
    assert abs(off - timedelta(days=days)) < timedelta(minutes=1), "its clock is wrong"

    async def start(errand: dict[str, Any], **more: Any) -> str:
        body = {"input": errand, **more}
        answer = await stage.http("operator", number).post("/api/v1/workflows/run_errand/runs", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["run_id"])

    async def approve(approval: dict[str, Any]) -> httpx.Response:
        body = {"verdict": "approved", "digest": approval["digest"]}
        path = f"/api/v1/approvals/{approval['approval_id']}/decisions"
        return await stage.http("second", number).post(path, json=body)

    began, later = time.monotonic(), datetime.now(UTC) + timedelta(seconds=4)
    delayed = await start({}, start_at=later.isoformat())
    decided = await start({"ask": True})
    undecided = await start({"ask": True, "expires_seconds": 3})

    answer = await approve(await stage.approval(decided))
    assert answer.status_code == 202, answer.text
    assert (await stage.ended(decided))["status"] == "completed"

    expired = await stage.ended(undecided)
    assert time.monotonic() - began >= 3
    assert expired["status"] == "failed"
    assert "nobody decided" in expired["status_reason"]
    (approval,) = (await stage.call("second", "GET", f"/approvals?run={undecided}"))["items"]
    assert approval["status"] == "expired"
    late = await approve(approval)
    assert (late.status_code, late.json()["current_status"]) == (409, "expired")

    run = await stage.ended(delayed, seconds=15)
    assert datetime.fromisoformat(run["closed_at"]) >= later
    return [delayed, decided, undecided]
