"""Many live streams on one API process: how long a change takes to reach all clients, and the memory that they need."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import asyncpg

from agentgrid.control import api_keys, principals
from agentgrid.db import locks, migrate
from agentgrid.db.session import make_engine
from agentgrid.db.tables import Step
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from agentgrid.servers import PostgresServer, TemporalServer
from tests.api import factories
from tests.bench.meters import cpu
from tests.bench.page import percentile
from tests.bench.stand import ROOT, SETUP, Api, api

TITLE = "Live streams and the memory of the API"
METHOD = (
    "Clients in a separate process hold one event stream each, at most 50 per principal; changes are committed as the projector commits them. "
    "Milliseconds from the commit to the last byte of the event at the client."
)
CLIENTS = 500
CHANGES = 100
CHANGES_PER_SECOND = 5
PER_PRINCIPAL = 50
READY_SECONDS = 60
SETTLE_SECONDS = 5.0

Arrivals = Callable[[], Awaitable[dict[str, list[float]]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this part."""
    parser.add_argument("--clients", type=int, default=CLIENTS, help=f"streams: clients (default {CLIENTS})")


async def measure(arguments: argparse.Namespace, home: Path) -> list[tuple[str, str]]:
    """Measure delays, CPU and memory."""
    async with TemporalServer(home, in_memory=True) as temporal, PostgresServer(home) as postgres:
        dsn = await postgres.create_database("streams")
        await migrate.upgrade(dsn)
        environment = {
            "AGENTGRID_TEMPORAL_ADDRESS": temporal.address,
            "AGENTGRID_HOME": str(home),
            "AGENTGRID_LOG_LEVEL": "error",
        }
        tokens = await create_viewers(dsn, -(-arguments.clients // PER_PRINCIPAL))
        async with api(environment, dsn) as server:
            watched_step, other_step = await _insert_step(dsn), await _insert_step(dsn)
            figures = await _unfiltered(server, dsn, tokens, arguments.clients, watched_step)
            return [*figures, await _filtered(server, dsn, tokens, arguments.clients, watched_step, other_step)]


async def _insert_step(dsn: str) -> Step:
    """Insert a new run with one step, and return the step."""
    run = factories.run()
    step = factories.step(run, 5)
    engine = make_engine(dsn, pool_size=1)
    try:
        await factories.insert(engine, run, factories.execution(run), step)
    finally:
        await engine.dispose()
    return step


async def create_viewers(dsn: str, count: int) -> list[str]:
    """Create this many viewers, and return their API keys."""
    engine = make_engine(dsn, pool_size=1)
    try:
        keys = []
        for number in range(count):
            principal = Principal(name=f"viewer-{number}", kind=PrincipalKind.SERVICE, roles=frozenset({Role.VIEWER}))
            await principals.put(engine, SETUP, principal)
            key = await api_keys.create(engine, SETUP, principal=principal.name, lifetime=timedelta(days=1))
            keys.append(key.secret)
        return keys
    finally:
        await engine.dispose()


@asynccontextmanager
async def _listening(
    server: Api, tokens: list[str], clients: int, *, query: str, changes: int
) -> AsyncIterator[Arrivals]:
    """Open this many streams. Yields a function that waits until each client has received `changes` changes, and returns arrival times by event id."""
    options = {"port": server.port, "tokens": tokens, "clients": clients, "changes": changes, "query": query}
    listeners = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.listeners",
        json.dumps(options),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 26,
    )
    stdout = listeners.stdout
    assert stdout is not None

    async def arrivals() -> dict[str, list[float]]:
        async with asyncio.timeout(READY_SECONDS):
            times: dict[str, list[float]] = json.loads(await stdout.readline())
        return times

    try:
        async with asyncio.timeout(READY_SECONDS):
            assert (await stdout.readline()).strip() == b"open"
        yield arrivals
    finally:
        if listeners.returncode is None:
            listeners.terminate()
        await listeners.wait()


async def _filtered(
    server: Api, dsn: str, tokens: list[str], clients: int, watched_step: Step, other_step: Step
) -> tuple[str, str]:
    async with _listening(server, tokens, clients, query=f"?run={watched_step.run_id}", changes=1) as arrivals:
        spent = cpu(server.process)
        await _commit_changes(dsn, other_step)
        spent = cpu(server.process) - spent
        # The only change that these clients receive.
        await _commit_changes(dsn, watched_step, count=1)
        await arrivals()
    return (
        f"CPU of the API per change of a run that none of {clients} clients watches (ms)",
        f"{spent * 1000 / CHANGES:.1f}",
    )


async def _unfiltered(server: Api, dsn: str, tokens: list[str], clients: int, step: Step) -> list[tuple[str, str]]:
    idle = server.memory
    async with _listening(server, tokens, clients, query="", changes=CHANGES) as arrivals:
        opened = server.memory
        spent = cpu(server.process)
        committed = await _commit_changes(dsn, step)
        arrived = await arrivals()
        spent = cpu(server.process) - spent
        loaded = server.memory
    await asyncio.sleep(SETTLE_SECONDS)
    delays: defaultdict[int, list[float]] = defaultdict(list)
    for event_id, times in arrived.items():
        delays[int(event_id)] = [(received_at - committed[int(event_id)]) * 1000 for received_at in times]
    missed = clients * len(committed) - sum(map(len, delays.values()))
    every = [delay for of_change in delays.values() for delay in of_change]
    last = [max(of_change) for of_change in delays.values()]
    return [
        (
            f"a change to each of {clients} clients, p50 / p99 (ms)",
            f"{percentile(every, 0.5):.0f} / {percentile(every, 0.99):.0f}",
        ),
        (
            f"a change to the last of {clients} clients, p50 / p99 (ms)",
            f"{percentile(last, 0.5):.0f} / {percentile(last, 0.99):.0f}",
        ),
        ("changes not received, of " + f"{clients * len(committed):,}", f"{missed}"),
        (f"CPU of the API per change to {clients} clients (ms)", f"{spent * 1000 / len(committed):.0f}"),
        ("memory of the API, started (MB)", f"{idle:.0f}"),
        (f"memory of the API, {clients} streams open (MB)", f"{opened:.0f}"),
        (f"memory of the API, after {len(committed)} changes (MB)", f"{loaded:.0f}"),
        ("memory of the API, all streams closed (MB)", f"{server.memory:.0f}"),
    ]


async def _commit_changes(dsn: str, step: Step, count: int = CHANGES) -> dict[int, float]:
    """Commit changes at a constant rate. Returns the time of each commit by event id."""
    connection = await asyncpg.connect(dsn)
    committed: dict[int, float] = {}
    try:
        due = time.monotonic()
        for _ in range(count):
            async with connection.transaction():
                await connection.execute(locks.TAKE, locks.EVENTS)
                event_id = await connection.fetchval(
                    "INSERT INTO events (run_id, kind, subject, data) VALUES ($1, 'step', $2, $3::json) RETURNING event_id",
                    step.run_id,
                    factories.subject(step),
                    json.dumps({"status": "completed", "name": "post_reply", "kind": "tool"}),
                )
                await connection.execute("SELECT pg_notify('agentgrid_events', $1)", str(event_id))
            committed[event_id] = time.time()
            due += 1 / CHANGES_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.monotonic()))
    finally:
        await connection.close()
    return committed
