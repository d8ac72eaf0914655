"""What a workflow's author, or a client of Temporal, gains by forging the header that names an agent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from agentgrid.domain.agents import AgentHeader
from agentgrid.domain.conditions import Condition
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule
from agentgrid.protocol import HEADER_AGENT, to_payload
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Governance
from tests.agents import desk
from tests.security.hostile import Headers
from tests.worker.conftest import client as client  # the fixture
from tests.worker.conftest import queue as queue

ANSWERED = "done"


@workflow.defn(name="forger")
class Forger:
    """Makes one call in the name of any agent, on a governed worker's queue."""

    def __init__(self) -> None:
        self.headers: dict[str, Payload] = {}

    @workflow.run
    async def run(self, queue: str, agent: str | None, tool: str, arguments: dict[str, Any]) -> str:
        self.headers = {} if agent is None else {HEADER_AGENT: _header(agent)}
        try:
            await workflow.execute_activity(
                f"tool.{tool}",
                {"tool": tool, "version": "any", "args": arguments},
                task_queue=queue,
                start_to_close_timeout=timedelta(seconds=10),
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        except ActivityError as error:
            return str(error.cause)
        return ANSWERED


def _header(agent: str) -> Payload:
    if agent == "unreadable":
        return Payload(metadata={"encoding": b"json/plain"}, data=b'{"agent": 5}')
    return to_payload(AgentHeader(agent=agent, version="forged", call="forged", turn=1))


RULES = [
    Rule(rule_id="desk-refunds", tool="refund_order", agent="desk", effect=Effect.ALLOW),
    Rule(rule_id="agent:chatty", tool="*", agent="chatty", effect=Effect.DENY),
    Rule(
        rule_id="odd",
        tool="get_order",
        when=(Condition(argument="order_id", op="matches", value="^X"),),
        effect=Effect.DENY,
    ),
]


@pytest.fixture
async def governed(client: Client, queue: str) -> AsyncIterator[str]:
    """The queue of the forger's own worker. The governed worker has the agents and tools."""
    theirs = f"{queue}-theirs"
    async with (
        Worker(client, task_queue=queue, plugins=[Governance(rules=RULES).plugin(Grid("desk", desk))]),
        Worker(
            client,
            task_queue=theirs,
            workflows=[Forger],
            interceptors=[Headers()],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ),
    ):
        yield theirs


REFUND = ("refund_order", {"order_id": "F1", "amount_cents": 1})
LOOK = ("get_order", {"order_id": "A1"})


async def test_a_forged_agent_gets_no_more_than_that_agents_own_calls(
    client: Client, queue: str, governed: str
) -> None:
    async def call(agent: str | None, tool: str, arguments: dict[str, Any]) -> str:
        case = f"{agent}-{tool}-{arguments}-{queue}"
        started = client.execute_workflow(
            Forger.run, args=[queue, agent, tool, arguments], id=case, task_queue=governed
        )
        return await started

    # The worker's own list of each agent's tools decides, whatever a rule allows.
    assert await call("desk", "delete_customer", {"customer_id": "C1"}) == (
        "PolicyDenied: the agent desk may not use delete_customer"
    )
    assert "is not registered on this worker" in await call("stranger", *LOOK)
    assert "is not registered on this worker" in await call("unreadable", *LOOK)
    # Naming no agent escapes the rules about agents, but gains nothing that they allow.
    assert (await call(None, *REFUND)).startswith("ApprovalUnsupported")
    assert (await call("chatty", *LOOK)).startswith("PolicyDenied: get_order is denied by the rule agent:chatty")
    assert await call(None, *LOOK) == ANSWERED
    # Arguments that hide the value a denial checks are denied.
    assert "denied by the rule odd" in await call(None, "get_order", {"order_id": 5})
    assert "denied by the rule odd" in await call(None, "get_order", {})
    # What remains possible, as docs/security.md says: workflow code that names an agent gets whatever a rule allows that agent.
    assert await call("desk", *REFUND) == ANSWERED
