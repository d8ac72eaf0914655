"""Ten tools in sequence, written for AgentGrid; `raw.py` has the same for the plain SDK."""

from __future__ import annotations

from bench_tools import step
from temporalio import workflow

import agentgrid as ag


@ag.workflow(title="Ten tools")
class Ten:
    """Ten tools in sequence."""

    @workflow.run
    async def run(self, number: int) -> int:
        for _ in range(10):
            number = await step(number)
        return number
