"""What a round has used: CPU of each process, and the projector's calls, transactions and statements.

PostgreSQL's CPU is divided by the connections that it served, because the projector and the worker's telemetry are two costs. What belongs
to no connection (writing back, vacuum) is in the sum alone.
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
COUNTED_SECONDS = 0.5
"""How often the projector's process writes down how many statements it has made."""


def cpu(process: psutil.Process) -> float:
    """Seconds of CPU that the process and its children have used, those that have ended too."""
    times = process.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for each in process.children(recursive=True):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def pss(process: psutil.Process) -> float:
    """The proportional set size of the process and its children in megabytes: memory shared with other processes counts by its share."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(OSError):  # ended meanwhile
            lines = Path(f"/proc/{each.pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1000


async def backends(pool: asyncpg.Pool) -> Counter[str]:
    """Seconds of CPU of PostgreSQL, by whom the connections serve: `projector`, `worker` or `bench`."""
    names = {PROJECTOR: "projector", f"{PROJECTOR}-listener": "projector", BENCH: "bench"}
    found: Counter[str] = Counter()
    rows = await pool.fetch(
        "SELECT pid, application_name AS name FROM pg_stat_activity "
        "WHERE datname = current_database() AND backend_type = 'client backend'"
    )
    for row in rows:
        times = psutil.Process(row["pid"]).cpu_times()
        found[names.get(row["name"], "worker")] += times.user + times.system
    return found


async def calls(pool: asyncpg.Pool, home: Path) -> Counter[str]:
    """What the projector has asked of Temporal, by sort, and of PostgreSQL: `transaction`s and `statement`s."""
    # Its report and its count of statements come now and then: wait for one that was made after this moment.
    asked_at = await pool.fetchval("SELECT clock_timestamp()")
    async with asyncio.timeout(30):
        while True:
            row = await pool.fetchrow(
                "SELECT value, updated_at > $1 AS fresh FROM projector_state WHERE name = 'lag'", asked_at
            )
            if row is not None and row["fresh"]:
                break
            await asyncio.sleep(0.05)
    await asyncio.sleep(2 * COUNTED_SECONDS)
    counted: Mapping[str, int] = json.loads((home / STATEMENTS).read_text())
    return Counter(json.loads(row["value"])["calls"]) + Counter(counted)


class StatementCounter:
    """Counts what an asyncpg connection sends: a statement that ends or begins a transaction counts as its transaction."""

    def __init__(self, home: Path) -> None:
        self._file = home / STATEMENTS
        self._counts: Counter[str] = Counter(transaction=0, statement=0)
        self._inside: set[int] = set()

    async def watch(self, connection: asyncpg.Connection) -> None:
        """Count this connection's statements from now on."""
        key = id(connection)

        def count(query: asyncpg.connection.LoggedQuery) -> None:
            word = query.query.split(None, 1)[0].rstrip(";").upper()
            if word == "BEGIN":
                self._inside.add(key)
                self._counts["transaction"] += 1
            elif word in ("COMMIT", "ROLLBACK"):
                self._inside.discard(key)
            else:
                self._counts["statement"] += 1
                self._counts["transaction"] += key not in self._inside

        connection.add_query_logger(count)

    async def run(self) -> None:
        """Write the counts down at intervals, without end."""
        while True:
            partial = self._file.with_suffix(".new")
            partial.write_text(json.dumps(self._counts))
            partial.rename(self._file)
            await asyncio.sleep(COUNTED_SECONDS)
