"""A value too large for Temporal fails its step or run once, with a clear message, instead of a task that is retried endlessly."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import Worker

from agentgrid.protocol import MAX_JSON_BYTES, ErrorType
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Governance
from tests.worker import gated
from tests.worker.conftest import kinds

GRID = Grid("gated", gated)


@pytest.fixture
async def worker(client: Client, queue: str) -> Any:
    async with Worker(client, task_queue=queue, plugins=[Governance().plugin(GRID)]) as running:
        yield running


@pytest.mark.parametrize("which", ["input", "output", "result"])
async def test_values_within_the_limit_are_accepted(worker: Any, client: Client, queue: str, which: str) -> None:
    case = f"long-{which}-{MAX_JSON_BYTES - 100}"
    result = await client.execute_workflow("gated", case, id=f"{case}-{queue}", task_queue=queue)
    assert (len(result) if which == "result" else result) == MAX_JSON_BYTES - 100


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("input", ErrorType.TOOL_INPUT),
        ("output", ErrorType.TOOL_OUTPUT),
        ("result", ErrorType.WORKFLOW_OUTPUT),
        ("error", ErrorType.TOOL_ERROR),
    ],
)
@pytest.mark.parametrize("size", [2_200_000, 5_000_000])
async def test_a_value_over_the_limit_fails_at_once_and_the_error_gives_its_size(
    worker: Any, client: Client, queue: str, which: str, expected: str, size: int
) -> None:
    case = f"long-{which}-{size}"
    handle = await client.start_workflow("gated", case, id=f"{case}-{queue}", task_queue=queue)
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    cause = caught.value.cause
    cause = cause.cause if isinstance(cause, ActivityError) else cause
    assert isinstance(cause, ApplicationError)
    assert cause.type == expected
    if which != "error":
        assert f"{size // 1000:,}" in cause.message
    assert "WORKFLOW_TASK_FAILED" not in kinds((await handle.fetch_history()).events)
