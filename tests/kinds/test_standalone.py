"""Activities that a client starts without a workflow: they run as without the plugin, and can't bypass rules."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import ActivityFailureError, Client
from temporalio.common import RetryPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Governance
from tests.conftest import Temporal
from tests.kinds.activities import anything, plain, remembers
from tests.worker import gated

SOON: Any = {"start_to_close_timeout": timedelta(seconds=10), "schedule_to_close_timeout": timedelta(seconds=20)}
REFUND = {"tool": "refund", "version": "any", "args": {"order": "o-1", "cents": 5}}


@activity.defn
async def ordered(item: str) -> str:
    return f"{item} ordered"


@pytest.fixture
async def plain_client(temporal_server: Temporal) -> Client:
    return await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)


def unique() -> str:
    return f"standalone-{uuid.uuid4().hex[:12]}"


@pytest.mark.parametrize("plugged", [False, True], ids=["native", "governed"])
async def test_standalone_activities_run_as_without_the_plugin(plain_client: Client, plugged: bool) -> None:
    queue = unique()
    plugins: list[Any] = [Governance().plugin()] if plugged else []
    async with Worker(plain_client, task_queue=queue, activities=[plain, remembers, anything], plugins=plugins):
        where: Any = {"task_queue": queue, **SOON}
        assert await plain_client.execute_activity(plain, "a", id=unique(), **where) == "a"
        assert await plain_client.execute_activity("whatever", args=[1], id=unique(), **where) == ["whatever", 1]
        assert await plain_client.execute_activity(remembers, 2, id=unique(), **where) == [3, [2, {"of": "last"}]]
        with pytest.raises(ActivityFailureError):
            await plain_client.execute_activity(
                remembers, 2, id=unique(), retry_policy=RetryPolicy(maximum_attempts=1), **where
            )


@pytest.mark.parametrize(
    ("effect", "kind"), [(Effect.DENY, "PolicyDenied"), (Effect.REQUIRE_APPROVAL, "ApprovalUnsupported")]
)
async def test_a_rule_applies_to_a_call_outside_a_workflow(plain_client: Client, effect: Effect, kind: str) -> None:
    queue = unique()
    governance = Governance(rules=[Rule(rule_id="rule", tool="*", effect=effect)])
    async with Worker(
        plain_client, task_queue=queue, activities=[ordered], plugins=[governance.plugin(Grid("gated", gated))]
    ):
        for name, argument, expected in (("ordered", "tea", kind), ("tool.refund", REFUND, "PolicyDenied")):
            with pytest.raises(ActivityFailureError) as caught:
                await plain_client.execute_activity(name, argument, id=unique(), task_queue=queue, **SOON)
            assert isinstance(caught.value.cause, ApplicationError)
            assert caught.value.cause.type == expected
        governance.change(rules=())
        assert await plain_client.execute_activity(ordered, "tea", id=unique(), task_queue=queue, **SOON)
