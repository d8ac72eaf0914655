"""Three local tools in sequence, written for AgentGrid; `raw.py` has the same for the plain SDK."""

from __future__ import annotations

from bench_tools import local_step
from temporalio import workflow

import agentgrid as ag


@ag.workflow(title="Three local tools")
class ThreeLocal:
    """Three local tools in sequence."""

    @workflow.run
    async def run(self, number: int) -> int:
        for _ in range(3):
            number = await local_step(number)
        return number
