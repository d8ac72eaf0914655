"""A worker whose models follow scripts, chosen by the prompt of each conversation."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RawValue
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, Worker

from agentgrid.protocol import SIGNAL_CONTROL, ControlSignal, to_payload
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Call, Governance, Turn, scripted
from agentgrid.testing.turns import Conversation, Script, next_turn
from tests.agents import desk
from tests.conftest import Temporal

GRID = Grid("desk", desk)


@dataclass
class Desk:
    """The running worker, and the requests its models received."""

    client: Client
    governance: Governance
    queue: str
    scripts: dict[str, Script] = field(default_factory=dict)
    requests: list[Conversation] = field(default_factory=list)

    async def answer(self, conversation: Conversation) -> Turn:
        script = self.scripts[conversation.messages[1].text.split(" ")[0]]
        return await next_turn(script, conversation)

    async def start(self, workflow: str, script: Script, *, prompt: str = "") -> WorkflowHandle[Any, Any]:
        """Start a run whose agents follow this script."""
        case = uuid.uuid4().hex
        self.scripts[case] = script
        return await self.client.start_workflow(
            workflow,
            f"{case} {prompt}".strip(),
            id=case,
            task_queue=self.queue,
            run_timeout=timedelta(seconds=60),
        )

    def requests_of(self, handle: WorkflowHandle[Any, Any]) -> list[Conversation]:
        """This run's model requests, in order."""
        return [request for request in self.requests if request.messages[1].text.split(" ")[0] == handle.id]

    async def resume(self, handle: WorkflowHandle[Any, Any]) -> None:
        signal = ControlSignal(action="resume", principal="operator")
        await handle.signal(SIGNAL_CONTROL, RawValue(to_payload(signal)))

    async def replays(self, handle: WorkflowHandle[Any, Any]) -> None:
        """Check that the history replays with the code."""
        plugin = self.governance.plugin(GRID)
        replayer = Replayer(workflows=[], plugins=[plugin], data_converter=pydantic_data_converter)
        await replayer.replay_workflow(await handle.fetch_history())


@pytest.fixture(scope="module")
async def desk_client(temporal_server: Temporal) -> Client:
    return await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)


UNCACHED_TOO = pytest.mark.parametrize("running", [0, 100], ids=["uncached", "cached"], indirect=True)
"""For tests in which something changes while a run waits: without a cache, each of its tasks is a replay under the state at that time."""


@pytest.fixture(scope="module")
async def running(request: pytest.FixtureRequest, desk_client: Client) -> AsyncIterator[Desk]:
    running = Desk(client=desk_client, governance=Governance(), queue=f"desk-{uuid.uuid4().hex[:8]}")
    models = scripted(running.answer, requests=running.requests)
    async with Worker(
        desk_client,
        task_queue=running.queue,
        plugins=[running.governance.plugin(GRID, models=models)],
        max_cached_workflows=getattr(request, "param", 100),
    ):
        yield running


def final(**answer: Any) -> Turn:
    """An answer with an output schema."""
    return Turn(calls=[Call("final_answer", answer)])


def look(order_id: str = "A1") -> Call:
    return Call("get_order", {"order_id": order_id})
