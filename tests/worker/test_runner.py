"""A worker's touches while a run executes: one for each workflow task, which of them are urgent, and what the sandbox is asked only once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from agentgrid.worker.runner import TouchingInstance, touching_runner
from tests.worker.plain import echo


@workflow.defn
class Resting:
    @workflow.run
    async def run(self) -> str:
        echoed = await workflow.execute_activity(echo, "a", start_to_close_timeout=timedelta(seconds=5))
        await workflow.sleep(0.01)
        return echoed

    @workflow.query
    def here(self) -> bool:
        return True


@pytest.mark.parametrize("runner", [SandboxedWorkflowRunner(), UnsandboxedWorkflowRunner()], ids=["sandbox", "none"])
async def test_each_task_touches_and_the_touch_is_urgent_when_the_run_pauses(
    client: Client, queue: str, runner: WorkflowRunner
) -> None:
    touches: list[tuple[str, str, int, bool]] = []
    recording = touching_runner(runner, lambda *touch: touches.append(touch))
    async with Worker(client, task_queue=queue, workflows=[Resting], activities=[echo], workflow_runner=recording):
        handle = await client.start_workflow(Resting.run, id=queue, task_queue=queue)
        assert await handle.result() == "a"
        assert await handle.query(Resting.here)
    mine = [(expect, urgent) for execution, _, expect, urgent in touches if execution == handle.result_run_id]
    assert {workflow_id for _, workflow_id, _, _ in touches} == {queue}
    # The activity is scheduled; the timer is started; the run ends. A query doesn't touch.
    assert mine == [(4, False), (10, True), (15, True)]


@workflow.defn
class Several:
    @workflow.run
    async def run(self) -> list[str]:
        wait = timedelta(seconds=5)
        calls = [workflow.execute_activity(echo, text, start_to_close_timeout=wait, summary=text) for text in "ab"]
        results = list(await asyncio.gather(*calls))
        results.append(await workflow.execute_local_activity(echo, "c", start_to_close_timeout=wait))
        return [*results, await workflow.execute_activity(echo, "d", start_to_close_timeout=wait)]


async def test_cached_answers_of_the_sandbox_equal_fresh_ones(
    client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions: list[tuple[str, Any]] = []
    differing: list[Any] = []

    def compared(name: str) -> Any:
        remembered = getattr(TouchingInstance, name)

        def both(self: TouchingInstance, command: Any) -> Any:
            inner = self._inner
            now = getattr(inner, name)(command)

            class Counted:
                def __getattr__(self, attribute: str) -> Any:
                    questions.append((name, command))
                    return getattr(inner, attribute)

            self._inner = Counted()  # type: ignore[assignment]
            try:
                answer = remembered(self, command)
            finally:
                self._inner = inner
            if answer != now:
                differing.append((name, command, answer, now))
            return answer

        return both

    for name in ("get_serialization_context", "get_external_store_context"):
        monkeypatch.setattr(TouchingInstance, name, compared(name))
    runner = touching_runner(SandboxedWorkflowRunner(), lambda *_: None)
    async with Worker(client, task_queue=queue, workflows=[Several], activities=[echo], workflow_runner=runner):
        assert await client.execute_workflow(Several.run, id=queue, task_queue=queue) == ["a", "b", "c", "d"]
    assert differing == []
    assert len(questions) == 8, "once for each of the four activities, and twice for the workflow and for its end"
