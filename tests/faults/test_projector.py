"""A projector killed in the middle of a batch, while another one works on the same runs."""

from __future__ import annotations

import asyncpg
import psutil

from tests.faults import checks
from tests.faults.processes import Program
from tests.faults.stage import Stage

RUNS = 6


async def test_the_batch_of_a_killed_projector_is_not_half_written_and_another_projector_writes_it(
    stage: Stage,
) -> None:
    run_ids = [await stage.start("run_errand", {"seconds": 2, "parcel": True}) for _ in range(RUNS)]
    for run_id in run_ids:
        await stage.run_until(run_id, lambda run: run["waiting_on"] == "timer", "waits for its timer")
    async with stage.database() as database, stage.database() as watching:
        # A batch writes events for live readers last, so a batch that waits here has written everything else.
        await database.execute("BEGIN; LOCK TABLE events IN SHARE MODE")
        backend = await stage.until(lambda: _in_a_batch(watching), "a projector is in the middle of a batch", seconds=4)
        killed = _projector_with_port(stage, backend["client_port"])
        await killed.kill()
        await database.execute("ROLLBACK")
    others = [program for program in stage.of("projector") if program is not killed]
    for run_id in run_ids:
        assert (await stage.ended(run_id))["status"] == "completed"
    assert not killed.running
    assert all(other.running for other in others)
    await checks.mirrored(stage, run_ids)
    assert await checks.rebuilt(stage)


async def _in_a_batch(database: asyncpg.Connection[asyncpg.Record]) -> asyncpg.Record | None:
    return await database.fetchrow(
        "SELECT client_port FROM pg_stat_activity WHERE application_name = 'agentgrid-projector' "
        "AND wait_event_type = 'Lock' AND backend_xid IS NOT NULL AND query LIKE '%events%'"
    )


def _projector_with_port(stage: Stage, port: int) -> Program:
    """The projector with this local port."""
    for program in stage.of("projector"):
        if any(connection.laddr.port == port for connection in psutil.Process(program.pid).net_connections("tcp")):
            return program
    raise AssertionError(f"no projector has the port {port}")
