"""A worker in its own process: `python -m tests.bench.agent_worker bare|own|pydantic_ai`. The task queue has the same name."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker


async def main(role: str) -> None:
    """Run the worker until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    options: dict[str, Any] = {}
    plugins: list[Any] = []
    if role == "bare":
        from tests.bench.raw import RawTen, plain_step

        options = {"workflows": [RawTen], "activities": [plain_step]}
    elif role == "own":
        from agentgrid.sdk.grid import Grid
        from agentgrid.testing import Governance
        from tests.bench import agent_desk, agent_flows

        options = {"plugins": [Governance().plugin(Grid("bench", agent_desk, agent_flows))]}
    else:
        from pydantic_ai.durable_exec.temporal import PydanticAIPlugin

        from tests.bench.agent_peer_flow import CountPydanticAI

        plugins, options = [PydanticAIPlugin()], {"workflows": [CountPydanticAI]}
    client = await Client.connect(
        os.environ["AGENTGRID_TEMPORAL_ADDRESS"], data_converter=pydantic_data_converter, plugins=plugins
    )
    async with Worker(client, task_queue=role, max_cached_workflows=2_000, **options):
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
