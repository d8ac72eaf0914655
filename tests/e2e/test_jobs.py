"""Jobs whose end the worker doesn't know, in the whole stack."""

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
async def completed_elsewhere() -> str:
    """Completed asynchronously by another process."""
    TOKENS.put_nowait(activity.info().task_token)
    activity.raise_complete_async()


@activity.defn
async def returns_no_json() -> Any:
    return object()


@workflow.defn(sandboxed=False)
class Ends:
    @workflow.run
    async def run(self, name: str) -> Any:
        return await workflow.execute_activity(
            name, start_to_close_timeout=timedelta(seconds=20), retry_policy=RetryPolicy(maximum_attempts=1)
        )


async def started(loop: Loop, queue: str, name: str) -> tuple[Any, str]:
    """Start a run outside AgentGrid and wait until it is projected."""
    handle = await loop.client.start_workflow(Ends.run, name, id=f"ends-{uuid.uuid4().hex[:12]}", task_queue=queue)
    run_id = str(handle.first_execution_run_id)
    async with asyncio.timeout(30):
        while True:
            async with loop.api.client("operator") as http:
                if (await http.get(f"/api/v1/runs/{run_id}")).status_code == 200:
                    return handle, run_id
            await asyncio.sleep(0.05)


async def test_f17_a_job_completed_asynchronously_runs_until_then(loop: Loop) -> None:
    queue = f"ends-{uuid.uuid4().hex[:12]}"
    async with loop.worker(queue, None, workflows=[Ends], activities=[completed_elsewhere]):
        handle, run_id = await started(loop, queue, "completed_elsewhere")
        token = await TOKENS.get()
        await loop.until(run_id, "running")
        (job,) = await loop.reports(run_id, "jobs", lambda jobs: len(jobs) == 1)
        assert (job["status"], job["finished_at"], job["error"]) == ("running", None, None)
        await loop.client.get_async_activity_handle(task_token=token).complete("by another process")
        assert await handle.result() == "by another process"
        (job,) = await loop.reports(run_id, "jobs", lambda jobs: jobs[0]["status"] != "running")
        assert (job["status"], job["error"]) == ("completed", None)
        assert job["finished_at"] is not None


async def test_f17_a_job_whose_result_could_not_be_stored_has_failed(loop: Loop) -> None:
    queue = f"ends-{uuid.uuid4().hex[:12]}"
    async with loop.worker(queue, None, workflows=[Ends], activities=[returns_no_json]):
        _, run_id = await started(loop, queue, "returns_no_json")
        assert (await loop.until(run_id, "failed"))["status"] == "failed"
        (job,) = await loop.reports(run_id, "jobs", lambda jobs: [job["status"] for job in jobs] == ["failed"])
        assert job["error"]["message"]
