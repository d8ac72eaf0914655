"""Fixtures: a running projector over fresh tables, a worker with plain workflows, and helpers to wait for their effects."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from google.protobuf.duration_pb2 import Duration
from pydantic import SecretStr
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import ConnectConfig, ServiceClient
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from agentgrid.projector.main import Intervals, run
from agentgrid.projector.store import Store
from agentgrid.projector.store.opening import open_store
from agentgrid.settings import Settings
from agentgrid.temporal.client import connect
from tests.conftest import Temporal
from tests.projector import scenarios

WAIT_SECONDS = 20.0


async def until(
    probe: Callable[[], Awaitable[Any]], *, seconds: float = WAIT_SECONDS, every: float = 0.05, what: str = ""
) -> Any:
    """Poll until the probe returns something truthy, and return that; fail after `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        result = await probe()
        if result:
            return result
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"timed out after {seconds} s waiting for {what or probe}")
        await asyncio.sleep(every)


class Tables:
    """Reads the projection as the API would."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool

    async def rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        records = await self.pool.fetch(f"SELECT row_to_json(q) AS row FROM ({query}) AS q", *arguments)
        return [json.loads(record["row"]) for record in records]

    async def run_of(self, workflow_id: str) -> dict[str, Any] | None:
        runs = await self.rows("SELECT * FROM runs WHERE workflow_id = $1 ORDER BY created_at DESC", workflow_id)
        return runs[0] if runs else None

    async def run_in(self, workflow_id: str, *statuses: str, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        async def probe() -> dict[str, Any] | None:
            run = await self.run_of(workflow_id)
            return run if run is not None and run["status"] in statuses else None

        try:
            return await until(probe, seconds=seconds, what=f"{workflow_id} to be {' or '.join(statuses)}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {await self.run_of(workflow_id)}") from None

    async def steps(self, run_id: str) -> list[dict[str, Any]]:
        return await self.rows(
            "SELECT s.* FROM steps AS s JOIN executions AS e USING (execution_id) WHERE s.run_id = $1 "
            "AND e.reset_to IS NULL ORDER BY e.started_at, s.event_id",
            run_id,
        )

    async def executions(self, run_id: str) -> list[dict[str, Any]]:
        return await self.rows("SELECT * FROM executions WHERE run_id = $1 ORDER BY started_at", run_id)


async def new_namespace(address: str) -> str:
    """Register a new, empty namespace."""
    namespace = f"test-{uuid.uuid4()}"
    server = await ServiceClient.connect(ConnectConfig(target_host=address))
    await server.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=Duration(seconds=86_400))
    )
    return namespace


@pytest.fixture
async def settings(temporal_server: Temporal, postgres_dsn: str) -> Settings:
    """Settings with a new namespace and database: a projector shows its whole namespace, so tests can't share one."""
    namespace = await new_namespace(temporal_server.address)
    return Settings(
        temporal_address=temporal_server.address, temporal_namespace=namespace, database_url=SecretStr(postgres_dsn)
    )


@pytest.fixture
async def client(settings: Settings) -> Client:
    return await connect(settings)


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    async with open_store(settings.require_database(), settings.temporal_namespace) as opened:
        yield opened


@pytest.fixture
async def tables(store: Store) -> Tables:
    return Tables(store.pool)


@asynccontextmanager
async def projecting(settings: Settings, **pace: float) -> AsyncIterator[asyncio.Task[None]]:
    """Run a projector during the block."""
    task = asyncio.create_task(run(settings, pace=Intervals(**{"sweep": 0.3, **pace})))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def projector(settings: Settings) -> AsyncIterator[asyncio.Task[None]]:
    async with projecting(settings) as task:
        yield task


@pytest.fixture
async def queue(client: Client) -> AsyncIterator[str]:
    """The task queue of a running worker without AgentGrid."""
    name = f"plain-{uuid.uuid4()}"
    async with Worker(
        client,
        task_queue=name,
        workflows=scenarios.WORKFLOWS,
        activities=scenarios.ACTIVITIES,
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        yield name


def unique(prefix: str = "run") -> str:
    """A unique workflow id."""
    return f"{prefix}-{uuid.uuid4()}"


PROJECTION = ("runs", "executions", "steps", "approvals", "decisions", "controls")
VOLATILE = ("projected_at", "updated_at", "archived_at", "live_checked_at")


async def snapshot(tables: Tables) -> dict[str, list[dict[str, Any]]]:
    """All rows of the projection, without the columns that depend on the time of writing or on Describe."""
    tables_by_name: dict[str, list[dict[str, Any]]] = {}
    for name in PROJECTION:
        rows = await tables.rows(f"SELECT * FROM {name}")
        plain = [
            {key: value for key, value in row.items() if key not in VOLATILE and not key.startswith("live_")}
            for row in rows
        ]
        tables_by_name[name] = sorted(plain, key=lambda row: json.dumps(row, sort_keys=True))
    return tables_by_name


async def truncate(tables: Tables) -> None:
    """Empty the projection, as an operator might; archive and commands stay."""
    await tables.pool.execute(f"TRUNCATE {', '.join(PROJECTION)}, run_changes, touches CASCADE")
