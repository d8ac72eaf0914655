"""The oracle agrees with the projection for every kind of run, and detects wrong rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule
from agentgrid.sdk.grid import Grid
from agentgrid.settings import Settings
from agentgrid.testing import Governance
from tests import oracle
from tests.projector.conftest import Tables, unique
from tests.projector.record import completed_tasks, reset
from tests.projector.scenarios import Continued, InFlight, Local, Messages, Mixed, Sleeper
from tests.worker import gated


async def projected(tables: Tables, workflow_id: str) -> tuple[Any, Any, Any]:
    run = await tables.run_of(workflow_id) or {}
    approvals = await tables.rows("SELECT * FROM approvals WHERE run_id = $1", run.get("run_id"))
    return run, await tables.steps(run.get("run_id", "")), approvals


async def assert_agreement(client: Client, tables: Tables, workflow_id: str) -> None:
    async def probe() -> tuple[Any, Any, Any]:
        return await projected(tables, workflow_id)

    await tables.run_in(
        workflow_id, "running", "waiting", "completed", "failed", "cancelled", "terminated", "timed_out"
    )
    await oracle.eventually(client, probe)


async def test_the_oracle_agrees_about_plain_runs(
    projector: asyncio.Task[None], client: Client, queue: str, tables: Tables
) -> None:
    handles = [
        await client.start_workflow(Mixed.run, id=unique(), task_queue=queue),
        await client.start_workflow(Continued.run, 2, id=unique(), task_queue=queue),
        await client.start_workflow(Local.run, id=unique(), task_queue=queue),
        await client.start_workflow(InFlight.run, id=unique(), task_queue=queue),
    ]
    await asyncio.gather(*(handle.result() for handle in handles))
    fork = await reset(client, handles[-1], (await completed_tasks(handles[-1]))[1])
    opened = await client.start_workflow(Messages.run, id=unique(), task_queue=queue)
    await opened.signal(Messages.note, "one")
    cancelling = await client.start_workflow(Sleeper.run, id=unique(), task_queue=queue)
    await cancelling.cancel()
    await fork.result()
    for handle in (*handles, opened, cancelling):
        await assert_agreement(client, tables, handle.id)
    await opened.terminate()


@pytest.fixture
def governance() -> Governance:
    return Governance(rules=[Rule(rule_id="ask", tool="*", effect=Effect.REQUIRE_APPROVAL, expires_seconds=60)])


@pytest.fixture
async def governed_queue(client: Client, settings: Settings, governance: Governance) -> AsyncIterator[str]:
    name = unique("governed")
    plugin = governance.plugin(Grid("gated", gated), settings=settings)
    async with Worker(client, task_queue=name, activities=[gated.plain], plugins=[plugin]):
        yield name


async def test_the_oracle_agrees_about_open_and_closed_runs_with_approvals(
    projector: asyncio.Task[None], client: Client, governed_queue: str, governance: Governance, tables: Tables
) -> None:
    handles = {
        case: await client.start_workflow("gated", case, id=unique(case), task_queue=governed_queue)
        for case in ("refund", "rejectable", "local", "plain", "explicit", "branch", "many")
    }
    await governance.pending(handles["many"], at_least=8)
    await assert_agreement(client, tables, handles["many"].id)
    await handles["many"].cancel()
    await governance.reject(handles["rejectable"])
    for case in ("refund", "local", "plain", "explicit"):
        await governance.approve(handles[case])
    for handle in handles.values():
        await tables.run_in(handle.id, "completed", "cancelled")
        await assert_agreement(client, tables, handle.id)


async def test_the_oracle_detects_a_wrong_row(
    projector: asyncio.Task[None], client: Client, queue: str, tables: Tables
) -> None:
    handle = await client.start_workflow(Mixed.run, id=unique(), task_queue=queue)
    await handle.result()
    await tables.run_in(handle.id, "completed")
    run, steps, approvals = await projected(tables, handle.id)
    await oracle.compare(client, run, steps, approvals)
    corruptions = [
        ({**run, "status": "failed"}, steps),
        ({**run, "result": {"size": 2, "value": "no"}}, steps),
        (run, steps[1:]),
        (run, [{**steps[0], "status": "failed"}, *steps[1:]]),
        (run, [{**steps[0], "attempts": 1}, *steps[1:]]),
        (run, [*steps, {**steps[0], "event_id": 99}]),
    ]
    for wrong_run, wrong_steps in corruptions:
        with pytest.raises(AssertionError, match="differs from Temporal"):
            await oracle.compare(client, wrong_run, wrong_steps, approvals)
