"""The worker process: one grid, one task queue."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from datetime import timedelta

from temporalio.worker import Worker

from agentgrid import logging
from agentgrid.domain.backoff import backoff, jittered
from agentgrid.errors import Unavailable
from agentgrid.sdk.grid import Grid
from agentgrid.settings import Settings
from agentgrid.temporal.client import connect
from agentgrid.worker.plugin import AgentGridPlugin

log = logging.get_logger()

GRACE = timedelta(seconds=10)
"""How long running activities have to finish after a stop is requested, before they are cancelled."""
FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 10.0


async def run(grid: Grid, settings: Settings, *, task_queue: str | None = None) -> None:
    """Run until cancelled, then let running activities finish. The task queue defaults to the grid's name.

    Waits until Temporal is reachable. Raises RegistrationErrors and SettingsError at once.
    """
    grid.check()
    settings.require_database()
    queue = task_queue or grid.name
    identity = f"{os.getpid()}@{socket.gethostname()}/{grid.name}"
    failures = 0
    while True:
        try:
            client = await connect(settings, identity=identity)
            break
        except Unavailable as error:
            failures += 1
            log.warning("temporal_not_reached", error=error.message, attempt=failures)
            await asyncio.sleep(jittered(backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, tries=failures - 1)))
    worker = Worker(
        client,
        task_queue=queue,
        plugins=[AgentGridPlugin(grid, settings=settings)],
        graceful_shutdown_timeout=GRACE,
    )
    log.info(
        "worker_started",
        grid=grid.name,
        build=grid.digest,
        task_queue=queue,
        workflows=len(grid.workflows),
        tools=len(grid.tools),
    )
    await worker.run()
    log.info("worker_stopped", grid=grid.name)


async def run_until_signalled(grid: Grid, settings: Settings, *, task_queue: str | None = None) -> None:
    """`run`, ended by SIGINT or SIGTERM."""
    task = asyncio.create_task(run(grid, settings, task_queue=task_queue))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def run_worker(grid: Grid, *, task_queue: str | None = None) -> None:
    """Run a worker for the grid with the settings of the environment, until Ctrl-C or SIGTERM.

    Raises RegistrationErrors and SettingsError before anything starts.
    """
    settings = Settings.load()
    logging.configure(settings)
    asyncio.run(run_until_signalled(grid, settings, task_queue=task_queue))
