"""A worker's background tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from agentgrid.logging import get_logger

log = get_logger()


def in_background(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run this while the worker runs. A failure is logged at once and doesn't stop the worker."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_ended)
    return task


async def stop(task: asyncio.Task[None]) -> None:
    """Cancel the task and wait for it to end. The task's own errors are in the log, not raised."""
    task.cancel()
    await asyncio.wait([task])


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("worker_task_failed", task=task.get_name(), exc_info=error)
