"""The same agent on pydantic-ai's own loop with its Temporal durability, as the comparison for AgentGrid's loop."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel
from pydantic_ai import Agent, FunctionToolset
from pydantic_ai.durable_exec.temporal import TemporalDurability
from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityConfig


class Answer(BaseModel):
    decision: str
    reason: str


async def nothing(n: int) -> dict[str, int]:
    """Returns n."""
    return {"n": n}


_ACTIVITY_CONFIG = ActivityConfig(
    start_to_close_timeout=timedelta(seconds=60), retry_policy=RetryPolicy(maximum_attempts=5)
)
counter = Agent(
    "openai-chat:gpt-4.1-mini",
    name="counter",
    instructions="Count.",
    output_type=Answer,
    toolsets=[FunctionToolset([nothing], id="tools")],
    capabilities=[TemporalDurability(activity_config=_ACTIVITY_CONFIG, model_activity_config=_ACTIVITY_CONFIG)],
)
