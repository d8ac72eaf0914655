"""The projector process: loop, sweep, checks, reports and housekeeping, until it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from temporalio.service import RPCError

from agentgrid.db.away import DATABASE_FAULTS
from agentgrid.projector import health
from agentgrid.projector.listener import Listener
from agentgrid.projector.looks import FOREIGN_INTERVAL
from agentgrid.projector.loop import POLL_SECONDS, Loop
from agentgrid.projector.refold import Refolder
from agentgrid.projector.store import Store
from agentgrid.projector.store.opening import open_store
from agentgrid.projector.sweep import SWEEP_SECONDS, Sweep
from agentgrid.projector.work import Looker
from agentgrid.settings import Settings
from agentgrid.temporal.client import connect
from agentgrid.temporal.history import HistoryReader

log = structlog.get_logger(__name__)

CHECK_SECONDS = 5.0
PARTITION_SECONDS = 3600.0
PARTITION_DAYS_AHEAD = 7
TELEMETRY_DAYS = 30
SNAPSHOT_DAYS = 30
"""How long a policy snapshot is kept after it was replaced."""
EVENT_DAYS = 7
"""A live reader with an older cursor starts over."""
MCP_SERVER_DAYS = 7
"""Workers report at least every five minutes. If a server hasn't been reported for this long, no worker uses it any more."""
READ_DAYS = 90
READS_FOR_FOREIGN = 50.0
"""Maximum reads per second for all open runs of foreign workers together."""
RETRY_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Intervals of the projector's periodic tasks, in seconds."""

    poll: float = POLL_SECONDS
    sweep: float = SWEEP_SECONDS
    check: float = CHECK_SECONDS


async def run(settings: Settings, *, pace: Intervals = Intervals()) -> None:
    """Project until cancelled. Raises SettingsError if no database is configured; waits until Temporal and PostgreSQL are reachable."""
    dsn = settings.require_database()
    client = await connect(settings, identity="agentgrid-projector", lazy=True)
    while True:
        try:
            async with open_store(dsn, settings.temporal_namespace) as store:
                await _run(dsn, store, HistoryReader(client), pace)
        except DATABASE_FAULTS as error:
            log.warning("projector_waits_for_database", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)


async def _run(dsn: str, store: Store, reader: HistoryReader, pace: Intervals) -> None:
    looker = Looker(reader, store)
    listener = Listener(dsn)
    loop = Loop(store, looker, listener, poll_seconds=pace.poll)
    sweep = Sweep(store, Refolder(reader))
    errors: list[str] = []

    async def sweeping() -> None:
        health.swept.inc(await sweep.sweep())
        looker.foreign_interval = await _foreign_interval(store)

    async def checking() -> None:
        health.count_check(await sweep.check())

    async def reporting() -> None:
        await health.report(store, calls=reader.calls, last_error=errors[-1] if errors else None)
        errors.clear()

    log.info("projector_started", namespace=store.namespace)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listener.run(), name="projector listens")
            tasks.create_task(loop.run(), name="projector loop")
            tasks.create_task(_every(pace.sweep, sweeping, errors), name="projector sweep")
            tasks.create_task(_every(pace.check, checking, errors), name="projector check")
            tasks.create_task(_every(health.REPORT_SECONDS, reporting, errors), name="projector report")
            tasks.create_task(
                _every(PARTITION_SECONDS, lambda: keep_house(store), errors), name="projector housekeeping"
            )
    finally:
        log.info("projector_stopped")


async def _every(seconds: float, do: Callable[[], Awaitable[None]], errors: list[str]) -> None:
    """Call `do` at intervals until cancelled; errors are logged and reported, and the next turn tries again."""
    while True:
        try:
            await do()
        except (RPCError, *DATABASE_FAULTS) as error:
            errors.append(f"{type(error).__name__}: {error}"[:500])
            log.warning("projector_turn_failed", error=errors[-1])
        except Exception as error:
            # A bug in one periodic task must not stop the others.
            errors.append(f"{type(error).__name__}: {error}"[:500])
            log.exception("projector_turn_broken")
        await asyncio.sleep(seconds)


async def _foreign_interval(store: Store) -> timedelta:
    """The interval for foreign runs: longer the more runs are queued, so that their reads stay within `READS_FOR_FOREIGN`."""
    queued = await store.pool.fetchval("SELECT count(*) FROM run_changes")
    return max(FOREIGN_INTERVAL, timedelta(seconds=queued / READS_FOR_FOREIGN))


async def keep_house(store: Store) -> None:
    """Delete telemetry, events, read records, reports of MCP servers and policy snapshots past their retention; create the partitions for the coming days.

    Rows are deleted first, because a worker's open transaction can block creating and dropping partitions. Telemetry then goes to the default partitions.
    """
    for table, at, days in (
        ("reads", "at", READ_DAYS),
        ("events", "created_at", EVENT_DAYS),
        ("jobs", "started_at", TELEMETRY_DAYS + 2),
        ("logs", "logged_at", TELEMETRY_DAYS + 2),
    ):
        await store.pool.execute(f"DELETE FROM {table} WHERE {at} < now() - make_interval(days => $1)", days)  # noqa: S608
    # A worker that reports such a server again in an open transaction has locked its row.
    await store.pool.execute(
        "DELETE FROM mcp_servers WHERE (grid, task_queue, name) IN (SELECT grid, task_queue, name FROM mcp_servers "
        "WHERE reported_at < now() - make_interval(days => $1) FOR UPDATE SKIP LOCKED)",
        MCP_SERVER_DAYS,
    )
    if dropped := await store.pool.fetchval("SELECT agentgrid_drop_snapshots($1)", SNAPSHOT_DAYS):
        log.info("snapshots_dropped", count=dropped)
    for record in await store.pool.fetch("SELECT agentgrid_drop_partitions($1) AS name", TELEMETRY_DAYS):
        log.info("partition_dropped", name=record["name"])
    await store.pool.execute("SELECT agentgrid_ensure_partitions($1)", PARTITION_DAYS_AHEAD)
