"""The cost of AgentGrid compared with the plain Temporal SDK, on the same servers in one run.

Raw and governed rounds alternate because machines are noisy: only ratios within one run are meaningful. A governed round has everything enabled:
policy, jobs, logs, touches and the projector.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from agentgrid.db import migrate
from agentgrid.projector.decode import decode
from agentgrid.projector.fold import fold
from agentgrid.projector.fold.state import FoldState
from agentgrid.projector.rebuild import rebuild_projection
from agentgrid.servers import PostgresServer, TemporalServer
from agentgrid.settings import Settings
from agentgrid.temporal.archive import unpack
from tests.bench.meters import BENCH, backends, calls, cpu
from tests.bench.page import median_range, percentile
from tests.bench.stand import child, configuration

TITLE = "Throughput and the cost of a run"
METHOD = "Medians of the rounds, lowest and highest in brackets; raw and governed rounds alternate in one run on the same servers."
CONCURRENT = 20
"""Enough to saturate two cores: more open runs would only wait longer."""
BURST_SECONDS = 300
"""A burst that takes longer has no running worker."""
MODES = {"raw": ("RawThree", "raw"), "governed": ("three", "bench"), "local": ("three_local", "bench")}


@dataclass(kw_only=True)
class Round:
    """One round: runs per second, and the CPU seconds per run of the worker, Temporal, the projector and PostgreSQL."""

    rate: float
    worker: float
    temporal: float
    projector: float = 0.0
    postgres: float = 0.0
    backend_cpu: Counter[str] = field(default_factory=Counter)
    """PostgreSQL's CPU seconds per run, by client."""
    calls: Counter[str] = field(default_factory=Counter)
    """The projector's calls of Temporal by kind, its transactions and its statements, all per run."""
    lags: list[float] = field(default_factory=list)
    """Milliseconds from the end of each run until the projection shows it."""
    step_lags: list[float] = field(default_factory=list)
    """Milliseconds from each step's first event until the projection shows the step."""
    resident: dict[str, float] = field(default_factory=dict)


