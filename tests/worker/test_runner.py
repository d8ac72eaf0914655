"""What a worker tells of a run while it executes: one touch for each workflow task, and which of them are urgent."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from agentgrid.worker.runner import touching
from tests.worker.plain import echo


@workflow.defn
class Resting:
    @workflow.run
    async def run(self) -> str:
        said = await workflow.execute_activity(echo, "a", start_to_close_timeout=timedelta(seconds=5))
        await workflow.sleep(0.01)
        return said

    @workflow.query
    def here(self) -> bool:
        return True


@pytest.mark.parametrize("runner", [SandboxedWorkflowRunner(), UnsandboxedWorkflowRunner()], ids=["sandbox", "none"])
async def test_each_task_touches_and_is_urgent_where_the_run_comes_to_rest(
    client: Client, queue: str, runner: WorkflowRunner
) -> None:
    touches: list[tuple[str, str, int, bool]] = []
    told = touching(runner, lambda *touch: touches.append(touch))
    async with Worker(client, task_queue=queue, workflows=[Resting], activities=[echo], workflow_runner=told):
        handle = await client.start_workflow(Resting.run, id=queue, task_queue=queue)
        assert await handle.result() == "a"
        assert await handle.query(Resting.here)
    mine = [(expect, urgent) for execution, _, expect, urgent in touches if execution == handle.result_run_id]
    assert {workflow_id for _, workflow_id, _, _ in touches} == {queue}
    # The activity is scheduled; the timer is started; the run ends. A query tells nothing.
    assert mine == [(4, False), (10, True), (15, True)]
