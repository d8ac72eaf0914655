"""The cost of an agent's run (worker CPU, history size, memory), compared with bare activities and pydantic-ai's own Temporal loop.

The provider runs in a separate process, speaks the real protocol and answers immediately. Policy is fixed and there is no control plane; other
parts measure that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

from agentgrid.servers import PostgresServer, TemporalServer
from agentgrid.servers.child import free_port
from tests.bench.meters import cpu, pss
from tests.bench.page import median_range
from tests.bench.stand import process

TITLE = "Agents"
METHOD = (
    "Five model turns with one tool call each and a final turn, with a provider that answers at once over HTTP; the CPU is that of the worker's "
    "process, which runs only this kind of loop. Medians of the rounds, lowest and highest in brackets."
)
RUNS = 40
ROUNDS = 3
WAITING = 500
CONCURRENCY = 10
KINDS = {
    "bare": ("RawTen", 0, "ten bare activities"),
    "calls": ("ten_calls", "turns=0", "ten governed tool calls, no agent"),
    "own": ("count", "turns=5", "an agent, 5 + 1 turns"),
    "pydantic_ai": ("CountPydanticAI", "turns=5", "pydantic-ai's own Temporal loop, 5 + 1 turns"),
}
QUEUES = {"calls": "own"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this part."""
    parser.add_argument("--agent-runs", type=int, default=RUNS, help=f"agents: runs per round (default {RUNS})")
    parser.add_argument("--agent-rounds", type=int, default=ROUNDS, help=f"agents: rounds (default {ROUNDS})")
    parser.add_argument("--langgraph", metavar="PYTHON", help="agents: an interpreter with LangGraph, for comparison")
    parser.add_argument(
        "--agent-waiting", type=int, default=WAITING, help=f"agents: agents waiting at once (default {WAITING})"
    )


@dataclass(kw_only=True)
class Measurements:
    """The measurements of one kind of loop, one value per round."""

    alone_cpu: list[float] = field(default_factory=list)
    """Milliseconds of CPU per run, one run after another."""
    alone_wall: list[float] = field(default_factory=list)
    together_cpu: list[float] = field(default_factory=list)
    """Milliseconds of CPU per run, ten runs at once."""
    events: int = 0
    size: int = 0
    """Bytes of one run's history."""


class Stand:
    """The Temporal server, with the requests that the benchmark makes of it."""

    def __init__(self, client: Client, environment: dict[str, str]) -> None:
        self.client, self.environment = client, environment

    @asynccontextmanager
    async def worker(self, kind: str) -> AsyncIterator[psutil.Process]:
        """A warmed-up worker for this kind of loop."""
        queue = QUEUES.get(kind, kind)
        with process([sys.executable, "-m", "tests.bench.agent_worker", queue], self.environment) as worker:
            for _ in range(5):
                await self.run(kind)
            yield worker

    async def start(self, kind: str, value: Any = None) -> WorkflowHandle[Any, Any]:
        workflow, default, _ = KINDS[kind]
        # Each run's prompt is unique: the provider treats equal conversations as attempts of the same one.
        run_id = str(uuid.uuid4())
        argument = default if value is None else value
        if isinstance(argument, str):
            argument = f"{argument} {run_id}"
        return await self.client.start_workflow(workflow, argument, id=run_id, task_queue=QUEUES.get(kind, kind))

    async def run(self, kind: str, value: Any = None) -> WorkflowHandle[Any, Any]:
        handle = await self.start(kind, value)
        await handle.result()
        return handle

    async def history(self, handle: WorkflowHandle[Any, Any]) -> tuple[int, int]:
        """The number of events in its history, and their size in bytes."""
        events = (await handle.fetch_history()).events
        return len(events), sum(event.ByteSize() for event in events)


async def measure(arguments: argparse.Namespace, home: Path) -> list[tuple[str, str]]:
    """Measure each kind in turn in every round; then a long run, and many waiting agents."""
    port = free_port()
    provider = [sys.executable, "-m", "agentgrid.testing.provider", "--port", str(port)]
    provider += ["--script", "tests.bench.agent_script:script"]
    async with TemporalServer(home / "temporal", in_memory=True) as server:
        environment = {
            "AGENTGRID_TEMPORAL_ADDRESS": server.address,
            "AGENTGRID_HOME": str(home),
            "AGENTGRID_LOG_LEVEL": "error",
            "OPENAI_API_KEY": "not-a-secret",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
        }
        client = await Client.connect(server.address, data_converter=pydantic_data_converter)
        stand = Stand(client, environment)
        with process(provider, environment):
            await _wait_for_provider(port)
            measured = {kind: Measurements() for kind in KINDS}
            for number in range(arguments.agent_rounds):
                for kind, measurements in measured.items():
                    await _round(stand, kind, measurements, arguments.agent_runs)
                print(f"round {number + 1} of {arguments.agent_rounds}", file=sys.stderr)
            figures = [*_compare(measured), *await _long_and_waiting(stand, arguments.agent_waiting)]
            if arguments.langgraph:
                figures += await _langgraph(arguments, home, environment)
            return figures


