"""An agent, for tests that kill its worker."""

from __future__ import annotations

from fault_tools import enter, remove
from temporalio import workflow

import agentgrid as ag

errander = ag.agent(
    "errander",
    title="Errands",
    instructions="Enter the requested steps into the ledger.",
    model="openai:gpt-4.1-mini",
    tools=[enter, remove],
    budget=ag.Budget(requests=10),
)


@ag.workflow(title="Delegate an errand")
class DelegateErrand:
    """Delegates an errand to an agent. Returns its answer."""

    @workflow.run
    async def run(self, prompt: str) -> str:
        return await errander.run(prompt)
