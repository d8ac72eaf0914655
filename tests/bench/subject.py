"""What is measured: three steps, written for AgentGrid; `raw.py` has the same for the plain SDK."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

import agentgrid as ag

SECONDS = timedelta(seconds=30)


@ag.tool(title="Step", risk="read", timeout=SECONDS)
async def step(number: int) -> int:
    return number + 1


@ag.tool(title="Local step", risk="read", timeout=SECONDS, local=True)
async def local_step(number: int) -> int:
    return number + 1


@ag.workflow(title="Three tools")
class Three:
    """Three tools in sequence."""

    @workflow.run
    async def run(self, number: int) -> int:
        for _ in range(3):
            number = await step(number)
        return number


@ag.workflow(title="Three local tools")
class ThreeLocal:
    """Three local tools in sequence."""

    @workflow.run
    async def run(self, number: int) -> int:
        for _ in range(3):
            number = await local_step(number)
        return number
