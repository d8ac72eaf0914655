"""A new kind of activity is one row of `domain.activities.KINDS`: its steps, its rules and its kill switch follow."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

from agentgrid.domain import activities
from agentgrid.domain.activities import ActivityKind
from agentgrid.domain.steps import StepKind
from agentgrid.settings import Settings
from agentgrid.testing import Governance
from tests.projector.conftest import Tables, unique

MODEL = ActivityKind(prefix="model.", step=StepKind.MODEL)


@activity.defn(name="model.triager")
async def model_turn() -> str:
    return "an answer"


@workflow.defn(sandboxed=False)
class Asking:
    @workflow.run
    async def run(self, local: bool) -> str:
        call = workflow.execute_local_activity if local else workflow.execute_activity
        answer: str = await call(model_turn, schedule_to_close_timeout=timedelta(seconds=9))
        return answer


@pytest.fixture
def model_kind(monkeypatch: pytest.MonkeyPatch) -> ActivityKind:
    monkeypatch.setattr(activities, "KINDS", (*activities.KINDS, MODEL))
    return MODEL


async def test_its_steps_have_its_kind_and_the_name_after_its_prefix(
    model_kind: ActivityKind,
    projector: asyncio.Task[None],
    settings: Settings,
    client: Client,
    tables: Tables,
) -> None:
    plugin = Governance().plugin(settings=settings)
    async with Worker(
        client, task_queue=(queue := unique("models")), workflows=[Asking], activities=[model_turn], plugins=[plugin]
    ):
        for local in (False, True):
            handle = await client.start_workflow(Asking.run, local, id=unique(), task_queue=queue)
            await handle.result()
            run = await tables.run_in(handle.id, "completed")
            steps = await tables.steps(run["run_id"])
            assert [(step["kind"], step["name"], step["local"]) for step in steps] == [("model", "triager", local)]
            assert run["tools"] == []
