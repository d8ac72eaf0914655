"""The projector alone: it decodes, folds and stores archived histories, without the cost of Temporal."""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import asyncpg
import psutil
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from agentgrid.db import migrate
from agentgrid.servers import PostgresServer, TemporalServer
from agentgrid.temporal.archive import pack, unpack
from tests.bench.meters import BENCH, cpu
from tests.bench.stand import ROOT, child, configuration
from tests.bench.throughput import Bench

TITLE = "The projector alone"
METHOD = (
    "Archived histories of real runs of three tools, each copied with new ids, are projected by `agentgrid rebuild` (one process, pinned "
    "to one core): decoded, folded and stored in PostgreSQL, first into empty tables, then over the existing rows."
)
SOURCES = 50
REBUILT = 10_000
CLEAR_PROJECTION = (
    "TRUNCATE runs, run_search, executions, steps, approvals, decisions, controls, events, run_changes, touches"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this part."""
    parser.add_argument("--rebuilt", type=int, default=REBUILT, help=f"projector: runs rebuilt (default {REBUILT:,})")


async def measure(arguments: argparse.Namespace, home: Path) -> list[tuple[str, str]]:
    """Measure the duration and CPU of rebuilds."""
    async with TemporalServer(home) as temporal, PostgresServer(home) as postgres:
        dsn = await postgres.create_database("rebuilt")
        await migrate.upgrade(dsn)
        environment = configuration(home, temporal.address, dsn)
        async with asyncpg.create_pool(
            dsn, min_size=1, max_size=2, server_settings={"application_name": BENCH}
        ) as pool:
            await _run_sources(pool, temporal.address, environment, temporal.pid, postgres.pid)
        # A new Temporal server without these runs, so that the rebuild reads only from the archive.
    empty = home / "empty"
    empty.mkdir(mode=0o711)
    async with TemporalServer(empty, in_memory=True) as temporal, PostgresServer(home) as postgres:
        environment["AGENTGRID_TEMPORAL_ADDRESS"] = temporal.address
        environment["AGENTGRID_DATABASE_URL"] = dsn = postgres.dsn_of("rebuilt")
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(CLEAR_PROJECTION)
            events = await _copy_histories(connection, arguments.rebuilt)
            await connection.execute("VACUUM ANALYZE")
        finally:
            await connection.close()
        server = psutil.Process(postgres.pid)
        figures = []
        for target in ("into empty tables", "over the same rows"):
            before = cpu(server)
            seconds, cpu_seconds = await asyncio.to_thread(_rebuild, environment)
            postgres_seconds = cpu(server) - before
            count = f"{arguments.rebuilt:,}"
            figures.append((f"rebuild of {count} runs {target}, seconds", f"{seconds:.1f}"))
            figures.append((f"{target}, events per second", f"{events / seconds:,.0f}"))
            figures.append(
                (
                    f"{target}, CPU per run of the projector / of PostgreSQL (ms)",
                    f"{cpu_seconds * 1000 / arguments.rebuilt:.2f} / {postgres_seconds * 1000 / arguments.rebuilt:.2f}",
                )
            )
    return [("events per run", f"{events / arguments.rebuilt:.0f}"), *figures]


async def _run_sources(
    pool: asyncpg.Pool, address: str, environment: dict[str, str], temporal_pid: int, postgres_pid: int
) -> None:
    """Run the workflows whose histories will be copied."""
    await pool.execute(
        'INSERT INTO policy_snapshots (document) VALUES (\'{"version": 1, "made_at": "2026-01-01T00:00:00Z"}\')'
    )
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    bench = Bench(client, pool, environment, temporal_pid, postgres_pid)
    with child("projector", environment), child("worker", environment):
        await bench.burst("three", "bench", SOURCES)
        await bench.wait_for_projection()


async def _copy_histories(connection: asyncpg.Connection, count: int) -> int:
    """Replace the archived histories with `count` copies of them under new ids. Returns the total number of events."""
    sources = [unpack(row["events"]) for row in await connection.fetch("SELECT events FROM histories")]
    await connection.execute("TRUNCATE histories")
    rows, total = [], 0
    for number in range(count):
        events = sources[number % len(sources)]
        workflow_id, execution_id = str(uuid.uuid4()), str(uuid.uuid4())
        started = events[0].workflow_execution_started_event_attributes
        started.workflow_id = workflow_id
        started.original_execution_run_id = started.first_execution_run_id = execution_id
        total += len(events)
        rows.append((execution_id, execution_id, workflow_id, "default", len(events), pack(events)))
    await connection.copy_records_to_table(
        "histories",
        records=rows,
        columns=["execution_id", "run_id", "workflow_id", "namespace", "event_count", "events"],
    )
    return total


def _rebuild(environment: dict[str, str]) -> tuple[float, float]:
    """Run `agentgrid rebuild`. Returns its duration and its CPU time in seconds."""
    started_at = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "agentgrid.cli.main", "rebuild"],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
    )
    psutil.Process(process.pid).cpu_affinity([0])
    _, status, used = os.wait4(process.pid, 0)
    if status != 0:
        raise RuntimeError(f"`agentgrid rebuild` exited with wait status {status}")
    return time.perf_counter() - started_at, used.ru_utime + used.ru_stime
