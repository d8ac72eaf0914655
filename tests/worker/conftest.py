"""Shared fixtures and helpers of the worker's tests."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
import temporalio.api.workflowservice.v1 as service
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter


@pytest.fixture
async def client(temporal_server: Any) -> Client:
    return await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)


@pytest.fixture
def queue() -> str:
    return f"queue-{uuid.uuid4().hex[:12]}"


def kinds(events: Any) -> list[str]:
    """The event type names, without their common prefix."""
    return [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in events]


async def recorded(handle: WorkflowHandle[Any, Any], kind: str, times: int = 1, *, after: int = 0) -> None:
    """Wait until history has this many events of this kind with ids above `after`. Raises TimeoutError, AssertionError if the run ends first."""
    seen = 0
    async with asyncio.timeout(40):
        async for event in handle.fetch_history_events(wait_new_event=True):
            seen += event.event_id > after and kinds([event]) == [kind]
            if seen == times:
                return
    raise AssertionError(f"the run ended after {seen} of {times} {kind}")


async def reset(
    client: Client, handle: WorkflowHandle[Any, Any], run_id: str, event_id: int
) -> WorkflowHandle[Any, Any]:
    """Reset the execution to just before this completed workflow task; returns a handle of the fork."""
    answer = await client.workflow_service.reset_workflow_execution(
        service.ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=run_id),
            reason="test",
            workflow_task_finish_event_id=event_id,
            request_id=uuid.uuid4().hex,
        )
    )
    return client.get_workflow_handle(handle.id, run_id=answer.run_id)
