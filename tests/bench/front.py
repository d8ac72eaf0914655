"""The cost of the API: runs started through it compared with runs started by Temporal's client, and its CPU time per call."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from agentgrid.db import migrate
from agentgrid.servers import PostgresServer, TemporalServer
from tests.bench import solo
from tests.bench.lean import LeanClient, Unavailable, lean_client
from tests.bench.meters import BENCH, cpu, pss
from tests.bench.page import median_range, percentile
from tests.bench.stand import Api, api, child, configuration
from tests.bench.waiting import run_concurrently

TITLE = "The API"
METHOD = (
    "Runs of three steps, 40 in flight: raw ones started by Temporal's client, governed ones by `POST /workflows/{name}/runs`; all results are "
    "awaited through Temporal's client, and the rounds alternate on the same servers. Then runs of ten steps, raw and governed alternating, one "
    "at a time. Then calls to the API only, eight at once. CPU is that of the "
    "API's process, including its background work. Medians of the rounds, lowest and highest in brackets."
)
IN_FLIGHT = 40
AT_ONCE = 8
WARM = 40
CALLS = 400
DECISIONS = 60
BURST_SECONDS = 300
NAMES = {"all": "the worker", "projector": "the projector", "API": "the API"}
"""Display names of processes."""
MODES = {"raw": "RawThree", "governed": "three", "local": "three_local"}


@dataclass(kw_only=True)
class Burst:
    """One round of one mode."""

    rate: float
    cpu: dict[str, float] = field(default_factory=dict)
    """Milliseconds per run, by process."""
    answers: list[float] = field(default_factory=list)
    """The latency of each start in milliseconds."""


class Front:
    """The servers, the API and its clients."""

    def __init__(
        self, server: Api, http: LeanClient, client: Client, pool: asyncpg.Pool, environment: dict[str, str]
    ) -> None:
        self.server = server
        self.http = http
        self.client = client
        self.pool = pool
        self.environment = environment
        self.processes: dict[str, psutil.Process] = {}
        self.refused = 0
        """The number of starts that got 503 and were retried."""

    async def start_by_api(self, name: str, number: int) -> str:
        """Start a run through the API, as a user would. Returns its id."""
        while True:
            try:
                answer = await self.http.post(f"/workflows/{name}/runs", "operator", {"input": number})
            except Unavailable:
                self.refused += 1
                await asyncio.sleep(1)
            else:
                return str(answer["run_id"])

    async def start_by_client(self, name: str, number: int) -> str:
        """Start a run through Temporal's client. Returns its id."""
        return (await self.client.start_workflow(name, number, id=str(uuid.uuid4()), task_queue="raw")).id

    async def burst(self, mode: str, count: int) -> Burst:
        """Start `count` runs, at most `IN_FLIGHT` of them open at once."""
        start = self.start_by_client if mode == "raw" else self.start_by_api
        answers: list[float] = []

        async def one(number: int) -> None:
            requested_at = time.perf_counter()
            run_id = await start(MODES[mode], number)
            answers.append((time.perf_counter() - requested_at) * 1000)
            await self.client.get_workflow_handle(run_id).result()

        before, started_at = self.cpu_used(), time.perf_counter()
        async with asyncio.timeout(BURST_SECONDS):
            await run_concurrently(one, range(count), IN_FLIGHT)
        seconds = time.perf_counter() - started_at
        await self.wait_for_projection()
        return Burst(rate=count / seconds, cpu=self.cpu_per_item(before, count), answers=answers)

    def cpu_used(self) -> dict[str, float]:
        """The CPU seconds used by each process so far."""
        return {name: cpu(process) for name, process in self.processes.items()}

    def cpu_per_item(self, before: dict[str, float], count: int) -> dict[str, float]:
        """The CPU milliseconds used since `before`, divided by `count`."""
        return {name: (used - before[name]) * 1000 / count for name, used in self.cpu_used().items()}

    async def wait_for_projection(self) -> None:
        """Wait until the projection has caught up."""
        async with asyncio.timeout(BURST_SECONDS):
            while "projector" in self.processes and await self.pool.fetchval(
                "SELECT (SELECT count(*) FROM executions WHERE status = 'running') + "
                "(SELECT count(*) FROM run_changes WHERE due_at <= now()) + (SELECT count(*) FROM touches)"
            ):
                await asyncio.sleep(0.1)

    @contextlib.contextmanager
    def started(self, *roles: str) -> Iterator[None]:
        """Run processes of `tests.bench.processes` beside the servers."""
        with contextlib.ExitStack() as stack:
            for role in roles:
                self.processes[role] = stack.enter_context(child(role, self.environment))
            try:
                yield
            finally:
                for role in roles:
                    del self.processes[role]
                self.http.close_idle()

    async def round(self, mode: str, count: int) -> Burst:
        """One round of one mode, in fresh processes, after a warm-up."""
        with self.started(*(["raw"] if mode == "raw" else ["projector", "all"])):
            await self.wait_for_registration()
            await self.burst(mode, WARM)
            return await self.burst(mode, count)

    async def wait_for_registration(self) -> None:
        """Wait until a worker has registered the workflows."""
        async with asyncio.timeout(BURST_SECONDS):
            while "all" in self.processes and not await self.pool.fetchval(
                "SELECT count(*) FROM workflows WHERE name = 'gated'"
            ):
                await asyncio.sleep(0.05)

    async def timed_calls(
        self, call: Callable[[Any], Awaitable[Any]], items: Sequence[Any]
    ) -> tuple[float, list[float]]:
        """The API's CPU milliseconds per call, and the latency of each call in milliseconds."""
        answers: list[float] = []

        async def one(item: Any) -> None:
            requested_at = time.perf_counter()
            await call(item)
            answers.append((time.perf_counter() - requested_at) * 1000)

        before = self.cpu_used()
        await run_concurrently(one, items, AT_ONCE)
        return self.cpu_per_item(before, len(items))["API"], answers

    async def open_approvals(self, count: int) -> list[dict[str, Any]]:
        """Start `count` runs and wait until each waits for a decision. Returns their approvals."""
        run_ids = await run_concurrently(lambda number: self.start_by_api("gated", number), range(count), AT_ONCE)
        async with asyncio.timeout(BURST_SECONDS):
            while True:
                rows = await self.pool.fetch(
                    "SELECT approval_id, digest FROM approvals WHERE run_id = ANY($1) AND decidable", run_ids
                )
                if len(rows) == count:
                    return [dict(row) for row in rows]
                await asyncio.sleep(0.1)

    async def decide(self, approval: dict[str, Any]) -> None:
        """Approve it as the reviewer."""
        body = {"verdict": "approved", "digest": approval["digest"]}
        await self.http.post(f"/approvals/{approval['approval_id']}/decisions", "reviewer", body)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options, in addition to `--runs` and `--rounds`."""
    parser.add_argument("--calls", type=int, default=CALLS, help=f"api: reads of each kind per round (default {CALLS})")


async def measure(arguments: argparse.Namespace, home: Path) -> list[tuple[str, str]]:
    """Measure bursts of runs, single runs, and calls to the API."""
    async with TemporalServer(home) as temporal, PostgresServer(home) as postgres:
        dsn = await postgres.create_database("front")
        await migrate.upgrade(dsn)
        environment = configuration(home, temporal.address, dsn)
        client = await Client.connect(temporal.address, data_converter=pydantic_data_converter)
        async with (
            api(environment, dsn) as server,
            lean_client(server) as http,
            asyncpg.create_pool(dsn, min_size=1, max_size=2, server_settings={"application_name": BENCH}) as pool,
        ):
            front = Front(server, http, client, pool, environment)
            front.processes = {
                "API": server.process,
                "Temporal": psutil.Process(temporal.pid),
                "PostgreSQL": psutil.Process(postgres.pid),
            }
            figures = await _bursts(front, arguments.runs, arguments.rounds)
            with front.started("projector", "all", "raw"):
                figures += await _solo(front, arguments.rounds)
            with front.started("projector", "all"):
                figures += await _calls(front, arguments.calls, arguments.rounds)
                figures.append(("starts answered with 503", str(front.refused)))
                figures += [
                    (f"memory, {NAMES.get(name, name)} (PSS, MB)", f"{pss(process):.0f}")
                    for name, process in front.processes.items()
                ]
    return figures


async def _bursts(front: Front, runs: int, rounds: int) -> list[tuple[str, str]]:
    bursts: dict[str, list[Burst]] = {mode: [] for mode in MODES}
    for number in range(rounds):
        for mode in MODES:
            bursts[mode].append(await front.round(mode, runs))
            print(f"round {number + 1} {mode}: {bursts[mode][-1].rate:.1f} runs/s", file=sys.stderr)
    raw = bursts["raw"]
    raw_answers = [answer for burst in raw for answer in burst.answers]
    figures = [
        ("raw Temporal, started by its client, runs per second", median_range([burst.rate for burst in raw], "{:.1f}")),
        (
            "raw Temporal, latency of a start, p50 / p99 (ms)",
            f"{percentile(raw_answers, 0.5):.0f} / {percentile(raw_answers, 0.99):.0f}",
        ),
    ]
    for mode, label in (("governed", "three tools"), ("local", "three local tools")):
        ratio = [burst.rate / raw_burst.rate for burst, raw_burst in zip(bursts[mode], raw, strict=True)]
        answers = [answer for burst in bursts[mode] for answer in burst.answers]
        figures += [
            (
                f"{label}, started through the API, runs per second",
                median_range([burst.rate for burst in bursts[mode]], "{:.1f}"),
            ),
            (f"{label}, started through the API ÷ raw", median_range(ratio)),
            (
                f"{label}, CPU of the API per run (ms)",
                median_range([burst.cpu["API"] for burst in bursts[mode]], "{:.1f}"),
            ),
            (
                f"{label}, latency of a start, p50 / p99 (ms)",
                f"{percentile(answers, 0.5):.0f} / {percentile(answers, 0.99):.0f}",
            ),
        ]
    for name in ("all", "projector", "PostgreSQL"):
        spent = [burst.cpu[name] for burst in bursts["governed"]]
        figures.append((f"three tools, CPU of {NAMES.get(name, name)} per run (ms)", median_range(spent, "{:.1f}")))
    for mode in ("raw", "governed"):
        figures.append(
            (
                f"CPU of Temporal per run, {mode} (ms)",
                median_range([burst.cpu["Temporal"] for burst in bursts[mode]], "{:.1f}"),
            )
        )
    return figures


async def _solo(front: Front, rounds: int) -> list[tuple[str, str]]:
    """Runs of ten steps, alternately raw and governed, while nothing else runs."""
    await front.wait_for_registration()
    raw: list[list[solo.Timings]] = []
    governed: list[list[solo.Timings]] = []
    for number in range(rounds + 1):
        times = solo.TIMES if number else solo.WARM
        raw.append([])
        governed.append([])
        for index in range(times):
            requested_at = time.time()
            raw[-1].append(
                await solo.wait_and_time(front.client, await front.start_by_client("RawTen", index), requested_at)
            )
            requested_at = time.time()
            governed[-1].append(
                await solo.wait_and_time(front.client, await front.start_by_api("ten", index), requested_at)
            )
    return solo.figures(raw[1:], governed[1:])


async def _calls(front: Front, calls: int, rounds: int) -> list[tuple[str, str]]:
    await front.wait_for_registration()
    rows = await front.pool.fetch("SELECT run_id FROM runs WHERE workflow = 'three' AND status = 'completed' LIMIT 200")
    ids = [row["run_id"] for row in rows]
    measured: dict[str, list[tuple[float, list[float]]]] = {"start": [], "run": [], "list": [], "decision": []}
    for number in range(rounds + 1):
        approvals = await front.open_approvals(DECISIONS)
        # The runs wait for decisions, so nothing else happens during the calls.
        await asyncio.sleep(1)
        results = {
            "run": await front.timed_calls(
                lambda index: front.http.get(f"/runs/{ids[index % len(ids)]}", "operator"), range(calls)
            ),
            "list": await front.timed_calls(lambda _: front.http.get("/runs?limit=50", "operator"), range(calls)),
            "decision": await front.timed_calls(front.decide, approvals),
        }
        await front.wait_for_projection()
        results["start"] = await front.timed_calls(lambda index: front.start_by_api("three", index), range(DECISIONS))
        await front.wait_for_projection()
        if number:  # the first round warms up
            for name, result in results.items():
                measured[name].append(result)
    labels = {
        "start": "a start",
        "run": "`GET /runs/{id}`",
        "list": "`GET /runs?limit=50`",
        "decision": "a decision",
    }
    figures = []
    for name, label in labels.items():
        answers = [latency for _, latencies in measured[name] for latency in latencies]
        figures += [
            (
                f"{label}, CPU of the API (ms)",
                median_range([milliseconds for milliseconds, _ in measured[name]], "{:.1f}"),
            ),
            (f"{label}, latency, p50 / p99 (ms)", f"{percentile(answers, 0.5):.0f} / {percentile(answers, 0.99):.0f}"),
        ]
    return figures
