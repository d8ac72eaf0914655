"""The measured processes. Each role runs alone in its process, so that its CPU can be measured separately."""

from __future__ import annotations

import asyncio
import functools
import sys
from importlib import import_module
from pathlib import Path

import asyncpg
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from agentgrid.projector import main as projector_main
from agentgrid.sdk.grid import Grid
from agentgrid.settings import Settings
from agentgrid.worker import main as worker_main
from tests.bench import raw
from tests.bench.meters import StatementCounter

SUBJECT = Path(__file__).parent / "subject"
"""The folder of the measured workflows and tools. They are top-level modules: no package holds both."""

GRIDS = {
    "worker": ("bench_tools", "bench_three", "bench_three_local"),
    "gated": ("bench_approval_tools", "bench_approval"),
    "all": ("bench_tools", "bench_three", "bench_three_local", "bench_ten", "bench_approval_tools", "bench_approval"),
}


async def run_plain_worker(address: str) -> None:
    """Run a worker of the plain Temporal SDK."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    await Worker(
        client, task_queue="raw", workflows=[raw.RawThree, raw.RawTen, raw.RawSignal], activities=[raw.plain_step]
    ).run()


async def run_projector(settings: Settings) -> None:
    """Run the projector and count its statements."""
    counter = StatementCounter(settings.home)
    asyncpg.create_pool = functools.partial(asyncpg.create_pool, init=counter.watch)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(counter.run())
        tasks.create_task(projector_main.run(settings))


def main() -> None:
    """Run the role given as argument: `raw`, `projector` or the name of a grid. Environment variables configure it."""
    settings = Settings.load()
    role = sys.argv[1]
    if role == "raw":
        asyncio.run(run_plain_worker(settings.temporal_address))
    elif role in GRIDS:
        sys.path.insert(0, str(SUBJECT))
        modules = [import_module(name) for name in GRIDS[role]]
        asyncio.run(worker_main.run_until_signalled(Grid("bench", *modules), settings))
    else:
        asyncio.run(run_projector(settings))


if __name__ == "__main__":
    main()
