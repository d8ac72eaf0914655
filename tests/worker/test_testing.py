"""The in-memory approver that developers use in their own tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.worker import Worker

from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule
from agentgrid.errors import Conflict, Forbidden
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Governance
from tests.worker import gated

GRID = Grid("gated", gated)


async def test_a_decided_approval_is_never_decided_again(client: Client, queue: str) -> None:
    governance = Governance(rules=[Rule(rule_id="ask", tool="refund", effect=Effect.REQUIRE_APPROVAL)])
    handle = await client.start_workflow("gated", "twice", id=f"twice-{queue}", task_queue=queue)
    async with Worker(client, task_queue=queue, plugins=[governance.plugin(GRID)]):
        await governance.pending(handle)

    # No worker is running: the first decision is not received, so its approval stays open.
    first = await governance.approve(handle)
    assert [terms.approval_id for terms in await governance.pending(handle)] == [first.approval_id]
    with pytest.raises(TimeoutError):
        await governance.approve(handle, timeout_seconds=0.5)

    async with Worker(client, task_queue=queue, plugins=[governance.plugin(GRID)]):
        second = await governance.approve(handle)
        assert second.approval_id != first.approval_id
        assert await handle.result() == ["refunded 1", "refunded 2"]


FINANCE = Rule(rule_id="ask", tool="refund", effect=Effect.REQUIRE_APPROVAL, approvers=("finance",))


@asynccontextmanager
async def running(
    client: Client, queue: str, case: str, governance: Governance
) -> AsyncIterator[WorkflowHandle[Any, Any]]:
    """The workflow `gated` on a worker under this policy."""
    async with Worker(client, task_queue=queue, plugins=[governance.plugin(GRID)]):
        yield await client.start_workflow("gated", case, id=f"{case}-{queue}", task_queue=queue)


@pytest.mark.parametrize("verdict", [Governance.approve, Governance.reject])
async def test_an_approver_without_the_group_learns_which_one_is_missing(
    client: Client, queue: str, verdict: Callable[..., Awaitable[object]]
) -> None:
    governance = Governance(rules=[FINANCE], groups=["support"])
    async with running(client, queue, "forced", governance) as handle:
        with pytest.raises(Forbidden, match=r"for finance, and reviewer is role:approver, support; .*\['finance'\]"):
            await verdict(governance, handle)
        governance.change(approver_entries={"reviewer": frozenset({"finance"})})
        await governance.approve(handle)
        assert await handle.result() == "refunded 900"


async def test_a_revoked_approver_gets_an_error_that_says_so(client: Client, queue: str) -> None:
    governance = Governance(rules=[FINANCE], groups=["finance"])
    governance.change(revoked_principals=frozenset({"reviewer"}))
    async with running(client, queue, "forced", governance) as handle:
        with pytest.raises(Forbidden, match="reviewer is disabled"):
            await governance.approve(handle)


async def test_a_workflow_that_fails_raises_its_failure_at_once(client: Client, queue: str) -> None:
    denied = Rule(rule_id="no", tool="refund", effect=Effect.DENY)
    governance = Governance(rules=[denied])
    async with running(client, queue, "failing", governance) as handle:
        with pytest.raises(WorkflowFailureError) as caught:
            await governance.approve(handle)
    assert "denied by the rule no" in str(caught.value.cause.cause)  # type: ignore[union-attr]


async def test_a_workflow_that_completes_without_an_approval_raises_at_once(client: Client, queue: str) -> None:
    governance = Governance()
    async with running(client, queue, "completing", governance) as handle:
        with pytest.raises(Conflict, match="completed without a pending approval"):
            await governance.approve(handle)


async def test_a_timeout_names_what_blocks_the_workflow(client: Client, queue: str) -> None:
    governance = Governance()
    gated.HEALED.clear()
    async with running(client, queue, "flaky", governance) as handle:
        with pytest.raises(TimeoutError, match=r"activity tool\.flaky fails: not yet"):
            await governance.approve(handle, timeout_seconds=1)
        await handle.terminate()


@pytest.mark.parametrize("case", ["expiring", "explicit"])
async def test_an_expiry_of_days_is_tested_in_a_second(client: Client, queue: str, case: str) -> None:
    ask = Rule(rule_id="ask", tool="refund", effect=Effect.REQUIRE_APPROVAL)
    governance = Governance(rules=[ask], expires=timedelta(seconds=1))
    async with running(client, queue, case, governance) as handle:
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
    assert "nobody decided within 0:00:01" in str(caught.value.cause)
