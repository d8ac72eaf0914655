"""The tools as governed activities of a real run: if an attempt is lost after its effect, the retry doesn't repeat the effect."""

from __future__ import annotations

import uuid
from typing import Any

import asyncpg
import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor, Worker

import activities
import agentgrid as ag
from agentgrid.testing import Governance
from tests.activities import governed
from tests.conftest import Temporal

GRID = ag.Grid("reference", activities, governed)


class LosesFirstAnswers(Interceptor):
    """A worker that, from the server's view, dies in each call's first attempt, after the effect and before the answer."""

    def __init__(self) -> None:
        self.lost: list[str] = []

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        lost = self.lost

        class Losing(ActivityInboundInterceptor):
            async def execute_activity(self, input: ExecuteActivityInput) -> Any:
                result = await super().execute_activity(input)
                if activity.info().attempt == 1:
                    lost.append(activity.info().activity_type)
                    raise ConnectionError("the answer was lost")
                return result

        return Losing(next)


@pytest.fixture
async def client(temporal_server: Temporal) -> Client:
    return await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)


async def test_every_write_takes_effect_once_although_each_first_answer_is_lost(
    client: Client, db: asyncpg.Connection
) -> None:
    queue = f"backoffice-{uuid.uuid4().hex}"
    governance, loses = Governance(), LosesFirstAnswers()
    async with Worker(client, task_queue=queue, plugins=[governance.plugin(GRID)], interceptors=[loses]):
        handle = await client.start_workflow(governed.WriteEverywhere.run, id=queue, task_queue=queue)
        await governance.approve(handle)
        await handle.result()
    writes = sorted(tool.activity_type for tool in GRID.tools if tool.risk != "read")
    assert sorted(loses.lost) == writes
    counts = {
        table: await db.fetchval(f"SELECT count(*) FROM backoffice.{table} WHERE idempotency_key NOT LIKE 'seed:%'")
        for table in ("replies", "refunds", "ticket_changes", "crm_changes", "page_revisions", "tasks", "reports")
    }
    assert counts == {
        "replies": 1,
        "refunds": 1,
        "ticket_changes": 2,
        "crm_changes": 2,
        "page_revisions": 1,
        "tasks": 1,
        "reports": 1,
    }
    history = "SELECT action FROM backoffice.publications WHERE slug = 'winter-tips' ORDER BY id"
    assert [row["action"] for row in await db.fetch(history)] == ["publish", "unpublish"]


async def test_an_unknown_id_fails_the_run_at_the_first_attempt_and_names_it(client: Client, backoffice: str) -> None:
    queue = f"backoffice-{uuid.uuid4().hex}"
    async with Worker(client, task_queue=queue, plugins=[Governance().plugin(GRID)]):
        with pytest.raises(WorkflowFailureError) as caught:
            await client.execute_workflow(governed.AnswerUnknown.run, id=queue, task_queue=queue)
    failure = caught.value.cause
    assert isinstance(failure, ActivityError)
    assert isinstance(failure.cause, ApplicationError)
    assert failure.cause.message == "there is no ticket 'T-9' in the back office"
    assert failure.cause.non_retryable
