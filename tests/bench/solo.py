"""Runs of ten steps, one at a time: what AgentGrid adds to a run's start, between its steps, and until its result."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from tests.bench.page import middle

WARM = 5
TIMES = 40
"""Runs of each kind per round."""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """The milliseconds of one run."""

    total: float
    """From the request for a start to the known result."""
    begun: float
    """From the request for a start to the run's first event."""
    gap: float
    """From the end of a step to the scheduling of the next: the median of its steps."""
    pickup: float
    """From the scheduling of a step to its start on a worker: the median of its steps."""


async def spent(client: Client, run_id: str, asked_at: float) -> Spent:
    """Wait for the run's result. asked_at: `time.time()` of the request for a start."""
    handle = client.get_workflow_handle(run_id)
    await handle.result()
    total = (time.time() - asked_at) * 1000
    begun, completed_at, gaps, pickups = 0.0, None, [], []
    scheduled_at: dict[int, float] = {}
    for event in (await handle.fetch_history()).events:
        at = event.event_time.ToNanoseconds() / 1e6
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                begun = at - asked_at * 1000
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                scheduled_at[event.event_id] = at
                if completed_at is not None:
                    gaps.append(at - completed_at)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                pickups.append(at - scheduled_at[event.activity_task_started_event_attributes.scheduled_event_id])
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                completed_at = at
    return Spent(total=total, begun=begun, gap=statistics.median(gaps), pickup=statistics.median(pickups))


def figures(raw: Sequence[Sequence[Spent]], governed: Sequence[Sequence[Spent]]) -> list[tuple[str, str]]:
    """The medians of each round, raw and governed beside each other."""

    def of(rounds: Sequence[Sequence[Spent]], part: Callable[[Spent], float]) -> list[float]:
        return [statistics.median(map(part, each)) for each in rounds]

    def both(label: str, part: Callable[[Spent], float]) -> tuple[str, str]:
        return f"{label}, raw / governed (ms)", " / ".join(middle(of(one, part), "{:.1f}") for one in (raw, governed))

    totals = [of(one, lambda each: each.total) for one in (raw, governed)]
    gaps = [of(one, lambda each: each.gap) for one in (raw, governed)]
    beyond = [mine - theirs for theirs, mine in zip(*totals, strict=True)]
    ratio = [mine / theirs for theirs, mine in zip(*gaps, strict=True)]
    return [
        both("ten steps alone, start to result", lambda each: each.total),
        ("ten steps alone, start to result, more than raw (ms)", middle(beyond, "{:.0f}")),
        both("from the request to the run's first event", lambda each: each.begun),
        both("from the end of a step to the scheduling of the next", lambda each: each.gap),
        ("from the end of a step to the scheduling of the next ÷ raw's", middle(ratio)),
        both("from the scheduling of a step to its start", lambda each: each.pickup),
    ]
