"""What a worker does in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from agentgrid.logging import get_logger

log = get_logger()


def in_background(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Do this while the worker runs. If it raises, the log says so at once, and the worker goes on."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_ended)
    return task


async def stop(task: asyncio.Task[None]) -> None:
    """Cancel the task and wait for its end. It raises nothing of the task's: the log has it."""
    task.cancel()
    await asyncio.wait([task])


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("worker_task_failed", task=task.get_name(), exc_info=error)