async def _wait_for_provider(port: int) -> None:
    async with asyncio.timeout(30), httpx.AsyncClient() as http:
        while True:
            try:
                await http.get(f"http://127.0.0.1:{port}/v1/models", headers={"Authorization": "Bearer x"})
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                return


async def _round(stand: Stand, kind: str, measured: Measurements, runs: int) -> None:
    async with stand.worker(kind) as worker:
        before, walls = cpu(worker), []
        for _ in range(runs):
            started_at = time.perf_counter()
            handle = await stand.run(kind)
            walls.append((time.perf_counter() - started_at) * 1000)
        measured.alone_cpu.append((cpu(worker) - before) / runs * 1000)
        measured.alone_wall.append(sorted(walls)[runs // 2])
        measured.events, measured.size = await stand.history(handle)
        slots = asyncio.Semaphore(CONCURRENCY)

        async def one() -> None:
            async with slots:
                await stand.run(kind)

        before = cpu(worker)
        await asyncio.gather(*(one() for _ in range(runs)))
        measured.together_cpu.append((cpu(worker) - before) / runs * 1000)


def _compare(measured: dict[str, Measurements]) -> list[tuple[str, str]]:
    figures: list[tuple[str, str]] = []
    bare = measured["bare"]
    for kind, own in measured.items():
        name = KINDS[kind][2]
        figures += [
            (
                f"{name}: CPU per run, one by one / ten at once (ms)",
                f"{median_range(own.alone_cpu)} / {median_range(own.together_cpu)}",
            ),
            (f"{name}: start to result, one by one (ms)", median_range(own.alone_wall)),
            (f"{name}: events; history (KB)", f"{own.events}; {own.size / 1000:.0f}"),
        ]
        if kind != "bare":
            ratios = [[a / b for a, b in zip(x, y, strict=True)] for x, y in _pairs(own, bare)]
            figures.append(
                (f"{name}: CPU ÷ that of ten bare activities", " / ".join(median_range(ratio) for ratio in ratios))
            )
    gate_cost = [(a - b) / 10 for a, b in zip(measured["calls"].alone_cpu, bare.alone_cpu, strict=True)]
    figures.append(("cost of the gate per tool call, CPU (ms)", median_range(gate_cost)))
    return figures


def _pairs(one: Measurements, other: Measurements) -> list[tuple[list[float], list[float]]]:
    return [(one.alone_cpu, other.alone_cpu), (one.together_cpu, other.together_cpu)]


async def _langgraph(arguments: argparse.Namespace, home: Path, environment: dict[str, str]) -> list[tuple[str, str]]:
    """The same work in LangGraph, which has no worker: as for the others, only the CPU of the process that runs the loop counts."""
    async with PostgresServer(home / "langgraph") as postgres:
        dsn = await postgres.create_database("langgraph")
        rounds = []
        for _ in range(arguments.agent_rounds):
            child = await asyncio.create_subprocess_exec(
                arguments.langgraph,
                str(Path(__file__).with_name("agent_langgraph.py")),
                str(arguments.agent_runs),
                env={**environment, "LANGGRAPH_DSN": dsn},
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await child.communicate()
            rounds.append(json.loads(output))
    return [
        (
            "LangGraph with PostgreSQL checkpoints, 5 + 1 turns: CPU per run (ms)",
            median_range([one["cpu"] for one in rounds]),
        ),
        ("LangGraph with PostgreSQL checkpoints: start to result (ms)", median_range([one["wall"] for one in rounds])),
    ]


async def _long_and_waiting(stand: Stand, count: int) -> list[tuple[str, str]]:
    """A run of twenty turns; then many agents whose tool call waits for an approval, and the time until all of them wait."""
    async with stand.worker("own") as worker:
        events, size = await stand.history(await stand.run("own", "turns=20"))
        idle = pss(worker)
        started_at = time.perf_counter()
        slots = asyncio.Semaphore(CONCURRENCY)

        async def begin() -> WorkflowHandle[Any, Any]:
            async with slots:
                return await stand.start("own", "turns=1 ask")

        handles = await asyncio.gather(*(begin() for _ in range(count)))
        await asyncio.gather(*(_wait_for_approval(handle) for handle in handles))
        seconds, waiting = time.perf_counter() - started_at, pss(worker)
        await asyncio.gather(*(handle.terminate() for handle in handles))
    return [
        ("an agent, 20 + 1 turns: events; history (KB)", f"{events}; {size / 1000:.0f}"),
        (f"{count} agents waiting for an approval at once: time until all wait (s)", f"{seconds:.1f}"),
        ("memory of the worker per waiting agent (KB)", f"{(waiting - idle) / count * 1000:.0f}"),
    ]


async def _wait_for_approval(handle: WorkflowHandle[Any, Any]) -> None:
    """Wait until the run's approval can be decided."""
    async with asyncio.timeout(300):
        while not any(
            event.HasField("timer_started_event_attributes") for event in (await handle.fetch_history()).events
        ):
            await asyncio.sleep(0.5)
