"""The processes that are measured, each started alone so that its CPU is its own."""

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
"""Modules of their own, outside any package that holds workflows and tools alike."""

GRIDS = {
    "worker": ("bench_tools", "bench_three", "bench_three_local"),
    "gated": ("bench_gate_tools", "bench_gate"),
    "all": ("bench_tools", "bench_three", "bench_three_local", "bench_ten", "bench_gate_tools", "bench_gate"),
}


async def plain(address: str) -> None:
    """A plain worker."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    await Worker(
        client, task_queue="raw", workflows=[raw.RawThree, raw.RawTen, raw.RawGate], activities=[raw.plain_step]
    ).run()


async def project(settings: Settings) -> None:
    """The projector, with its statements counted."""
    counter = StatementCounter(settings.home)
    asyncpg.create_pool = functools.partial(asyncpg.create_pool, init=counter.watch)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(counter.run())
        tasks.create_task(projector_main.run(settings))


def main() -> None:
    """`raw`, `projector` or one of the grids; configured by the environment."""
    settings = Settings.load()
    role = sys.argv[1]
    if role == "raw":
        asyncio.run(plain(settings.temporal_address))
    elif role in GRIDS:
        sys.path.insert(0, str(SUBJECT))
        modules = [import_module(name) for name in GRIDS[role]]
        asyncio.run(worker_main.run_until_signalled(Grid("bench", *modules), settings))
    else:
        asyncio.run(project(settings))


if __name__ == "__main__":
    main()
