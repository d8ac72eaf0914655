"""Records the real histories that the fold's tests read: `python -m tests.projector.record ADDRESS`.

Each file in `histories/` is a gzipped JSON list of executions, ordered by start time: `{"workflow_id", "execution_id", "history"}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import sys
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import temporalio.api.workflowservice.v1 as service
from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import RetryPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from tests.projector import scenarios
from tests.projector.scenarios import (
    Continued,
    InFlight,
    Local,
    Messages,
    Mixed,
    Parent,
    Poisoned,
    Retried,
    Sequence,
    Sleeper,
)
from tests.replay.golden import without_machine

HISTORIES = Path(__file__).parent / "histories"
Handle = WorkflowHandle  # type: ignore[type-arg]


async def history_of(client: Client, workflow_id: str, execution_id: str) -> dict[str, object]:
    history = await client.get_workflow_handle(workflow_id, run_id=execution_id).fetch_history()
    return {
        "workflow_id": workflow_id,
        "execution_id": execution_id,
        "history": [MessageToDict(event, preserving_proto_field_name=True) for event in history.events],
    }


async def executions_of(client: Client, workflow_id: str) -> list[tuple[str, str]]:
    executions = [
        (execution.start_time, execution.run_id)
        async for execution in client.list_workflows(f"WorkflowId = '{workflow_id}'")
    ]
    return [(workflow_id, run_id) for _, run_id in sorted(executions)]


async def reset(client: Client, handle: Handle, event_id: int) -> Handle:
    answer = await client.workflow_service.reset_workflow_execution(
        service.ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=handle.run_id or handle.result_run_id),
            reason="agentgrid:test",
            workflow_task_finish_event_id=event_id,
            request_id=str(uuid.uuid4()),
        )
    )
    return client.get_workflow_handle(handle.id, run_id=answer.run_id)


async def completed_tasks(handle: Handle) -> list[int]:
    history = await handle.fetch_history()
    return [
        event.event_id for event in history.events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    ]


class Recorder:
    """Starts workflows on one worker's task queue and saves their histories."""

    def __init__(self, client: Client, queue: str) -> None:
        self.client = client
        self.queue = queue

    async def start(self, workflow: Callable[..., Awaitable[object]], *args: object, **options: object) -> Handle:
        return await self.client.start_workflow(
            workflow, args=args, id=f"recorded-{uuid.uuid4()}", task_queue=self.queue, **options
        )

    async def save(self, name: str, *workflow_ids: str) -> None:
        for _ in range(100):
            listed = [pair for identifier in workflow_ids for pair in await executions_of(self.client, identifier)]
            if listed:
                break
            await asyncio.sleep(0.1)
        recorded = [await history_of(self.client, *pair) for pair in listed]
        data = json.dumps(without_machine(recorded), separators=(",", ":"), sort_keys=True).encode()
        (HISTORIES / f"{name}.json.gz").write_bytes(gzip.compress(data, mtime=0))


async def settled(seconds: float = 0.7) -> None:
    """Let visibility catch up with executions that have just closed."""
    await asyncio.sleep(seconds)


async def record(address: str) -> None:
    HISTORIES.mkdir(exist_ok=True)
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    queue = f"record-{uuid.uuid4()}"
    recorder = Recorder(client, queue)
    async with Worker(
        client,
        task_queue=queue,
        workflows=scenarios.WORKFLOWS,
        activities=scenarios.ACTIVITIES,
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        await asyncio.gather(*(scenario(recorder) for scenario in SCENARIOS))


async def _plain(recorder: Recorder) -> None:
    sequence = await recorder.start(Sequence.run, 3)
    mixed = await recorder.start(Mixed.run)
    await asyncio.gather(sequence.result(), mixed.result())
    await settled()
    await recorder.save("sequence", sequence.id)
    await recorder.save("mixed", mixed.id, f"{mixed.id}-child")


async def _resets(recorder: Recorder) -> None:
    base = await recorder.start(Sequence.run, 4)
    await base.result()
    second = await reset(recorder.client, base, (await completed_tasks(base))[2])
    await second.result()
    third = await reset(recorder.client, second, (await completed_tasks(second))[1])
    await third.result()
    flight = await recorder.start(InFlight.run)
    while len(tasks := await completed_tasks(flight)) < 3:
        await asyncio.sleep(0.05)
    fork = await reset(recorder.client, flight, tasks[1])
    await fork.result()
    await settled()
    await recorder.save("reset", base.id)
    await recorder.save("reset_in_flight", flight.id)


async def _chains(recorder: Recorder) -> None:
    continued = await recorder.start(Continued.run, 2)
    retried = await recorder.start(
        Retried.run, retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=5)
    )
    cron = await recorder.start(Sequence.run, 1, cron_schedule="@every 1s")
    await asyncio.gather(continued.result(), retried.result())
    while len(await executions_of(recorder.client, cron.id)) < 3:
        await asyncio.sleep(0.1)
    await recorder.client.get_workflow_handle(cron.id).terminate("enough")
    await settled()
    await recorder.save("continued", continued.id)
    await recorder.save("retried", retried.id)
    await recorder.save("cron", cron.id)


async def _ends(recorder: Recorder) -> None:
    cancelled = await recorder.start(Sleeper.run)
    terminated = await recorder.start(Sleeper.run)
    timed_out = await recorder.start(Sleeper.run, run_timeout=timedelta(seconds=1))
    await asyncio.sleep(0.5)
    await cancelled.cancel()
    await terminated.terminate("by hand")
    await asyncio.sleep(2)
    await recorder.save("cancelled", cancelled.id)
    await recorder.save("terminated", terminated.id)
    await recorder.save("timed_out", timed_out.id)


async def _local_and_messages(recorder: Recorder) -> None:
    local = await recorder.start(Local.run)
    messages = await recorder.start(Messages.run)
    await messages.signal(Messages.note, "one")
    await messages.execute_update(Messages.ask, "two")
    with contextlib.suppress(WorkflowUpdateFailedError):
        await messages.execute_update(Messages.ask, "bad")
    await messages.signal(Messages.note, "three")
    await asyncio.gather(local.result(), messages.result())
    other = await recorder.start(Messages.run)
    parent = await recorder.start(Parent.run, other.id)
    await parent.result()
    await settled()
    await recorder.save("local", local.id)
    await recorder.save("messages", messages.id)
    await recorder.save("parent", parent.id, f"{parent.id}-child", other.id)


async def _poison(recorder: Recorder) -> None:
    poisoned = await recorder.start(Poisoned.run)
    await asyncio.sleep(0.5)
    await poisoned.signal(Poisoned.note, "one")
    await asyncio.sleep(1)
    await poisoned.signal(Poisoned.note, "two")
    scenarios.failing_tasks = False
    await poisoned.result()
    await settled()
    await recorder.save("poisoned", poisoned.id)


SCENARIOS = [_plain, _resets, _chains, _ends, _local_and_messages, _poison]

if __name__ == "__main__":
    asyncio.run(record(sys.argv[1]))
