"""Workflows that use `agent_desk`, whose module passes through the sandbox as a package of tools and agents does."""

from __future__ import annotations

from temporalio import workflow

import agentgrid as ag

with workflow.unsafe.imports_passed_through():
    from tests.bench.agent_desk import Answer, counter, nothing


@ag.workflow(title="Count with an agent")
class Count:
    @workflow.run
    async def run(self, prompt: str) -> Answer:
        return await counter.run(prompt)


@ag.workflow(title="Ten tool calls")
class TenCalls:
    @workflow.run
    async def run(self, prompt: str) -> int:
        for number in range(10):
            await nothing(number)
        return 10