class Bench:
    """The servers, with the rounds and queries of this part."""

    def __init__(
        self, client: Client, pool: asyncpg.Pool, environment: dict[str, str], temporal_pid: int, postgres_pid: int
    ) -> None:
        self.client = client
        self.pool = pool
        self.environment = environment
        self.home = Path(environment["AGENTGRID_HOME"])
        self.temporal = psutil.Process(temporal_pid)
        self.postgres = psutil.Process(postgres_pid)

    async def burst(self, workflow: str, queue: str, count: int) -> float:
        """Seconds for this many runs, with at most `CONCURRENT` open at once."""
        slots = asyncio.Semaphore(CONCURRENT)

        async def one(number: int) -> None:
            async with slots:
                handle = await self.client.start_workflow(workflow, number, id=str(uuid.uuid4()), task_queue=queue)
                await handle.result()

        started_at = time.perf_counter()
        async with asyncio.timeout(BURST_SECONDS):
            await asyncio.gather(*[one(number) for number in range(count)])
        return time.perf_counter() - started_at

    async def wait_for_projection(self) -> None:
        """Wait until the projection has caught up."""
        async with asyncio.timeout(120):
            while await self.pool.fetchval(
                "SELECT count(*) FROM executions WHERE status = 'running'"
            ) or await self.pool.fetchval(
                "SELECT (SELECT count(*) FROM run_changes WHERE due_at <= now()) + (SELECT count(*) FROM touches)"
            ):
                await asyncio.sleep(0.1)

    async def round(self, mode: str, count: int) -> Round:
        """One round of one mode, in fresh processes, after a warm-up."""
        workflow, queue = MODES[mode]
        if mode == "raw":
            with child("raw", self.environment) as worker:
                await self.burst(workflow, queue, 20)
                measured = (worker, self.temporal)
                before = [cpu(process) for process in measured]
                seconds = await self.burst(workflow, queue, count)
                spent = [(cpu(process) - start) / count for process, start in zip(measured, before, strict=True)]
                return Round(rate=count / seconds, worker=spent[0], temporal=spent[1])
        with child("projector", self.environment) as projector, child("worker", self.environment) as worker:
            await self.burst(workflow, queue, 20)
            await self.wait_for_projection()
            since, calls_before = await self.now(), await calls(self.pool, self.home)
            measured = (worker, self.temporal, projector, self.postgres)
            before, backends_before = [cpu(process) for process in measured], await backends(self.pool)
            seconds = await self.burst(workflow, queue, count)
            await self.wait_for_projection()
            after, backends_after = [cpu(process) for process in measured], await backends(self.pool)
            spent = [(end - start) / count for end, start in zip(after, before, strict=True)]
            calls_after = await calls(self.pool, self.home)
            return Round(
                rate=count / seconds,
                worker=spent[0],
                temporal=spent[1],
                projector=spent[2],
                postgres=spent[3],
                backend_cpu=per_run(backends_before, backends_after, count),
                calls=per_run(calls_before, calls_after, count),
                lags=await self.lags(since, await self.now()),
                step_lags=await self.step_lags(since, await self.now()),
                resident={"worker": worker.memory_info().rss / 1e6, "projector": projector.memory_info().rss / 1e6},
            )

    async def lags(self, since: str, until: str) -> list[float]:
        """Milliseconds from an execution's last event to the commit that shows its end."""
        rows = await self.pool.fetch(
            "SELECT extract(epoch FROM updated_at - closed_at) * 1000 AS lag FROM runs "
            "WHERE closed_at BETWEEN $1::text::timestamptz AND $2::text::timestamptz ORDER BY 1",
            since,
            until,
        )
        return [float(row["lag"]) for row in rows]

    async def step_lags(self, since: str, until: str) -> list[float]:
        """Milliseconds from a step's first event to the commit that first shows it."""
        rows = await self.pool.fetch(
            "SELECT extract(epoch FROM min(e.created_at) - s.scheduled_at) * 1000 AS lag FROM runs AS r "
            "JOIN steps AS s USING (run_id) JOIN events AS e ON e.run_id = r.run_id AND e.kind = 'step' "
            "AND e.subject = s.execution_id || '/' || s.event_id "
            "WHERE r.closed_at BETWEEN $1::text::timestamptz AND $2::text::timestamptz "
            "GROUP BY s.execution_id, s.event_id, s.scheduled_at",
            since,
            until,
        )
        return [float(row["lag"]) for row in rows]

    async def now(self) -> str:
        return str(await self.pool.fetchval("SELECT clock_timestamp()::text"))

    async def idle_lags(self, count: int) -> list[float]:
        """The lags of runs that are started one at a time."""
        with child("projector", self.environment), child("worker", self.environment):
            await self.burst("three", "bench", 5)
            await self.wait_for_projection()
            since = await self.now()
            for _ in range(count):
                await self.burst("three", "bench", 1)
                await asyncio.sleep(0.05)
            await self.wait_for_projection()
            return await self.lags(since, await self.now())

    async def folding_rate(self) -> float:
        """Events per second that one core decodes and folds, measured with archived histories."""
        rows = await self.pool.fetch("SELECT execution_id, events FROM histories ORDER BY archived_at DESC LIMIT 300")
        converter = pydantic_data_converter.payload_converter
        histories = [(row["execution_id"], unpack(row["events"])) for row in rows]
        started_at = time.process_time()
        for execution_id, events in histories:
            fold(FoldState(execution_id=execution_id), decode(events, converter))
        return sum(len(events) for _, events in histories) / (time.process_time() - started_at)


