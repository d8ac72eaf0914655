"""Open runs of `talking`, with its catalog entry and a worker, for tests of messages to runs."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from agentgrid.control import run_verbs
from agentgrid.control.plane import Caller
from agentgrid.db.tables import Command, Run
from agentgrid.domain.principals import Principal
from agentgrid.domain.runs import Verb
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Governance
from agentgrid.worker import catalog
from tests.api import factories, talking
from tests.api.conftest import Api
from tests.conftest import Temporal

GRID = Grid("talking", talking)
VERSION = {each.spec.name: each.version for each in GRID.workflows}


@pytest.fixture(scope="module")
async def client(temporal_server: Temporal) -> Client:
    return await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)


@pytest.fixture(scope="module")
async def talk(api: Api, module_postgres_dsn: str) -> Api:
    """The API with the workflows in its catalog as registered by a worker."""
    connection = await asyncpg.connect(module_postgres_dsn)
    try:
        document = catalog.document(GRID, "talking")
        await connection.execute("SELECT agentgrid_catalog($1::json)", json.dumps(document))
    finally:
        await connection.close()
    return api


def worker(client: Client, queue: str) -> Worker:
    return Worker(client, task_queue=queue, plugins=[Governance().plugin(GRID)])


@pytest.fixture(scope="module")
async def queue(client: Client) -> AsyncIterator[str]:
    """A task queue with a worker."""
    name = f"talking-{uuid.uuid4().hex[:8]}"
    async with worker(client, name):
        yield name


async def opened(
    api: Api, client: Client, queue: str, workflow: str = "talks", **over: Any
) -> tuple[Run, WorkflowHandle[Any, Any]]:
    """A run that is open in Temporal and in the projection."""
    workflow_id = str(uuid.uuid4())
    handle = await client.start_workflow(workflow, id=workflow_id, task_queue=queue)
    values = {"workflow": workflow, "version": VERSION.get(workflow), "task_queue": queue} | over
    run = factories.run(
        run_id=workflow_id,
        workflow_id=workflow_id,
        first_execution_id=handle.first_execution_run_id,
        execution_id=handle.first_execution_run_id,
        **values,
    )
    await factories.insert(api.plane.engine, run, factories.execution(run))
    return run, handle


async def signal(http: Any, run: Run, name: str, *arguments: Any) -> Any:
    return await http.post(f"/api/v1/runs/{run.run_id}/signal", json={"name": name, "arguments": list(arguments)})


async def ask(http: Any, run: Run, name: str, *arguments: Any) -> Any:
    return await http.post(f"/api/v1/runs/{run.run_id}/queries/{name}", json={"arguments": list(arguments)})


async def change(http: Any, run: Run, name: str, *arguments: Any, key: str | None = None, wait: float = 5) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    path = f"/api/v1/runs/{run.run_id}/updates/{name}"
    return await http.post(path, json={"arguments": list(arguments)}, headers=headers, params={"wait": wait})


async def count(handle: WorkflowHandle[Any, Any], kind: EventType.ValueType) -> int:
    return sum([event.event_type == kind async for event in handle.fetch_history_events()])


SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
ACCEPTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED


async def recorded(api: Api, run: Run, who: Principal, **over: Any) -> Command:
    """The command of an update as left by a process that dies before delivering it."""
    caller = Caller(principal=who, key_id=api.tokens[who.name].split("_")[1], route=f"r-{uuid.uuid4().hex}", **over)
    body = {"name": "add", "arguments": [1], "handler": "declared"}
    pending = await run_verbs.record(api.plane, caller, run.run_id, Verb.UPDATE, reason=None, body=body)
    return pending.command
