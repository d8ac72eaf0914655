"""A workflow that repeatedly requires an approval and continues as new, to test signals in between."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

import agentgrid as ag


@ag.tool(title="Pay an instalment", risk="write", timeout=timedelta(seconds=5), retries=1)
async def pay(left: int) -> str:
    PAID.append(left)
    return f"paid {left}"


PAID: list[int] = []
"""The instalments actually paid."""


@ag.workflow(title="Rolling")
class Rolling:
    @workflow.run
    async def run(self, left: int) -> str:
        paid = await pay(left)
        if left > 1:
            workflow.continue_as_new(left - 1)
        return paid
