"""What developers' own tests are given: the approver in memory."""

from __future__ import annotations

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from agentgrid.domain.policies import Effect, Rule
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Governance
from tests.worker import gated

GRID = Grid("gated", gated)


async def test_an_answered_approval_is_never_answered_again(client: Client, queue: str) -> None:
    governance = Governance(rules=[Rule(rule_id="ask", tool="refund", effect=Effect.REQUIRE_APPROVAL)])
    handle = await client.start_workflow("gated", "twice", id=f"twice-{queue}", task_queue=queue)
    async with Worker(client, task_queue=queue, plugins=[governance.plugin(GRID)]):
        await governance.pending(handle)

    # No worker runs now: the first answer is not taken, and its approval stays open.
    first = await governance.approve(handle)
    assert [terms.approval_id for terms in await governance.pending(handle)] == [first.approval_id]
    with pytest.raises(TimeoutError):
        await governance.approve(handle, timeout_seconds=0.5)

    async with Worker(client, task_queue=queue, plugins=[governance.plugin(GRID)]):
        second = await governance.approve(handle)
        assert second.approval_id != first.approval_id
        assert await handle.result() == ["refunded 1", "refunded 2"]
