"""An agent that makes one tool call per turn, as many as its prompt says, and then answers."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel

import agentgrid as ag


class Answer(BaseModel):
    decision: str
    reason: str


@ag.tool(title="Nothing", risk="read", timeout=timedelta(seconds=30))
async def nothing(n: int) -> dict[str, int]:
    """Returns n."""
    return {"n": n}


@ag.tool(title="Ask", risk="destructive", timeout=timedelta(seconds=30))
async def ask(n: int) -> dict[str, int]:
    """Returns n after an approval."""
    return {"n": n}


counter = ag.agent(
    "counter",
    instructions="Count.",
    model="openai-chat:gpt-4.1-mini",
    tools=[nothing, ask],
    output=Answer,
    budget=ag.Budget(requests=100, tool_calls=100),
)
