"""Re-records the plain histories: `python -m tests.replay.record`. Do this only for new shapes."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from agentgrid.servers import TemporalServer
from tests.replay.golden import record
from tests.worker.plain import CANCELLATIONS, SHAPES, Cancellations, Child, Shapes, beat, echo


async def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        async with TemporalServer(Path(home), in_memory=True) as server:
            client = await Client.connect(server.address)
            async with Worker(
                client, task_queue="plain", workflows=[Shapes, Child, Cancellations], activities=[echo, beat]
            ):
                await asyncio.gather(
                    *[record_case(client, Shapes.run, case) for case in SHAPES],
                    *[record_case(client, Cancellations.run, case) for case in CANCELLATIONS],
                )


async def record_case(client: Client, run: Any, case: str) -> None:
    handle = await client.start_workflow(run, case, id=f"plain-{case}", task_queue="plain")
    if case == "workflow_cancel":
        await asyncio.sleep(0.6)  # let the activity beat
        await handle.cancel()
    await asyncio.wait([asyncio.ensure_future(handle.result())])
    first = client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    record(f"plain/{case.replace('/', '-')}", await first.fetch_history())


if __name__ == "__main__":
    asyncio.run(main())
