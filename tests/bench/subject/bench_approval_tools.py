"""A destructive tool: it needs an approval even without any rule."""

from __future__ import annotations

from datetime import timedelta

import agentgrid as ag


@ag.tool(title="Send", risk="destructive", timeout=timedelta(seconds=30))
async def send(number: int) -> int:
    return number + 1
