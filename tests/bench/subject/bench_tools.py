"""The measured tools, in a separate module from the workflows as the guide advises: they are created once, not in each run's sandbox."""

from __future__ import annotations

from datetime import timedelta

import agentgrid as ag

SECONDS = timedelta(seconds=30)


@ag.tool(title="Step", risk="read", timeout=SECONDS)
async def step(number: int) -> int:
    return number + 1


@ag.tool(title="Local step", risk="read", timeout=SECONDS, local=True)
async def local_step(number: int) -> int:
    return number + 1
