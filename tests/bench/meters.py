"""The resources that a round used: CPU of each process, and the projector's calls, transactions and statements.

PostgreSQL's CPU is split by connection, because the projector and the worker's telemetry are separate costs. Work outside any connection
(background writer, vacuum) counts only in the total.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import psutil

PROJECTOR = "agentgrid-projector"
BENCH = "agentgrid-bench"
STATEMENTS = "statements.json"
COUNT_INTERVAL_SECONDS = 0.5
"""Interval at which the projector's process writes its statement counts to a file."""


def cpu(process: psutil.Process) -> float:
    """CPU seconds used by the process and its children, including children that have ended."""
    times = process.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in process.children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def pss(process: psutil.Process) -> float:
    """The proportional set size of the process and its children in megabytes: shared memory is divided among the processes that share it."""
    total = 0
    for member in (process, *process.children(recursive=True)):
        with contextlib.suppress(OSError):  # the process has ended
            lines = Path(f"/proc/{member.pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1000


async def backends(pool: asyncpg.Pool) -> Counter[str]:
    """CPU seconds of PostgreSQL's connections by client: `projector`, `worker` or `bench`."""
    names = {PROJECTOR: "projector", f"{PROJECTOR}-listener": "projector", BENCH: "bench"}
    seconds: Counter[str] = Counter()
    rows = await pool.fetch(
        "SELECT pid, application_name AS name FROM pg_stat_activity "
        "WHERE datname = current_database() AND backend_type = 'client backend'"
    )
    for row in rows:
        times = psutil.Process(row["pid"]).cpu_times()
        seconds[names.get(row["name"], "worker")] += times.user + times.system
    return seconds


async def calls(pool: asyncpg.Pool, home: Path) -> Counter[str]:
    """The projector's calls of Temporal by kind, and its `transaction`s and `statement`s in PostgreSQL."""
    # The projector reports its calls and its statement counts periodically: wait for reports from after this moment.
    since = await pool.fetchval("SELECT clock_timestamp()")
    async with asyncio.timeout(30):
        while True:
            row = await pool.fetchrow(
                "SELECT value, updated_at > $1 AS fresh FROM projector_state WHERE name = 'lag'", since
            )
            if row is not None and row["fresh"]:
                break
            await asyncio.sleep(0.05)
    await asyncio.sleep(2 * COUNT_INTERVAL_SECONDS)
    statements: Mapping[str, int] = json.loads((home / STATEMENTS).read_text())
    return Counter(json.loads(row["value"])["calls"]) + Counter(statements)


class StatementCounter:
    """Counts the statements and transactions of asyncpg connections. BEGIN, COMMIT and ROLLBACK aren't statements; one outside them is a transaction."""

    def __init__(self, home: Path) -> None:
        self._file = home / STATEMENTS
        self._counts: Counter[str] = Counter(transaction=0, statement=0)
        self._in_transaction: set[int] = set()

    async def watch(self, connection: asyncpg.Connection) -> None:
        """Count this connection's statements from now on."""
        key = id(connection)

        def count(query: asyncpg.connection.LoggedQuery) -> None:
            word = query.query.split(None, 1)[0].rstrip(";").upper()
            if word == "BEGIN":
                self._in_transaction.add(key)
                self._counts["transaction"] += 1
            elif word in ("COMMIT", "ROLLBACK"):
                self._in_transaction.discard(key)
            else:
                self._counts["statement"] += 1
                self._counts["transaction"] += key not in self._in_transaction

        connection.add_query_logger(count)

    async def run(self) -> None:
        """Write the counts to the file at intervals, until cancelled."""
        while True:
            partial = self._file.with_suffix(".new")
            partial.write_text(json.dumps(self._counts))
            partial.rename(self._file)
            await asyncio.sleep(COUNT_INTERVAL_SECONDS)
