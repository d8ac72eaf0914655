"""Two workers side by side, one without the plugin and one with it, and a projector that mirrors what both do."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.nexus.v1 import EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, CreateNexusEndpointRequest
from temporalio.client import Client
from temporalio.worker import Worker

from agentgrid.projector.store.opening import open_store
from agentgrid.settings import Settings
from agentgrid.temporal.client import connect
from agentgrid.testing import Governance
from tests.conftest import Temporal
from tests.kinds.case import Stage
from tests.projector.conftest import Tables, new_namespace, projecting


@pytest.fixture(scope="module")
async def settings(temporal_server: Temporal, module_postgres_dsn: str) -> Settings:
    namespace = await new_namespace(temporal_server.address)
    return Settings(
        temporal_address=temporal_server.address,
        temporal_namespace=namespace,
        database_url=SecretStr(module_postgres_dsn),
    )


@pytest.fixture(scope="module")
async def client(settings: Settings) -> Client:
    client = await connect(settings)
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace=client.namespace,
            search_attributes={
                "Number": IndexedValueType.INDEXED_VALUE_TYPE_INT,
                "Word": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
            },
        )
    )
    return client


@pytest.fixture(scope="module")
async def tables(settings: Settings) -> AsyncIterator[Tables]:
    """The mirror, kept up to date while the module runs."""
    async with open_store(settings.require_database(), settings.temporal_namespace) as store, projecting(settings):
        yield Tables(store.pool)


async def endpoint(client: Client, queue: str) -> str:
    """Create a Nexus endpoint for this queue, and return its name."""
    name = f"endpoint-{uuid.uuid4().hex[:12]}"
    target = EndpointTarget(worker=EndpointTarget.Worker(namespace=client.namespace, task_queue=queue))
    await client.operator_service.create_nexus_endpoint(
        CreateNexusEndpointRequest(spec=EndpointSpec(name=name, target=target))
    )
    return name


PLUGGED = {"native": False, "governed": True}
"""Whether each stage's worker has the plugin."""


@contextlib.asynccontextmanager
async def staged(client: Client, settings: Settings, **worker: Any) -> AsyncIterator[dict[str, Stage]]:
    """Two stages, whose workers differ only in the plugin."""
    stages: dict[str, Stage] = {}
    async with contextlib.AsyncExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(8))
        for name, plugged in PLUGGED.items():
            queue = f"{name}-{uuid.uuid4().hex[:8]}"
            plugins = [Governance().plugin(settings=settings)] if plugged else []
            stage_worker = Worker(
                client,
                task_queue=queue,
                plugins=plugins,
                activity_executor=threads,
                nexus_task_executor=threads,
                **worker,
            )
            await stack.enter_async_context(stage_worker)
            stages[name] = Stage(name=name, client=client, queue=queue, endpoint=await endpoint(client, queue))
        yield stages
