"""A run whose workflow task always fails, with a long history and a constant stream of signals, doesn't slow down healthy runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator

from temporalio.client import WorkflowHandle

from tests.faults.stage import Stage

SIGNALS = int(os.environ.get("AGENTGRID_FAULTS_SIGNALS", "500"))
"""The suite uses a short history; `AGENTGRID_FAULTS_SIGNALS=10000` makes it longer than Temporal recommends."""
HEALTHY = 20
AT_ONCE = 100
DRIP_SECONDS = 0.2
"""Five signals per second, the maximum that Temporal recommends for one run."""
NOISE_SECONDS = 1.0
"""Allowance for a busy machine in the slowest run's time; a run blocked by the failing one would wait longer."""


async def healthy(stage: Stage) -> list[float]:
    """Start some runs one after another. Returns the sorted times from request to completion, in seconds."""
    times = []
    for number in range(HEALTHY):
        began = time.monotonic()
        run_id = await stage.start("look_quickly", number)
        await stage.run_until(run_id, lambda run: run["status"] == "completed", "completes", every=0.02)
        times.append(time.monotonic() - began)
    return sorted(times)


async def flood(handle: WorkflowHandle[object, object], count: int) -> None:
    """Send this many signals, in concurrent batches."""
    for first in range(0, count, AT_ONCE):
        await asyncio.gather(*(handle.signal("drip", number) for number in range(first, min(first + AT_ONCE, count))))


@contextlib.asynccontextmanager
async def dripping(handle: WorkflowHandle[object, object]) -> AsyncIterator[None]:
    """Send signals continuously during the block."""

    async def drip() -> None:
        while True:
            await handle.signal("drip", 0)
            await asyncio.sleep(DRIP_SECONDS)

    task = asyncio.create_task(drip())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_failing_run_does_not_slow_down_healthy_ones(stage: Stage) -> None:
    alone = await healthy(stage)
    poison = await stage.start("poison", SIGNALS)
    handle = (await stage.client()).get_workflow_handle(poison)
    await stage.run_until(poison, lambda run: run["started_at"] is not None, "has started")
    await flood(handle, SIGNALS)
    failing = await stage.run_until(
        poison, lambda run: (run["executions"][0]["live_task_attempt"] or 0) > 1, "fails its task again and again"
    )
    assert failing["step_count"] >= SIGNALS
    async with dripping(handle):
        beside = await healthy(stage)
    worst = (HEALTHY * 99) // 100
    print(f"{SIGNALS} signals; p50 {alone[HEALTHY // 2]:.3f} -> {beside[HEALTHY // 2]:.3f} s, ")
    print(f"p99 {alone[worst]:.3f} -> {beside[worst]:.3f} s")
    assert beside[HEALTHY // 2] <= 2 * alone[HEALTHY // 2] + NOISE_SECONDS / 4
    assert beside[worst] <= 2 * alone[worst] + NOISE_SECONDS
    run = await stage.run(poison)
    assert run["status"] in ("running", "waiting")
    await stage.call("operator", "POST", f"/runs/{poison}/terminate", 202, json={"reason": "poison"})
    assert (await stage.ended(poison))["status"] == "terminated"
