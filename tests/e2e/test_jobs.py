"""Jobs whose end the worker doesn't know, through the whole stack."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RetryPolicy

from tests.e2e.conftest import Loop

TOKENS: asyncio.Queue[bytes] = asyncio.Queue()


@activity.defn
async def left_to_others() -> str:
    """Is completed by somebody else."""
    TOKENS.put_nowait(activity.info().task_token)
    activity.raise_complete_async()


@activity.defn
async def nothing_that_json_holds() -> Any:
    return object()


@workflow.defn(sandboxed=False)
class Ends:
    @workflow.run
    async def run(self, name: str) -> Any:
        return await workflow.execute_activity(
            name, start_to_close_timeout=timedelta(seconds=20), retry_policy=RetryPolicy(maximum_attempts=1)
        )


async def begun(loop: Loop, queue: str, name: str) -> tuple[Any, str]:
    """Start a run outside AgentGrid and wait until it is projected."""
    handle = await loop.client.start_workflow(Ends.run, name, id=f"ends-{uuid.uuid4().hex[:12]}", task_queue=queue)
    run_id = str(handle.first_execution_run_id)
    async with asyncio.timeout(30):
        while True:
            async with loop.api.client("operator") as http:
                if (await http.get(f"/api/v1/runs/{run_id}")).status_code == 200:
                    return handle, run_id
            await asyncio.sleep(0.05)


async def test_f17_a_job_completed_by_somebody_else_runs_until_then(loop: Loop) -> None:
    queue = f"ends-{uuid.uuid4().hex[:12]}"
    async with loop.worker(queue, None, workflows=[Ends], activities=[left_to_others]):
        handle, run_id = await begun(loop, queue, "left_to_others")
        token = await TOKENS.get()
        await loop.until(run_id, "running")
        (job,) = await loop.reports(run_id, "jobs", lambda jobs: len(jobs) == 1)
        assert (job["status"], job["finished_at"], job["error"]) == ("running", None, None)
        await loop.client.get_async_activity_handle(task_token=token).complete("by somebody else")
        assert await handle.result() == "by somebody else"
        (job,) = await loop.reports(run_id, "jobs", lambda jobs: jobs[0]["status"] != "running")
        assert (job["status"], job["error"]) == ("completed", None)
        assert job["finished_at"] is not None


async def test_f17_a_job_whose_result_could_not_be_stored_has_failed(loop: Loop) -> None:
    queue = f"ends-{uuid.uuid4().hex[:12]}"
    async with loop.worker(queue, None, workflows=[Ends], activities=[nothing_that_json_holds]):
        _, run_id = await begun(loop, queue, "nothing_that_json_holds")
        assert (await loop.until(run_id, "failed"))["status"] == "failed"
        (job,) = await loop.reports(run_id, "jobs", lambda jobs: [job["status"] for job in jobs] == ["failed"])
        assert job["error"]["message"]
