"""Records histories of workflows under AgentGridPlugin: `python -m tests.projector.record_gated ADDRESS`."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import RawValue
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from agentgrid.domain.approvals import Terms, Verdict
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule
from agentgrid.protocol import SIGNAL_CONTROL, SIGNAL_DECIDE, ControlSignal, to_payload
from agentgrid.sdk.grid import Grid
from agentgrid.settings import Settings
from agentgrid.testing import Governance
from tests.projector.record import Recorder, completed_tasks, reset, settled
from tests.worker import gated

ASK = Rule(rule_id="ask", tool="*", effect=Effect.REQUIRE_APPROVAL, expires_seconds=60)
SOON = ASK.model_copy(update={"expires_seconds": 1})
Handle = WorkflowHandle[Any, Any]


class GatedRecorder(Recorder):
    def __init__(self, client: Client, queue: str, governance: Governance) -> None:
        super().__init__(client, queue)
        self.governance = governance

    async def begin(self, case: str) -> Handle:
        return await self.client.start_workflow("gated", case, id=f"gated-{case}-{uuid.uuid4()}", task_queue=self.queue)

    async def next_approval(self, handle: Handle, previous: Terms) -> Terms:
        while True:
            for terms in await self.governance.pending(handle):
                if terms.approval_id != previous.approval_id:
                    return terms

    async def end(self, handle: Handle) -> None:
        try:
            await handle.result()
        except WorkflowFailureError:
            return


async def _decisions(recorder: GatedRecorder) -> None:
    governance = recorder.governance
    approved = await recorder.begin("refund")
    await governance.approve(approved)
    rejected = await recorder.begin("rejectable")
    await governance.reject(rejected)
    explicit = await recorder.begin("explicit")
    await governance.approve(explicit)
    explicit_rejected = await recorder.begin("explicit")
    await governance.reject(explicit_rejected)
    local = await recorder.begin("local")
    await governance.approve(local)
    plain = await recorder.begin("plain")
    await governance.approve(plain)
    branch = await recorder.begin("branch")
    cancelled = await recorder.begin("refund")
    await governance.pending(cancelled)
    await cancelled.cancel()
    terminated = await recorder.begin("refund")
    await governance.pending(terminated)
    await terminated.terminate("by hand")
    handles = {
        "approved": approved,
        "rejected": rejected,
        "explicit": explicit,
        "explicit_rejected": explicit_rejected,
        "local": local,
        "plain": plain,
        "branch_cut": branch,
        "cancelled": cancelled,
        "terminated": terminated,
    }
    for handle in handles.values():
        await recorder.end(handle)
    await settled()
    for name, handle in handles.items():
        await recorder.save(f"gated_{name}", handle.id)


async def _forgeries(recorder: GatedRecorder) -> None:
    governance = recorder.governance
    handle = await recorder.begin("twice")
    first = (await governance.pending(handle))[0]
    for forged in (
        governance.decide(first, key=Ed25519PrivateKey.generate()),
        governance.decide(first, digest="0" * 64),
        governance.decide(first, approval_id="another-approval"),
    ):
        await governance.send(handle, forged)
    junk = Payload(metadata={"encoding": b"json/plain"}, data=b'{"decision": 1}')
    await handle.signal(SIGNAL_DECIDE, RawValue(junk))
    await handle.signal(SIGNAL_DECIDE, args=[RawValue(junk), RawValue(junk)])
    decision = governance.decide(first)
    await governance.send(handle, decision)
    await governance.send(handle, decision)
    second = await recorder.next_approval(handle, first)
    await governance.send(handle, governance.decide(first, Verdict.REJECTED))
    await governance.send(handle, governance.decide(second))
    await recorder.end(handle)
    await settled()
    await recorder.save("gated_forged", handle.id)


async def _pauses(recorder: GatedRecorder) -> None:
    handle = await recorder.begin("twice")
    governance = recorder.governance
    await governance.pending(handle)

    async def control(action: str) -> None:
        await handle.signal(SIGNAL_CONTROL, RawValue(to_payload(ControlSignal(action=action, principal="operator"))))

    await control("pause")
    await governance.approve(handle)
    await asyncio.sleep(0.5)
    await control("resume")
    await asyncio.sleep(0.5)
    await governance.approve(handle)
    await recorder.end(handle)
    await settled()
    await recorder.save("gated_paused", handle.id)


async def _resets(recorder: GatedRecorder) -> None:
    governance = recorder.governance
    handle = await recorder.begin("ticking")
    first = (await governance.pending(handle))[0]
    await asyncio.sleep(3.5)
    await governance.send(handle, governance.decide(first))
    await recorder.end(handle)
    history = (await handle.fetch_history()).events
    opened = next(event.event_id for event in history if event.HasField("activity_task_failed_event_attributes"))
    decided = next(
        event.event_id for event in history if event.HasField("workflow_execution_signaled_event_attributes")
    )
    tasks = await completed_tasks(handle)
    base = recorder.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    for point in ([at for at in tasks if opened < at < decided][-1], next(at for at in tasks if at > decided)):
        fork = await reset(recorder.client, base, point)
        again = await recorder.next_approval(fork, first)
        await governance.send(fork, governance.decide(first))
        await governance.send(fork, governance.decide(again))
        await recorder.end(fork)
    slow = await recorder.begin("slow")
    approved = await governance.approve(slow)
    await gated.STARTED.acquire()
    await slow.signal("wake")
    await asyncio.sleep(0.5)
    fork = await reset(recorder.client, slow, (await completed_tasks(slow))[-1])
    again = await recorder.next_approval(fork, approved)
    await governance.send(fork, governance.decide(again))
    await recorder.end(fork)
    await settled()
    await recorder.save("gated_reset", handle.id)
    await recorder.save("gated_reset_in_flight", slow.id)


async def _expiry(recorder: GatedRecorder) -> None:
    expired = await recorder.begin("rejectable")
    explicit = await recorder.begin("refund")
    await asyncio.gather(recorder.end(expired), recorder.end(explicit))
    await settled()
    await recorder.save("gated_expired", expired.id)


async def _waits_for_policy(recorder: GatedRecorder) -> None:
    policy, keys = recorder.governance.policy, recorder.governance.snapshot.public_keys
    policy.age_seconds = float("inf")
    recorder.governance.change(public_keys={})
    tool, explicit = await recorder.begin("refund"), await recorder.begin("explicit")
    await asyncio.sleep(0.5)
    policy.age_seconds = 0.0
    recorder.governance.change(public_keys=keys)
    await recorder.governance.approve(explicit)
    await asyncio.gather(recorder.end(tool), recorder.end(explicit))
    await settled()
    await recorder.save("gated_policy_wait", tool.id)
    await recorder.save("gated_policy_wait_explicit", explicit.id)


async def _opens_again(recorder: GatedRecorder) -> None:
    governance = recorder.governance
    handle = await recorder.begin("explicit")
    first = (await governance.pending(handle))[0]
    decision, entries = governance.decide(first), governance.snapshot.approver_entries
    governance.change(approver_entries={})
    await governance.send(handle, decision)
    again = await recorder.next_approval(handle, first)
    governance.change(approver_entries=entries)
    await governance.send(handle, governance.decide(again))
    await recorder.end(handle)
    await settled()
    await recorder.save("gated_explicit_again", handle.id)


async def _run(client: Client, rules: Sequence[Rule], *scenarios: Any) -> None:
    governance = Governance(rules=rules)
    queue = f"gated-{uuid.uuid4()}"
    plugin = governance.plugin(Grid("gated", gated), settings=Settings(policy_refresh_seconds=0.1))
    async with Worker(client, task_queue=queue, activities=[gated.plain], plugins=[plugin]):
        await asyncio.gather(*(scenario(GatedRecorder(client, queue, governance)) for scenario in scenarios))


async def record(address: str) -> None:
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    await _run(client, [ASK], _decisions, _forgeries, _pauses, _resets)
    await _run(client, [SOON], _expiry)
    await _run(client, [], _waits_for_policy)
    await _run(client, [], _opens_again)


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1]))
