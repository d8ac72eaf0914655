"""Runs of ten steps, one at a time: the time that AgentGrid adds to a run's start, between steps, and in total."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from tests.bench.page import median_range

WARM = 5
TIMES = 40
"""Runs of each kind per round."""


@dataclass(frozen=True, kw_only=True)
class Timings:
    """The times of one run in milliseconds."""

    total: float
    """From the request to start the run until its result is known."""
    until_first_event: float
    """From the request to start the run to its first event."""
    gap: float
    """From the end of a step to the scheduling of the next; the median over the run's steps."""
    pickup: float
    """From the scheduling of a step to its start on a worker; the median over the run's steps."""


async def wait_and_time(client: Client, run_id: str, requested_at: float) -> Timings:
    """Wait for the run's result. `requested_at` is the `time.time()` of the request to start it."""
    handle = client.get_workflow_handle(run_id)
    await handle.result()
    total = (time.time() - requested_at) * 1000
    until_first_event, completed_at, gaps, pickups = 0.0, None, [], []
    scheduled_at: dict[int, float] = {}
    for event in (await handle.fetch_history()).events:
        at = event.event_time.ToNanoseconds() / 1e6
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                until_first_event = at - requested_at * 1000
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                scheduled_at[event.event_id] = at
                if completed_at is not None:
                    gaps.append(at - completed_at)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                pickups.append(at - scheduled_at[event.activity_task_started_event_attributes.scheduled_event_id])
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                completed_at = at
    return Timings(
        total=total, until_first_event=until_first_event, gap=statistics.median(gaps), pickup=statistics.median(pickups)
    )


def figures(raw: Sequence[Sequence[Timings]], governed: Sequence[Sequence[Timings]]) -> list[tuple[str, str]]:
    """The medians of each round, raw and governed side by side."""

    def medians(rounds: Sequence[Sequence[Timings]], part: Callable[[Timings], float]) -> list[float]:
        return [statistics.median(map(part, runs)) for runs in rounds]

    def both(label: str, part: Callable[[Timings], float]) -> tuple[str, str]:
        return f"{label}, raw / governed (ms)", " / ".join(
            median_range(medians(rounds, part), "{:.1f}") for rounds in (raw, governed)
        )

    totals = [medians(rounds, lambda run: run.total) for rounds in (raw, governed)]
    gaps = [medians(rounds, lambda run: run.gap) for rounds in (raw, governed)]
    added = [own - plain for plain, own in zip(*totals, strict=True)]
    ratio = [own / plain for plain, own in zip(*gaps, strict=True)]
    return [
        both("ten steps alone, start to result", lambda run: run.total),
        ("ten steps alone, start to result, added to raw (ms)", median_range(added, "{:.0f}")),
        both("from the request to the run's first event", lambda run: run.until_first_event),
        both("from the end of a step to the scheduling of the next", lambda run: run.gap),
        ("from the end of a step to the scheduling of the next ÷ raw's", median_range(ratio)),
        both("from the scheduling of a step to its start", lambda run: run.pickup),
    ]
