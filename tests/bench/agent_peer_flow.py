"""The workflow that runs the agent of `agent_peer`."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pydantic_ai.durable_exec.temporal import PydanticAIWorkflow

    from tests.bench.agent_peer import Answer, counter


@workflow.defn
class CountPydanticAI(PydanticAIWorkflow):
    """Makes as many tool calls as the prompt says, then answers."""

    __pydantic_ai_agents__ = [counter]

    @workflow.run
    async def run(self, prompt: str) -> Answer:
        result = await counter.run(prompt, run_id=str(workflow.uuid4()), conversation_id=workflow.info().workflow_id)
        return result.output
