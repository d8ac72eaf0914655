"""Errors in a project's code are reported with file and line."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from temporalio.client import Client, WorkflowFailureError
from temporalio.worker import Worker

from agentgrid.logging import configure
from agentgrid.sdk.grid import Grid
from agentgrid.settings import Settings
from agentgrid.testing import Governance
from agentgrid.worker.watchdog import Watchdog
from tests.worker import failing

GRID = Grid("failing", failing)
LINES = Path(failing.__file__).read_text().splitlines()


def line(mark: str) -> int:
    """The number of the line that ends with this mark."""
    return next(number for number, text in enumerate(LINES, start=1) if text.endswith(f"# {mark}"))


async def failed_task(client: Client, queue: str, case: str) -> str:
    """The error message of the workflow's failed first task."""
    async with Worker(client, task_queue=queue, plugins=[Governance().plugin(GRID)]):
        handle = await client.start_workflow("failing", case, id=f"{case}-{queue}", task_queue=queue)
        async with asyncio.timeout(60):
            while True:
                async for event in handle.fetch_history_events():
                    if event.HasField("workflow_task_failed_event_attributes"):
                        await handle.terminate()
                        return event.workflow_task_failed_event_attributes.failure.message
                await asyncio.sleep(0.05)


async def test_a_failed_workflow_task_names_file_and_line_of_the_projects_code(client: Client, queue: str) -> None:
    message = await failed_task(client, queue, "key")
    assert message == f"'missing' (at tests/worker/failing.py:{line('key')} in run)"


async def test_a_clock_that_check_missed_is_refused_with_the_message_of_check(client: Client, queue: str) -> None:
    message = await failed_task(client, queue, "clock")
    assert message.startswith(
        "workflow code can't use datetime.datetime.now: it must be deterministic; use workflow.now()"
    )
    assert message.endswith(f"(at tests/worker/failing.py:{line('clock')} in run)")


async def test_an_approval_that_expires_at_once_is_refused_and_the_error_shows_the_value(
    client: Client, queue: str
) -> None:
    async with Worker(client, task_queue=queue, plugins=[Governance().plugin(GRID)]):
        with pytest.raises(WorkflowFailureError) as caught:
            await client.execute_workflow("failing", "expires", id=f"expires-{queue}", task_queue=queue)
    assert str(caught.value.cause).endswith("expires is 0:00:00; it must be positive, and at most 365 days")


@contextlib.contextmanager
def writing() -> Iterator[io.StringIO]:
    """A worker process's log, as JSON."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    config = structlog.get_config() if structlog.is_configured() else None
    text = io.StringIO()
    configure(Settings(log_format="json"))
    try:
        with contextlib.redirect_stderr(text):
            yield text
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
        if config is not None:
            structlog.configure(**config)


def records(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(entry) for entry in written.getvalue().splitlines()]


async def test_a_tool_that_blocks_the_event_loop_is_named_with_its_line(client: Client, queue: str) -> None:
    worker = Worker(client, task_queue=queue, plugins=[Governance().plugin(GRID)])
    with writing() as written:
        async with worker:
            handle = await client.start_workflow("failing", "block", id=f"block-{queue}", task_queue=queue)
            assert await handle.result() == "done"
    (blocked,) = [record for record in records(written) if record["event"] == "tool_blocks_worker"]
    assert (blocked["tool"], blocked["at"]) == ("block", f"tests/worker/failing.py:{line('blocks')}")
    assert "asyncio.to_thread" in blocked["hint"]


async def test_a_tools_check_that_blocks_the_event_loop_is_named() -> None:
    with writing() as written:
        watchdog = Watchdog([failing.block_in_check], [], blocked_seconds=0.1)
        watchdog.start()
        failing.block_in_check.checked({"seconds": 1.0})
        watchdog.stop()
    (blocked,) = records(written)
    assert (blocked["tool"], blocked["at"]) == (
        "the check of block_in_check",
        f"tests/worker/failing.py:{line('blocks')}",
    )


def test_a_traceback_is_written_once_and_later_attempts_refer_to_it() -> None:
    logger = logging.getLogger("temporalio.worker._workflow_instance")
    with writing() as written:
        for attempt in range(3):
            try:
                raise KeyError("missing")
            except KeyError as error:
                logger.warning("Failed activation, attempt %s", attempt, exc_info=error)
    first, *others = records(written)
    assert "Traceback" in first["exception"]
    assert ["exception" in record for record in others] == [False, False]
    assert others[0]["event"].startswith("Failed activation, attempt 1: KeyError: 'missing'")
