"""Runs of ten steps, one at a time: what AgentGrid adds between a start and its result, and between two steps."""

from __future__ import annotations

import statistics
import time

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from tests.bench.page import middle

WARM = 5
TIMES = 40
"""Runs of each kind per round."""


async def spent(client: Client, run_id: str, began: float) -> tuple[float, float]:
    """Milliseconds until a run's result is known, and the median from the end of a step to the scheduling of the next."""
    handle = client.get_workflow_handle(run_id)
    await handle.result()
    took = (time.perf_counter() - began) * 1000
    completed_at, gaps = None, []
    for event in (await handle.fetch_history()).events:
        at = event.event_time.ToNanoseconds() / 1e6
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            completed_at = at
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED and completed_at is not None:
            gaps.append(at - completed_at)
    return took, statistics.median(gaps)


def figures(raw: list[list[tuple[float, float]]], governed: list[list[tuple[float, float]]]) -> list[tuple[str, str]]:
    """The medians of each round, beside each other."""
    took = {
        name: [statistics.median(each for each, _ in one) for one in of]
        for name, of in (("raw", raw), ("governed", governed))
    }
    gaps = {
        name: [statistics.median(gap for _, gap in one) for one in of]
        for name, of in (("raw", raw), ("governed", governed))
    }
    return [
        ("ten steps alone, start to result, raw (ms)", middle(took["raw"], "{:.0f}")),
        (
            "ten steps alone, start to result beyond raw's (ms)",
            middle([a - b for a, b in zip(took["governed"], took["raw"], strict=True)], "{:.0f}"),
        ),
        ("from the end of a step to the next, raw (ms)", middle(gaps["raw"], "{:.1f}")),
        (
            "from the end of a step to the next ÷ raw's",
            middle([a / b for a, b in zip(gaps["governed"], gaps["raw"], strict=True)]),
        ),
    ]
