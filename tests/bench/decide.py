"""How long a decision takes to move its run, beside a plain signal that does the same: both alternate, on the same servers."""

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

from tests.bench.gates import Gates, gates
from tests.bench.page import at, middle

TITLE = "A decision"
SAYS = (
    "Milliseconds from the client's request (the decision's POST to the API, or the signal to Temporal) to the time of the event that schedules "
    "the next activity; both alternate, nothing else running. Medians of the rounds, lowest and highest in brackets."
)
ROUNDS = 5

Spent = tuple[float, float]
"""Milliseconds until history has the signal, and from there to the next activity."""
TURNS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How often."""
    parser.add_argument("--turns", type=int, default=TURNS, help=f"decide: decisions a round (default {TURNS})")


async def measure(arguments: argparse.Namespace, home: Path) -> list[tuple[str, str]]:
    """Both, where the time goes, and their ratio by round."""
    async with gates(home) as stand:
        await _turns(stand, stand.client, 5)
        rounds = [await _turns(stand, stand.client, arguments.turns) for _ in range(ROUNDS)]
    signals = [statistics.median(sum(each) for each in signalled) for signalled, _ in rounds]
    decisions = [statistics.median(sum(each) for each in decided) for _, decided in rounds]
    slow = [sum(each) for _, decided in rounds for each in decided]
    slow_signals = [sum(each) for signalled, _ in rounds for each in signalled]
    parts = [
        [statistics.median(each[part] for each in turns) for turns in kind]
        for kind in zip(*rounds, strict=True)
        for part in (0, 1)
    ]
    return [
        ("raw signal to next activity scheduled (ms)", middle(signals, "{:.1f}")),
        ("decision to next activity scheduled (ms)", middle(decisions, "{:.1f}")),
        (
            "decision ÷ raw signal",
            middle([mine / theirs for mine, theirs in zip(decisions, signals, strict=True)]),
        ),
        ("until history has the signal: raw (ms)", middle(parts[0], "{:.1f}")),
        ("until history has the decision: API, command, signature (ms)", middle(parts[2], "{:.1f}")),
        ("from there to the next activity scheduled: raw (ms)", middle(parts[1], "{:.1f}")),
        ("from there to the next activity scheduled: decision (ms)", middle(parts[3], "{:.1f}")),
        ("p99 of signals / of decisions (ms)", f"{at(slow_signals, 0.99):.0f} / {at(slow, 0.99):.0f}"),
    ]


async def _turns(stand: Gates, client: Client, count: int) -> tuple[list[Spent], list[Spent]]:
    signalled, decided = [], []
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", stand.server.port)) as connection:
        for number in range(count):
            signalled.append(await _signal(client, number))
            run_id = await stand.start(number)
            gate = await stand.gate(run_id)
            asked_at = time.time()
            _post(connection, stand, gate)
            decided.append(await _spent(client.get_workflow_handle(run_id), asked_at))
    return signalled, decided


def _post(connection: http.client.HTTPConnection, stand: Gates, gate: dict[str, Any]) -> None:
    """Approve it by the leanest client there is: what is measured is the API, and httpx alone takes a millisecond."""
    body = json.dumps({"verdict": "approved", "digest": gate["digest"]})
    headers = {**stand.server.headers("reviewer"), "Content-Type": "application/json"}
    connection.request("POST", f"/api/v1/approvals/{gate['approval_id']}/decisions", body, headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 202:
        raise RuntimeError(f"a decision was answered with {answer.status}")


async def _signal(client: Client, number: int) -> Spent:
    handle = await client.start_workflow("RawGate", number, id=str(uuid.uuid4()), task_queue="raw")
    # Its first workflow task is done, as a gated run's is when it can be decided.
    await handle.query("__stack_trace")
    asked_at = time.time()
    await handle.signal("decide")
    return await _spent(handle, asked_at)


async def _spent(handle: WorkflowHandle, asked_at: float) -> Spent:
    """Of a run that now ends: how long until its last signal was in history, and from there to its last activity being scheduled."""
    await handle.result()
    history = await handle.fetch_history()
    signalled, scheduled = (
        [each for each in history.events if each.event_type == sort][-1].event_time.ToNanoseconds() / 1e6
        for sort in (EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
    )
    return signalled - asked_at * 1000, scheduled - signalled
