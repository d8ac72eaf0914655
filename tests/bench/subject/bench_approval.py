"""A workflow that waits for an approval, then runs one step; `raw.py` has the same with a signal for the plain SDK."""

from __future__ import annotations

from bench_approval_tools import send
from temporalio import workflow

import agentgrid as ag


@ag.workflow(title="Gated")
class Gated:
    """One call of a tool that needs an approval."""

    @workflow.run
    async def run(self, number: int) -> int:
        return await send(number)
