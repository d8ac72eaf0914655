"""Sync activities in a process pool: the gate and its context stay in the worker's process."""

from __future__ import annotations

import multiprocessing
import os
import uuid
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import SharedStateManager, Worker

from agentgrid.testing import Governance
from tests.conftest import Temporal


@activity.defn
def somewhere(parent: int) -> list[Any]:
    activity.heartbeat("from another process")
    return [os.getpid() != parent, activity.info().activity_type]


@pytest.mark.parametrize("plugged", [False, True], ids=["native", "governed"])
async def test_activities_run_in_other_processes(temporal_server: Temporal, plugged: bool) -> None:
    client = await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)
    name = f"processes-{uuid.uuid4().hex[:8]}"
    plugins: list[Any] = [Governance().plugin()] if plugged else []
    context = multiprocessing.get_context("spawn")
    manager = context.Manager()
    try:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            async with Worker(
                client,
                task_queue=name,
                activities=[somewhere],
                activity_executor=pool,
                shared_state_manager=SharedStateManager.create_from_multiprocessing(manager),
                plugins=plugins,
            ):
                result = await client.execute_activity(
                    somewhere, os.getpid(), id=name, task_queue=name, schedule_to_close_timeout=timedelta(seconds=30)
                )
    finally:
        manager.shutdown()
    assert result == [True, "somewhere"]
