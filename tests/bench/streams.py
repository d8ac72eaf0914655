"""Many live clients on one API process: how long a change takes to reach all of them, and what they cost in memory."""

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
from tests.bench.page import at
from tests.bench.stand import ROOT, SETUP, Api, api

TITLE = "Live streams and the memory of the API"
SAYS = (
    "Clients in a separate process hold one event stream each, at most 50 per principal; changes are committed as the projector commits them. "
    "Milliseconds from the commit to the last byte of the event at the client."
)
CLIENTS = 500
CHANGES = 100
CHANGES_A_SECOND = 5
PER_PRINCIPAL = 50
READY_SECONDS = 60
SETTLE_SECONDS = 5.0

Seen = Callable[[], Awaitable[dict[str, list[float]]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many clients."""
    parser.add_argument("--clients", type=int, default=CLIENTS, help=f"streams: clients (default {CLIENTS})")


async def measure(arguments: argparse.Namespace, home: Path) -> list[tuple[str, str]]:
    """Delays, CPU and memory."""
    async with TemporalServer(home, in_memory=True) as temporal, PostgresServer(home) as postgres:
        dsn = await postgres.create_database("streams")
        await migrate.upgrade(dsn)
        environment = {
            "AGENTGRID_TEMPORAL_ADDRESS": temporal.address,
            "AGENTGRID_HOME": str(home),
            "AGENTGRID_LOG_LEVEL": "error",
        }
        tokens = await watchers(dsn, -(-arguments.clients // PER_PRINCIPAL))
        async with api(environment, dsn) as server:
            looked_at, other = await _things(dsn), await _things(dsn)
            figures = await _watched(server, dsn, tokens, arguments.clients, looked_at)
            return [*figures, await _unwatched(server, dsn, tokens, arguments.clients, looked_at, other)]


async def _things(dsn: str) -> Step:
    """A step of a run of its own."""
    run = factories.run()
    step = factories.step(run, 5)
    engine = make_engine(dsn, pool_size=1)
    try:
        await factories.insert(engine, run, factories.execution(run), step)
    finally:
        await engine.dispose()
    return step


async def watchers(dsn: str, count: int) -> list[str]:
    """Keys of so many principals who may watch."""
    engine = make_engine(dsn, pool_size=1)
    try:
        made = []
        for number in range(count):
            principal = Principal(name=f"watcher-{number}", kind=PrincipalKind.SERVICE, roles=frozenset({Role.VIEWER}))
            await principals.put(engine, SETUP, principal)
            key = await api_keys.create(engine, SETUP, principal=principal.name, lifetime=timedelta(days=1))
            made.append(key.secret)
        return made
    finally:
        await engine.dispose()


@asynccontextmanager
async def _listening(server: Api, tokens: list[str], clients: int, *, query: str, changes: int) -> AsyncIterator[Seen]:
    """So many open streams. Yields what waits until each has seen so many changes, and returns when: moments by event."""
    given = {"port": server.port, "tokens": tokens, "clients": clients, "changes": changes, "query": query}
    listeners = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.listeners",
        json.dumps(given),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 26,
    )
    stdout = listeners.stdout
    assert stdout is not None

    async def seen() -> dict[str, list[float]]:
        async with asyncio.timeout(READY_SECONDS):
            found: dict[str, list[float]] = json.loads(await stdout.readline())
        return found

    try:
        async with asyncio.timeout(READY_SECONDS):
            assert (await stdout.readline()).strip() == b"open"
        yield seen
    finally:
        if listeners.returncode is None:
            listeners.terminate()
        await listeners.wait()


async def _unwatched(
    server: Api, dsn: str, tokens: list[str], clients: int, looked_at: Step, other: Step
) -> tuple[str, str]:
    async with _listening(server, tokens, clients, query=f"?run={looked_at.run_id}", changes=1) as seen:
        spent = cpu(server.process)
        await _changes(dsn, other)
        spent = cpu(server.process) - spent
        # All that any of them gets.
        await _changes(dsn, looked_at, count=1)
        await seen()
    return (f"CPU of the API a step that none of {clients} clients asked for (ms)", f"{spent * 1000 / CHANGES:.1f}")


async def _watched(server: Api, dsn: str, tokens: list[str], clients: int, step: Step) -> list[tuple[str, str]]:
    idle = server.memory
    async with _listening(server, tokens, clients, query="", changes=CHANGES) as waited:
        opened = server.memory
        spent = cpu(server.process)
        committed = await _changes(dsn, step)
        seen = await waited()
        spent = cpu(server.process) - spent
        loaded = server.memory
    await asyncio.sleep(SETTLE_SECONDS)
    delays: defaultdict[int, list[float]] = defaultdict(list)
    for event_id, moments in seen.items():
        delays[int(event_id)] = [(moment - committed[int(event_id)]) * 1000 for moment in moments]
    missed = clients * len(committed) - sum(len(each) for each in delays.values())
    every = [each for each_change in delays.values() for each in each_change]
    last = [max(each) for each in delays.values()]
    return [
        (f"a change to each of {clients} clients, p50 / p99 (ms)", f"{at(every, 0.5):.0f} / {at(every, 0.99):.0f}"),
        (f"a change to the last of {clients} clients, p50 / p99 (ms)", f"{at(last, 0.5):.0f} / {at(last, 0.99):.0f}"),
        ("changes not received, of " + f"{clients * len(committed):,}", f"{missed}"),
        (f"CPU of the API per change to {clients} clients (ms)", f"{spent * 1000 / len(committed):.0f}"),
        ("memory of the API, started (MB)", f"{idle:.0f}"),
        (f"memory of the API, {clients} streams open (MB)", f"{opened:.0f}"),
        (f"memory of the API, after {len(committed)} changes (MB)", f"{loaded:.0f}"),
        ("memory of the API, all streams closed (MB)", f"{server.memory:.0f}"),
    ]


async def _changes(dsn: str, step: Step, count: int = CHANGES) -> dict[int, float]:
    """Commit changes at an even pace; when each was committed, by event id."""
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
            due += 1 / CHANGES_A_SECOND
            await asyncio.sleep(max(0.0, due - time.monotonic()))
    finally:
        await connection.close()
    return committed
