"""A workflow whose tool needs a secret."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

import agentgrid as ag

WANTED = ag.secret("WANTED_KEY")


@ag.tool(title="Use the key", risk="read", timeout=timedelta(seconds=5), retries=5)
async def use_key() -> str:
    return f"used a key of {len(await WANTED.value())} characters"


@ag.workflow(title="Wants a key")
class WantsAKey:
    @workflow.run
    async def run(self) -> str:
        return await use_key()