def per_run(before: Counter[str], after: Counter[str], count: int) -> Counter[str]:
    """The difference between two counts, divided by the number of runs."""
    return Counter({name: (after[name] - before[name]) / count for name in after})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this part and of `api`."""
    parser.add_argument("--runs", type=int, default=200, help="throughput, api: runs per round (default 200)")
    parser.add_argument("--rounds", type=int, default=3, help="throughput, api: rounds per mode (default 3)")


async def measure(arguments: argparse.Namespace, home: Path) -> list[tuple[str, str]]:
    """Measure all rounds, then idle lags, folding, and a rebuild. Returns rows of name and value."""
    runs, rounds = arguments.runs, arguments.rounds
    figures: list[tuple[str, str]] = []
    async with TemporalServer(home) as temporal, PostgresServer(home) as postgres:
        dsn = await postgres.create_database("bench")
        await migrate.upgrade(dsn)
        environment = configuration(home, temporal.address, dsn)
        client = await Client.connect(temporal.address, data_converter=pydantic_data_converter)
        async with asyncpg.create_pool(
            dsn, min_size=1, max_size=2, server_settings={"application_name": BENCH}
        ) as pool:
            await pool.execute(
                'INSERT INTO policy_snapshots (document) VALUES (\'{"version": 1, "made_at": "2026-01-01T00:00:00Z"}\')'
            )
            bench = Bench(client, pool, environment, temporal.pid or 0, postgres.pid or 0)
            results: dict[str, list[Round]] = {mode: [] for mode in MODES}
            for number in range(rounds):
                for mode in MODES:
                    results[mode].append(await bench.round(mode, runs))
                    print(f"round {number + 1} {mode}: {results[mode][-1].rate:.1f} runs/s", file=sys.stderr)
            raw = results["raw"]
            figures.append(("raw Temporal, runs per second", median_range([result.rate for result in raw], "{:.1f}")))
            for mode, label in (("governed", "three tools"), ("local", "three local tools")):
                ratio = [result.rate / raw_result.rate for result, raw_result in zip(results[mode], raw, strict=True)]
                figures.append(
                    (f"{label}, runs per second", median_range([result.rate for result in results[mode]], "{:.1f}"))
                )
                figures.append((f"{label} ÷ raw Temporal, throughput", median_range(ratio)))
            added = [
                (result.worker + result.projector + result.postgres - raw_result.worker) / raw_result.worker
                for result, raw_result in zip(results["governed"], raw, strict=True)
            ]
            figures.append(
                ("CPU added per run by worker, projector and database ÷ raw worker's CPU per run", median_range(added))
            )
            for name in ("worker", "projector", "postgres"):
                spent = [getattr(result, name) * 1000 for result in results["governed"]]
                figures.append((f"CPU per run, {name} (ms)", median_range(spent, "{:.1f}")))
            figures.append(
                ("CPU per run, raw worker (ms)", median_range([result.worker * 1000 for result in raw], "{:.1f}"))
            )
            for mode, label in (("raw", "raw"), ("governed", "governed")):
                spent = [result.temporal * 1000 for result in results[mode]]
                figures.append((f"CPU per run, Temporal, {label} rounds (ms)", median_range(spent, "{:.1f}")))
            for name in ("projector", "worker"):
                spent = [result.backend_cpu[name] * 1000 for result in results["governed"]]
                figures.append((f"CPU per run, postgres for the {name} (ms)", median_range(spent, "{:.1f}")))
            for mode, label in (("governed", "three tools"), ("local", "three local tools")):
                read = [result.calls["history"] for result in results[mode]]
                figures.append((f"{label}, history reads per run", median_range(read)))
                other = [result.calls["describe"] + result.calls["list"] for result in results[mode]]
                figures.append((f"{label}, other Temporal calls of the projector per run", median_range(other)))
                for kind in ("transaction", "statement"):
                    figures.append(
                        (
                            f"{label}, {kind}s of the projector per run",
                            median_range([result.calls[kind] for result in results[mode]]),
                        )
                    )
                lags = [lag for result in results[mode] for lag in result.lags]
                figures.append(
                    (
                        f"{label}, projection lag, saturated, p50 / p99 (ms)",
                        f"{percentile(lags, 0.5):.0f} / {percentile(lags, 0.99):.0f}",
                    )
                )
                lags = [lag for result in results[mode] for lag in result.step_lags]
                figures.append(
                    (
                        f"{label}, projection lag per step, saturated, p50 / p99 (ms)",
                        f"{percentile(lags, 0.5):.0f} / {percentile(lags, 0.99):.0f}",
                    )
                )
            idle = await bench.idle_lags(60)
            figures.append(
                ("projection lag, idle, p50 / p99 (ms)", f"{percentile(idle, 0.5):.0f} / {percentile(idle, 0.99):.0f}")
            )
            figures.append(("decode and fold, events per second on one core", f"{await bench.folding_rate():,.0f}"))
            settings = Settings(database_url=dsn, temporal_address=temporal.address, home=home)  # type: ignore[arg-type]
            started_at = time.perf_counter()
            rebuilt = await rebuild_projection(settings)
            seconds = time.perf_counter() - started_at
            figures.append((f"rebuild of {rebuilt.executions:,} executions, seconds", f"{seconds:.1f}"))
            for name in ("worker", "projector"):
                figures.append(
                    (
                        f"memory, {name} (MB)",
                        median_range([result.resident[name] for result in results["governed"]], "{:.0f}"),
                    )
                )
    return figures
