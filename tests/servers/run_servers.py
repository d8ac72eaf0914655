"""Start both servers in a home directory, print their process ids, and sleep until killed.

With `--unwatched` they are started as on a system whose kernel doesn't signal the children of a dead process.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import structlog

from agentgrid.servers import PostgresServer, TemporalServer, child


async def main(home: Path) -> None:
    async with TemporalServer(home) as temporal, PostgresServer(home, durable=False) as postgres:
        sys.stdout.write(f"{temporal.pid} {postgres.pid}\n")
        sys.stdout.flush()
        await asyncio.sleep(60)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    if "--unwatched" in sys.argv:
        child._die_with_parent = lambda number: None
    asyncio.run(main(Path(sys.argv[1])))
