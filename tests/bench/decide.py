"""The time from a decision to the run's next activity, compared with a plain signal. Both alternate on the same servers."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import statistics
import time
import uuid
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle

from tests.bench.approval_stand import ApprovalStand, approval_stand
from tests.bench.page import median_range, percentile

TITLE = "A decision"
METHOD = (
    "Milliseconds from the client's request (the decision's POST to the API, or the signal to Temporal) to the time of the event that schedules "
    "the next activity; both alternate, nothing else running. Medians of the rounds, lowest and highest in brackets."
)
ROUNDS = 5

Timings = tuple[float, float]
"""Milliseconds until history has the signal, and from there to the next activity."""
TURNS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this part."""
    parser.add_argument("--turns", type=int, default=TURNS, help=f"decide: decisions per round (default {TURNS})")


async def measure(arguments: argparse.Namespace, home: Path) -> list[tuple[str, str]]:
    """Measure decisions and signals: the total times, their ratio in each round, and the parts of the time."""
    async with approval_stand(home) as stand:
        await _round(stand, stand.client, 5)
        rounds = [await _round(stand, stand.client, arguments.turns) for _ in range(ROUNDS)]
    signals = [statistics.median(map(sum, signalled)) for signalled, _ in rounds]
    decisions = [statistics.median(map(sum, decided)) for _, decided in rounds]
    all_decisions = [sum(timings) for _, decided in rounds for timings in decided]
    all_signals = [sum(timings) for signalled, _ in rounds for timings in signalled]
    parts = [
        [statistics.median(timings[part] for timings in turns) for turns in kind]
        for kind in zip(*rounds, strict=True)
        for part in (0, 1)
    ]
    return [
        ("raw signal to next activity scheduled (ms)", median_range(signals, "{:.1f}")),
        ("decision to next activity scheduled (ms)", median_range(decisions, "{:.1f}")),
        (
            "decision ÷ raw signal",
            median_range([decision / signal for decision, signal in zip(decisions, signals, strict=True)]),
        ),
        ("until history has the signal: raw (ms)", median_range(parts[0], "{:.1f}")),
        ("until history has the decision: API, command, signature (ms)", median_range(parts[2], "{:.1f}")),
        ("from there to the next activity scheduled: raw (ms)", median_range(parts[1], "{:.1f}")),
        ("from there to the next activity scheduled: decision (ms)", median_range(parts[3], "{:.1f}")),
        (
            "p99 of signals / of decisions (ms)",
            f"{percentile(all_signals, 0.99):.0f} / {percentile(all_decisions, 0.99):.0f}",
        ),
    ]


async def _round(stand: ApprovalStand, client: Client, count: int) -> tuple[list[Timings], list[Timings]]:
    signalled, decided = [], []
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", stand.server.port)) as connection:
        for number in range(count):
            signalled.append(await _signal(client, number))
            run_id = await stand.start(number)
            approval = await stand.approval(run_id)
            requested_at = time.time()
            _approve(connection, stand, approval)
            decided.append(await _timings(client.get_workflow_handle(run_id), requested_at))
    return signalled, decided


def _approve(connection: http.client.HTTPConnection, stand: ApprovalStand, approval: dict[str, Any]) -> None:
    """Approve it with a minimal client: the API is what is measured, and httpx alone takes a millisecond."""
    body = json.dumps({"verdict": "approved", "digest": approval["digest"]})
    headers = {**stand.server.headers("reviewer"), "Content-Type": "application/json"}
    connection.request("POST", f"/api/v1/approvals/{approval['approval_id']}/decisions", body, headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 202:
        raise RuntimeError(f"the API answered a decision with {answer.status}, not 202")


async def _signal(client: Client, number: int) -> Timings:
    handle = await client.start_workflow("RawSignal", number, id=str(uuid.uuid4()), task_queue="raw")
    # A query waits for the first workflow task, which a run with an open approval has also completed.
    await handle.query("__stack_trace")
    requested_at = time.time()
    await handle.signal("decide")
    return await _timings(handle, requested_at)


async def _timings(handle: WorkflowHandle, requested_at: float) -> Timings:
    """Wait for the run's result. Returns the times until its last signal was in history, and from there until its last activity was scheduled."""
    await handle.result()
    history = await handle.fetch_history()
    signalled, scheduled = (
        [event for event in history.events if event.event_type == event_type][-1].event_time.ToNanoseconds() / 1e6
        for event_type in (
            EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
            EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
        )
    )
    return signalled - requested_at * 1000, scheduled - signalled
