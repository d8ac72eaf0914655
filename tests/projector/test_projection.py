"""From Temporal to the tables, through the running loop, for a worker that knows nothing of AgentGrid."""

from __future__ import annotations

import asyncio

from temporalio.client import Client

from tests.projector.conftest import Tables, unique
from tests.projector.scenarios import Sequence


async def test_a_plain_workflow_shows_as_a_completed_run_with_its_steps(
    projector: asyncio.Task[None], client: Client, queue: str, tables: Tables
) -> None:
    handle = await client.start_workflow(Sequence.run, 3, id=unique(), task_queue=queue)
    await handle.result()
    run = await tables.run_in(handle.id, "completed")
    assert run["run_id"] == handle.first_execution_run_id
    assert run["initiator"] == "unknown"
    assert run["trigger"] == "external"
    assert run["input"] == {"size": 1, "value": 3}
    assert run["result"] == {"size": 6, "value": "done"}
    assert run["steps_done"] == run["step_count"] == 3
    steps = await tables.steps(run["run_id"])
    assert [(step["kind"], step["name"], step["status"], step["attempts"]) for step in steps] == [
        ("activity", "echo", "completed", 1)
    ] * 3
    assert [step["output"]["value"] for step in steps] == ["step 0", "step 1", "step 2"]
