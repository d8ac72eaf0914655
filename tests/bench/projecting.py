"""The projector alone: histories decoded, folded and stored, without Temporal in the way."""

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
from tests.bench.stand import ROOT, configuration
from tests.bench.throughput import Bench, child

TITLE = "The projector alone"
SAYS = (
    "Archived histories of real runs of three tools, each copied with new ids, are projected by `agentgrid rebuild` (one process, pinned "
    "to one core): decoded, folded and stored in PostgreSQL, first into empty tables, then over the existing rows."
)
SOURCES = 50
REBUILT = 10_000
PROJECTED = "TRUNCATE runs, run_search, executions, steps, approvals, decisions, controls, events, run_changes, touches"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many runs."""
    parser.add_argument("--rebuilt", type=int, default=REBUILT, help=f"projector: runs rebuilt (default {REBUILT:,})")


async def measure(arguments: argparse.Namespace, home: Path) -> list[tuple[str, str]]:
    """Events a second, and the seconds of a rebuild."""
    async with TemporalServer(home) as temporal, PostgresServer(home) as postgres:
        dsn = await postgres.create_database("rebuilt")
        await migrate.upgrade(dsn)
        environment = configuration(home, temporal.address, dsn)
        async with asyncpg.create_pool(
            dsn, min_size=1, max_size=2, server_settings={"application_name": BENCH}
        ) as pool:
            await _ran(pool, temporal.address, environment, temporal.pid, postgres.pid)
        # Another Temporal, which knows none of them: what is rebuilt comes from the archive alone.
    empty = home / "empty"
    empty.mkdir(mode=0o711)
    async with TemporalServer(empty, in_memory=True) as temporal, PostgresServer(home) as postgres:
        environment["AGENTGRID_TEMPORAL_ADDRESS"] = temporal.address
        environment["AGENTGRID_DATABASE_URL"] = dsn = postgres.dsn_of("rebuilt")
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(PROJECTED)
            events = await _copied(connection, arguments.rebuilt)
            await connection.execute("VACUUM ANALYZE")
        finally:
            await connection.close()
        server = psutil.Process(postgres.pid)
        figures = []
        for what in ("into empty tables", "over the same rows"):
            before = cpu(server)
            took, spent = await asyncio.to_thread(_rebuilt, environment)
            stored = cpu(server) - before
            count = f"{arguments.rebuilt:,}"
            figures.append((f"rebuild of {count} runs {what}, seconds", f"{took:.1f}"))
            figures.append((f"{what}, events per second", f"{events / took:,.0f}"))
            figures.append(
                (
                    f"{what}, CPU per run of the projector / of PostgreSQL (ms)",
                    f"{spent * 1000 / arguments.rebuilt:.2f} / {stored * 1000 / arguments.rebuilt:.2f}",
                )
            )
    return [("events of a run", f"{events / arguments.rebuilt:.0f}"), *figures]


async def _ran(
    pool: asyncpg.Pool, address: str, environment: dict[str, str], temporal_pid: int, postgres_pid: int
) -> None:
    """Run the runs that are copied."""
    await pool.execute(
        'INSERT INTO policy_snapshots (document) VALUES (\'{"version": 1, "made_at": "2026-01-01T00:00:00Z"}\')'
    )
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    bench = Bench(client, pool, environment, temporal_pid, postgres_pid)
    with child("projector", environment), child("worker", environment):
        await bench.burst("three", "bench", SOURCES)
        await bench.settled()


async def _copied(connection: asyncpg.Connection, count: int) -> int:
    """Make so many archived histories out of those that are there, and these alone; how many events they hold."""
    sources = [unpack(row["events"]) for row in await connection.fetch("SELECT events FROM histories")]
    await connection.execute("TRUNCATE histories")
    rows, total = [], 0
    for number in range(count):
        events = sources[number % len(sources)]
        workflow_id, execution_id = str(uuid.uuid4()), str(uuid.uuid4())
        began = events[0].workflow_execution_started_event_attributes
        began.workflow_id = workflow_id
        began.original_execution_run_id = began.first_execution_run_id = execution_id
        total += len(events)
        rows.append((execution_id, execution_id, workflow_id, "default", len(events), pack(events)))
    await connection.copy_records_to_table(
        "histories",
        records=rows,
        columns=["execution_id", "run_id", "workflow_id", "namespace", "event_count", "events"],
    )
    return total


def _rebuilt(environment: dict[str, str]) -> tuple[float, float]:
    """Seconds, and seconds of CPU, of the command."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "agentgrid.cli.main", "rebuild"],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
    )
    psutil.Process(process.pid).cpu_affinity([0])
    _, status, used = os.wait4(process.pid, 0)
    if status != 0:
        raise RuntimeError(f"the rebuild ended with {status}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime
