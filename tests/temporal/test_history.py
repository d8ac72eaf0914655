"""Reading histories: exactly, within the budget, and with backoff when Temporal is overloaded. Temporal's errors are converted."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from agentgrid.errors import Conflict, NotFound, SettingsError, Unavailable
from agentgrid.settings import Settings
from agentgrid.temporal import rpc
from agentgrid.temporal.client import connect, data_converter
from agentgrid.temporal.history import ExecutionId, HistoryReader, ReadBudget, RewoundHistory
from tests.conftest import Temporal

TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED


@workflow.defn(sandboxed=False)
class Counting:
    def __init__(self) -> None:
        self.count = 0

    @workflow.signal
    def more(self) -> None:
        self.count += 1

    @workflow.run
    async def run(self, limit: int) -> int:
        await workflow.wait_condition(lambda: self.count >= limit)
        return self.count


@pytest.fixture
async def client(temporal_server: Temporal) -> Client:
    return await connect(Settings(temporal_address=temporal_server.address))


@pytest.fixture
async def queue(client: Client) -> AsyncIterator[str]:
    name = f"history-{uuid.uuid4()}"
    async with Worker(client, task_queue=name, workflows=[Counting], workflow_runner=UnsandboxedWorkflowRunner()):
        yield name


async def counted(client: Client, queue: str, limit: int, signals: int) -> tuple[WorkflowHandle[Any, Any], ExecutionId]:
    handle = await client.start_workflow(Counting.run, limit, id=f"count-{uuid.uuid4()}", task_queue=queue)
    for _ in range(signals):
        await handle.signal(Counting.more)
    return handle, ExecutionId(workflow_id=handle.id, execution_id=handle.first_execution_run_id or "")


async def test_a_tail_read_from_any_event_returns_exactly_the_later_events(client: Client, queue: str) -> None:
    handle, execution = await counted(client, queue, 101, 100)
    async with asyncio.timeout(10):
        while len(whole := list((await handle.fetch_history()).events)) < 100 or whole[-1].event_type != TASK_COMPLETED:
            await asyncio.sleep(0.05)
    reader = HistoryReader(client)
    for after in (0, 1, 7, 30, 70, len(whole) - 2, len(whole) - 1, len(whole)):
        assert await reader.tail(execution, after=after) == whole[after:]
    await handle.terminate()


async def test_a_tail_read_of_a_closed_execution_returns_the_whole_history(client: Client, queue: str) -> None:
    handle, execution = await counted(client, queue, 100, 100)
    await handle.result()
    whole = list((await handle.fetch_history()).events)
    reader = HistoryReader(client)
    for after in (0, 1, 30, 70, len(whole) - 1, len(whole)):
        assert await reader.tail(execution, after=after) == whole


async def test_a_history_shorter_than_before_raises_rewound_history(client: Client, queue: str) -> None:
    for limit in (1, 2):  # a closed one and an open one
        handle, execution = await counted(client, queue, limit, 1)
        with pytest.raises(RewoundHistory):
            await HistoryReader(client).tail(execution, after=100)
        if limit == 2:
            await handle.terminate()


async def test_a_short_tail_costs_one_call(client: Client, queue: str) -> None:
    handle, execution = await counted(client, queue, 200, 150)
    reader = HistoryReader(client)
    length = len(await reader.tail(execution, after=0))
    before = reader.reads
    assert len(await reader.tail(execution, after=length - 3)) >= 3
    assert reader.reads == before + 1
    await handle.terminate()


async def test_a_short_history_costs_one_call_from_any_event(client: Client, queue: str) -> None:
    handle, execution = await counted(client, queue, 3, 3)
    await handle.result()
    reader = HistoryReader(client)
    for after in (0, 3, 5):
        await reader.tail(execution, after=after)
    assert reader.calls == {"history": 3}


async def test_an_unknown_execution_is_not_found(client: Client) -> None:
    reader = HistoryReader(client)
    with pytest.raises(NotFound):
        await reader.tail(ExecutionId(workflow_id="no", execution_id=str(uuid.uuid4())), after=0)
    with pytest.raises(NotFound):
        await reader.describe(ExecutionId(workflow_id="no", execution_id=str(uuid.uuid4())))


async def test_reads_are_limited_to_their_budget() -> None:
    budget = ReadBudget(per_second=50, burst=5)
    began = time.monotonic()
    for _ in range(15):
        await budget.take()
    assert 0.15 <= time.monotonic() - began < 1


async def test_reads_back_off_when_temporal_is_overloaded(client: Client, queue: str) -> None:
    handle, execution = await counted(client, queue, 1, 0)
    reader = HistoryReader(client)
    refused = 0
    real = client.workflow_service.get_workflow_execution_history_reverse

    async def exhausted(*args: Any, **kwargs: Any) -> Any:
        nonlocal refused
        if refused < 2:
            refused += 1
            raise RPCError("too much", RPCStatusCode.RESOURCE_EXHAUSTED, b"")
        return await real(*args, **kwargs)

    began = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client.workflow_service, "get_workflow_execution_history_reverse", exhausted)
        assert await reader.tail(execution, after=0)
    assert refused == 2
    assert time.monotonic() - began > 0.5
    await handle.terminate()


async def test_a_signal_is_idempotent_by_its_request_id(client: Client, queue: str) -> None:
    handle, execution = await counted(client, queue, 2, 0)
    for _ in range(3):
        await rpc.signal(
            client,
            workflow_id=handle.id,
            execution_id=execution.execution_id,
            name="more",
            payloads=[],
            request_id="command-1",
        )
    events = await HistoryReader(client).tail(execution, after=0)
    signals = [event for event in events if event.HasField("workflow_execution_signaled_event_attributes")]
    assert [event.workflow_execution_signaled_event_attributes.request_id for event in signals] == ["command-1"]
    await handle.terminate()


async def test_temporals_errors_are_converted_to_agentgrid_errors(client: Client, queue: str) -> None:
    handle, execution = await counted(client, queue, 0, 0)
    await handle.result()

    async def signal(workflow_id: str, execution_id: str | None) -> Exception:
        with pytest.raises(RPCError) as caught:
            await rpc.signal(
                client,
                workflow_id=workflow_id,
                execution_id=execution_id,
                name="more",
                payloads=[],
                request_id="c",
            )
        return rpc.failure(caught.value, identifier=workflow_id)

    assert isinstance(await signal(handle.id, execution.execution_id), Conflict)
    assert isinstance(await signal("nobody", None), NotFound)
    unknown = rpc.failure(RPCError("slow", RPCStatusCode.DEADLINE_EXCEEDED, b""))
    assert isinstance(unknown, Unavailable)
    assert unknown.outcome_unknown
    # Temporal was busy and did nothing. A 429 would tell the caller to slow down, which isn't the problem.
    busy = rpc.failure(RPCError("Workflow is busy.", RPCStatusCode.RESOURCE_EXHAUSTED, b""))
    assert (type(busy), busy.outcome_unknown) == (Unavailable, False)


async def test_workers_and_task_queues_are_listed(client: Client, queue: str) -> None:
    async with asyncio.timeout(10):
        while not (described := await rpc.describe_task_queue(client, queue)).pollers:
            await asyncio.sleep(0.05)
    assert [poller.identity for poller in described.pollers] == [client.identity]
    assert isinstance(await rpc.list_workers(client), list)


async def test_an_unreachable_temporal_raises_unavailable() -> None:
    with pytest.raises(Unavailable, match="can't be reached"):
        await connect(Settings(temporal_address="127.0.0.1:1"))


@pytest.mark.parametrize("name", ["nowhere:x", "json:dumps", "agentgrid.errors:nothing", "nonsense"])
def test_an_invalid_data_converter_raises_settings_error(name: str) -> None:
    with pytest.raises(SettingsError):
        data_converter(Settings(data_converter=name))
