"""What an agent's run costs: the worker's CPU, history, and memory, beside bare activities and pydantic-ai's own Temporal loop.

The provider answers at once, in a process of its own, over its real protocol. Policy is fixed, without a control plane: that is measured in
other parts.
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
from tests.bench.page import middle
from tests.bench.stand import process

TITLE = "Agents"
SAYS = (
    "Five model turns with one tool call each and a final turn, with a provider that answers at once over HTTP; the CPU is that of the worker's "
    "process, which runs only this kind of loop. Medians of the rounds, lowest and highest in brackets."
)
RUNS = 40
ROUNDS = 3
WAITING = 500
AT_ONCE = 10
KINDS = {
    "bare": ("RawTen", 0, "ten bare activities"),
    "calls": ("ten_calls", "turns=0", "ten governed calls of a tool, no agent"),
    "own": ("count", "turns=5", "an agent, 5 + 1 turns"),
    "pydantic_ai": ("CountPydanticAI", "turns=5", "pydantic-ai's own Temporal loop, 5 + 1 turns"),
}
QUEUES = {"calls": "own"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many."""
    parser.add_argument("--agent-runs", type=int, default=RUNS, help=f"agents: runs of a round (default {RUNS})")
    parser.add_argument("--agent-rounds", type=int, default=ROUNDS, help=f"agents: rounds (default {ROUNDS})")
    parser.add_argument("--langgraph", metavar="PYTHON", help="agents: an interpreter that has LangGraph, to compare")
    parser.add_argument("--agent-waiting", type=int, default=WAITING, help=f"agents: that wait (default {WAITING})")


@dataclass(kw_only=True)
class Measured:
    """Of one kind, a value for each round."""

    alone_cpu: list[float] = field(default_factory=list)
    """Milliseconds of CPU per run, one run after another."""
    alone_wall: list[float] = field(default_factory=list)
    together_cpu: list[float] = field(default_factory=list)
    """The same with ten runs at once."""
    events: int = 0
    size: int = 0
    """Bytes of one run's history."""


class Stand:
    """The servers, and what is asked of them."""

    def __init__(self, client: Client, environment: dict[str, str]) -> None:
        self.client, self.environment = client, environment

    @asynccontextmanager
    async def worker(self, kind: str) -> AsyncIterator[psutil.Process]:
        """A worker of this kind that has run a few times."""
        queue = QUEUES.get(kind, kind)
        with process([sys.executable, "-m", "tests.bench.agent_worker", queue], self.environment) as worker:
            for _ in range(5):
                await self.run(kind)
            yield worker

    async def start(self, kind: str, value: Any = None) -> WorkflowHandle[Any, Any]:
        workflow, default, _ = KINDS[kind]
        # Runs with different texts: a provider counts equal conversations as attempts of one.
        name = str(uuid.uuid4())
        given = default if value is None else value
        given = f"{given} {name}" if isinstance(given, str) else given
        return await self.client.start_workflow(workflow, given, id=name, task_queue=QUEUES.get(kind, kind))

    async def run(self, kind: str, value: Any = None) -> WorkflowHandle[Any, Any]:
        handle = await self.start(kind, value)
        await handle.result()
        return handle

    async def history(self, handle: WorkflowHandle[Any, Any]) -> tuple[int, int]:
        """Its events and bytes."""
        events = (await handle.fetch_history()).events
        return len(events), sum(event.ByteSize() for event in events)


async def measure(arguments: argparse.Namespace, home: Path) -> list[tuple[str, str]]:
    """Each kind in turn, round after round; then histories, and many agents that wait."""
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
            await _answers(port)
            measured = {kind: Measured() for kind in KINDS}
            for number in range(arguments.agent_rounds):
                for kind, figures in measured.items():
                    await _round(stand, kind, figures, arguments.agent_runs)
                print(f"round {number + 1} of {arguments.agent_rounds}", file=sys.stderr)
            figures = [*_compared(measured), *await _long_and_waiting(stand, arguments.agent_waiting)]
            if arguments.langgraph:
                figures += await _langgraph(arguments, home, environment)
            return figures


async def _answers(port: int) -> None:
    async with asyncio.timeout(30), httpx.AsyncClient() as http:
        while True:
            try:
                await http.get(f"http://127.0.0.1:{port}/v1/models", headers={"Authorization": "Bearer x"})
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                return


