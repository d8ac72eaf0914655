"""A retired signing key opens no new approvals, but still decides those it opened; decisions signed with a revoked key have no effect."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.client import Client
from temporalio.worker import Replayer, Worker

from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule
from agentgrid.protocol import TIMER_POLICY
from agentgrid.sdk.grid import Grid
from agentgrid.settings import Settings
from agentgrid.testing import Governance
from agentgrid.testing.governance import KEY_ID
from tests.worker import gated
from tests.worker.gated import EXECUTED, plain
from tests.worker.test_gate import next_approval, start

ASK = Rule(rule_id="ask", tool="refund", effect=Effect.REQUIRE_APPROVAL, expires_seconds=60)
GRID = Grid("gated", gated)
NEW = "new"


def public(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


@pytest.fixture
def governance() -> Governance:
    return Governance(rules=[ASK])


@pytest.fixture
def new_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture(params=[0, 100], ids=["uncached", "cached"])
async def worker(request: pytest.FixtureRequest, client: Client, queue: str, governance: Governance) -> Any:
    EXECUTED.clear()
    plugin = governance.plugin(GRID, settings=Settings(policy_refresh_seconds=0.1))
    async with Worker(
        client, task_queue=queue, activities=[plain], plugins=[plugin], max_cached_workflows=request.param
    ) as running:
        yield running


def rotate(governance: Governance, new_key: Ed25519PrivateKey, **more: Any) -> None:
    """Put the new key in force, and retire the previous one."""
    governance.change(public_keys={NEW: public(new_key)}, retired_keys=governance.snapshot.public_keys, **more)


async def test_a_retired_key_decides_only_approvals_that_opened_under_it(
    worker: Any, client: Client, queue: str, governance: Governance, new_key: Ed25519PrivateKey
) -> None:
    handle = await start(client, queue, "twice")
    (first,) = await governance.pending(handle)
    assert set(first.keys) == {KEY_ID}
    rotate(governance, new_key)

    await governance.send(handle, governance.decide(first))

    second = await next_approval(governance, handle, first)
    assert [order for _, order, _ in EXECUTED] == ["first"], "on the retired key's decision, without a new approval"
    assert second.keys == {NEW: public(new_key)}
    await governance.send(handle, governance.decide(second))
    assert [terms.approval_id for terms in await governance.pending(handle)] == [second.approval_id]
    await governance.send(handle, governance.decide(second, key=new_key, key_id=NEW))
    assert await handle.result() == ["refunded 1", "refunded 2"]
    assert [order for _, order, _ in EXECUTED] == ["first", "second"]
    await Replayer(workflows=[], plugins=[governance.plugin(GRID)]).replay_workflow(await handle.fetch_history())


async def test_decisions_signed_with_a_revoked_key_have_no_effect_even_if_it_was_retired_before(
    worker: Any, client: Client, queue: str, governance: Governance, new_key: Ed25519PrivateKey
) -> None:
    handle = await start(client, queue, "once")
    (first,) = await governance.pending(handle)
    rotate(governance, new_key, revoked_keys=frozenset({KEY_ID}))

    await governance.send(handle, governance.decide(first))

    again = await next_approval(governance, handle, first)
    assert EXECUTED == []
    assert set(again.keys) == {NEW}
    await governance.send(handle, governance.decide(again, key=new_key, key_id=NEW))
    assert await handle.result() == "refunded 900"
    assert len(EXECUTED) == 1


async def test_while_no_key_is_in_force_a_call_waits_instead_of_opening_an_approval_nobody_could_decide(
    worker: Any, client: Client, queue: str, governance: Governance, new_key: Ed25519PrivateKey
) -> None:
    governance.change(revoked_keys=frozenset({KEY_ID}))
    handle = await start(client, queue, "once")
    async with asyncio.timeout(60):
        while not await waits_for_policy(handle):
            await asyncio.sleep(0.05)
    rotate(governance, new_key)
    (terms,) = await governance.pending(handle)
    await governance.send(handle, governance.decide(terms, key=new_key, key_id=NEW))
    assert await handle.result() == "refunded 900"
    assert len(EXECUTED) == 1


async def waits_for_policy(handle: Any) -> bool:
    events = (await handle.fetch_history()).events
    return any(
        event.HasField("timer_started_event_attributes") and TIMER_POLICY.encode() in event.user_metadata.summary.data
        for event in events
    )
