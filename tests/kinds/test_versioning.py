"""Temporal's own worker versioning, which the plugin doesn't affect: pinned runs stay on their version, others move on."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client
from temporalio.common import WorkerDeploymentVersion
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.worker import Replayer, Worker, WorkerDeploymentConfig

from agentgrid.testing import Governance
from tests.conftest import Temporal
from tests.kinds.activities import plain
from tests.kinds.pinned import PinnedOne, PinnedTwo


async def current(client: Client, version: WorkerDeploymentVersion) -> None:
    """Make this the version of new runs as soon as the server knows it."""
    async with asyncio.timeout(30):
        while True:
            try:
                await client.workflow_service.set_worker_deployment_current_version(
                    SetWorkerDeploymentCurrentVersionRequest(
                        namespace=client.namespace,
                        deployment_name=version.deployment_name,
                        build_id=version.build_id,
                        ignore_missing_task_queues=True,
                    )
                )
                return
            except RPCError:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("plugged", [False, True], ids=["native", "governed"])
async def test_a_pinned_run_ends_on_the_version_it_began_on(temporal_server: Temporal, plugged: bool) -> None:
    queue = f"versions-{uuid.uuid4().hex[:8]}"

    def plugins() -> list[Any]:
        return [Governance().plugin()] if plugged else []

    def version(build: str) -> WorkerDeploymentVersion:
        return WorkerDeploymentVersion(deployment_name=queue, build_id=build)

    async def worker(build: str, cls: type) -> Worker:
        client = await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)
        config = WorkerDeploymentConfig(version=version(build), use_worker_versioning=True)
        return Worker(
            client,
            task_queue=queue,
            workflows=[cls],
            activities=[plain],
            plugins=plugins(),
            deployment_config=config,
        )

    client = await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)
    async with await worker("one", PinnedOne), await worker("two", PinnedTwo):
        await current(client, version("one"))
        first = await client.start_workflow("Pinned", True, id=f"first-{queue}", task_queue=queue)
        while "activity_task_completed_event_attributes" not in [
            event.WhichOneof("attributes") for event in (await first.fetch_history()).events
        ]:
            await asyncio.sleep(0.05)
        await current(client, version("two"))
        second = await client.start_workflow("Pinned", False, id=f"second-{queue}", task_queue=queue)
        assert await second.result() == "two"
        assert await first.result() == "one"
        await Replayer(workflows=[PinnedOne], plugins=plugins()).replay_workflow(await first.fetch_history())