async def _round(stand: Stand, kind: str, measured: Measured, runs: int) -> None:
    async with stand.worker(kind) as worker:
        before, walls = cpu(worker), []
        for _ in range(runs):
            began = time.perf_counter()
            handle = await stand.run(kind)
            walls.append((time.perf_counter() - began) * 1000)
        measured.alone_cpu.append((cpu(worker) - before) / runs * 1000)
        measured.alone_wall.append(sorted(walls)[runs // 2])
        measured.events, measured.size = await stand.history(handle)
        places = asyncio.Semaphore(AT_ONCE)

        async def one() -> None:
            async with places:
                await stand.run(kind)

        before = cpu(worker)
        await asyncio.gather(*(one() for _ in range(runs)))
        measured.together_cpu.append((cpu(worker) - before) / runs * 1000)


def _compared(measured: dict[str, Measured]) -> list[tuple[str, str]]:
    figures: list[tuple[str, str]] = []
    bare = measured["bare"]
    for kind, each in measured.items():
        name = KINDS[kind][2]
        figures += [
            (
                f"{name}: CPU per run, one by one / ten at once (ms)",
                f"{middle(each.alone_cpu)} / {middle(each.together_cpu)}",
            ),
            (f"{name}: start to result, one by one (ms)", middle(each.alone_wall)),
            (f"{name}: events; history (KB)", f"{each.events}; {each.size / 1000:.0f}"),
        ]
        if kind != "bare":
            ratios = [[a / b for a, b in zip(x, y, strict=True)] for x, y in _pairs(each, bare)]
            figures.append((f"{name}: CPU ÷ that of ten bare activities", " / ".join(middle(each) for each in ratios)))
    gate = [(a - b) / 10 for a, b in zip(measured["calls"].alone_cpu, bare.alone_cpu, strict=True)]
    figures.append(("cost of the gate for each call of a tool, CPU (ms)", middle(gate)))
    return figures


def _pairs(one: Measured, other: Measured) -> list[tuple[list[float], list[float]]]:
    return [(one.alone_cpu, other.alone_cpu), (one.together_cpu, other.together_cpu)]


async def _langgraph(arguments: argparse.Namespace, home: Path, environment: dict[str, str]) -> list[tuple[str, str]]:
    """The same work in LangGraph, whose process is no worker: only its own CPU is counted, as for the others."""
    async with PostgresServer(home / "langgraph") as postgres:
        dsn = await postgres.create_database("langgraph")
        rounds = []
        for _ in range(arguments.agent_rounds):
            made = await asyncio.create_subprocess_exec(
                arguments.langgraph,
                str(Path(__file__).with_name("agent_langgraph.py")),
                str(arguments.agent_runs),
                env={**environment, "LANGGRAPH_DSN": dsn},
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await made.communicate()
            rounds.append(json.loads(output))
    return [
        (
            "LangGraph with PostgreSQL checkpoints, 5 + 1 turns: CPU per run (ms)",
            middle([each["cpu"] for each in rounds]),
        ),
        ("LangGraph with PostgreSQL checkpoints: start to result (ms)", middle([each["wall"] for each in rounds])),
    ]


async def _long_and_waiting(stand: Stand, count: int) -> list[tuple[str, str]]:
    """A run of twenty turns; then many agents whose call waits for an approval, and how long they take to get there."""
    async with stand.worker("own") as worker:
        events, size = await stand.history(await stand.run("own", "turns=20"))
        idle = pss(worker)
        began = time.perf_counter()
        places = asyncio.Semaphore(AT_ONCE)

        async def begin() -> WorkflowHandle[Any, Any]:
            async with places:
                return await stand.start("own", "turns=1 ask")

        handles = await asyncio.gather(*(begin() for _ in range(count)))
        await asyncio.gather(*(_asks(handle) for handle in handles))
        seconds, waiting = time.perf_counter() - began, pss(worker)
        await asyncio.gather(*(handle.terminate() for handle in handles))
    return [
        ("an agent, 20 + 1 turns: events; history (KB)", f"{events}; {size / 1000:.0f}"),
        (f"{count} agents that wait for an approval at once: until all wait (s)", f"{seconds:.1f}"),
        ("memory of the worker for each agent that waits (KB)", f"{(waiting - idle) / count * 1000:.0f}"),
    ]


async def _asks(handle: WorkflowHandle[Any, Any]) -> None:
    """Return once the run's approval can be decided."""
    async with asyncio.timeout(300):
        while not any(
            event.HasField("timer_started_event_attributes") for event in (await handle.fetch_history()).events
        ):
            await asyncio.sleep(0.5)
