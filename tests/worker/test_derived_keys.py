"""The idempotency key of a call that carries no call key, because its run isn't governed."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Worker

import agentgrid as ag
from agentgrid.testing import Governance
from agentgrid.worker.activities import _derived_key
from tests.worker.plain import Shapes

KEYS: list[str] = []


@activity.defn(name="echo")
async def keyed_echo(value: str) -> str:
    KEYS.append(ag.idempotency_key())
    if len(KEYS) == 1:
        raise RuntimeError("once")
    return value


async def test_an_ungoverned_call_has_one_key_for_all_attempts_and_no_other_call_shares_it(
    client: Client, queue: str
) -> None:
    """The run begins, and makes its first call, under a plain worker, so that it stays ungoverned."""
    KEYS.clear()
    async with Worker(client, task_queue=queue, workflows=[Shapes], max_cached_workflows=0):
        handle = await client.start_workflow(Shapes.run, "sequence", id=queue, task_queue=queue)
        async with asyncio.timeout(60):
            while "ACTIVITY_TASK_SCHEDULED" not in str([event async for event in handle.fetch_history_events()]):
                await asyncio.sleep(0.02)
    plugin = Governance().plugin()
    async with Worker(client, task_queue=queue, workflows=[Shapes], activities=[keyed_echo], plugins=[plugin]):
        await handle.result()
    first, again, *others = KEYS
    assert first == again
    assert others
    assert len({first, *others}) == len(others) + 1


@pytest.mark.parametrize("name", ["namespace", "workflow_id", "workflow_run_id", "activity_id"])
def test_a_derived_key_names_the_call(name: str) -> None:
    info = ActivityEnvironment.default_info()
    assert _derived_key(dataclasses.replace(info, attempt=7)) == _derived_key(info)
    assert _derived_key(dataclasses.replace(info, **{name: "another"})) != _derived_key(info)
