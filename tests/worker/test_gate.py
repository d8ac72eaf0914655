"""Attacks on the gate: a tool runs at most once per decision, and only on a decision made for exactly this call."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import Replayer, Worker

from agentgrid.domain.approvals import Terms, Verdict, judge
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule
from agentgrid.projector.decode import decode
from agentgrid.protocol import SIGNAL_CONTROL, SIGNAL_DECIDE, ControlSignal, to_payload
from agentgrid.sdk import state
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Governance
from tests.projector.folding import folded
from tests.worker import gated
from tests.worker.conftest import kinds, recorded
from tests.worker.gated import EXECUTED, plain
from tests.worker.plain import Elsewhere

ASK = Rule(rule_id="ask", tool="refund", effect=Effect.REQUIRE_APPROVAL, expires_seconds=60)
GRID = Grid("gated", gated)


@pytest.fixture
def governance() -> Governance:
    return Governance(rules=[ASK])


@pytest.fixture(params=[0, 100], ids=["uncached", "cached"])
async def worker(request: pytest.FixtureRequest, client: Client, queue: str, governance: Governance) -> Any:
    EXECUTED.clear()
    async with Worker(
        client,
        task_queue=queue,
        activities=[plain],
        plugins=[governance.plugin(GRID)],
        max_cached_workflows=request.param,
    ) as running:
        yield running


async def start(client: Client, queue: str, case: str) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow(
        "gated", case, id=f"{case}-{queue}", task_queue=queue, run_timeout=timedelta(seconds=60)
    )


async def replays(handle: WorkflowHandle[Any, Any], governance: Governance) -> None:
    await Replayer(workflows=[], plugins=[governance.plugin(GRID)]).replay_workflow(await handle.fetch_history())


async def next_approval(governance: Governance, handle: WorkflowHandle[Any, Any], before: Terms) -> Terms:
    """The first pending approval other than the one before."""
    while True:
        for terms in await governance.pending(handle):
            if terms.approval_id != before.approval_id:
                return terms
        await asyncio.sleep(0.02)


async def failure(handle: WorkflowHandle[Any, Any]) -> BaseException:
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert caught.value.cause is not None
    return caught.value.cause


async def test_eight_approvals_ignore_every_forgery_and_can_be_decided_in_any_order(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    handle = await start(client, queue, "many")
    terms = await governance.pending(handle, at_least=8)
    assert {approval.tool for approval in terms} == {"refund"}
    for approval in terms[:3]:
        for wrong in (
            governance.decide(approval, key=Ed25519PrivateKey.generate()),
            governance.decide(approval, execution_id="another-run"),
            governance.decide(approval, workflow_id="another-workflow"),
            governance.decide(approval, namespace="another-namespace"),
            governance.decide(approval, digest="0" * 64),
            governance.decide(approval, approval_id="another-approval"),
            governance.decide(approval, policy="ask@2"),
            governance.decide(approval, approver="nobody"),
            governance.decide(approval, key_id="unknown"),
        ):
            await governance.send(handle, wrong)
    assert len(await governance.pending(handle, at_least=8)) == 8
    assert EXECUTED == []
    for approval in reversed(terms):
        await governance.send(handle, governance.decide(approval))
    assert await handle.result() == ["refunded 900"] * 8
    assert sorted(order for _, order, _ in EXECUTED) == [f"order-{number}" for number in range(8)]
    await replays(handle, governance)


ENCODINGS = {
    "json": Payload(metadata={"encoding": b"json/plain"}, data=b'{"decision": {}}'),
    "not_json": Payload(metadata={"encoding": b"json/plain"}, data=b"\xff\x00{"),
    "null": Payload(metadata={"encoding": b"binary/null"}),
    "binary": Payload(metadata={"encoding": b"binary/plain"}, data=b"\x00\x01"),
    "protobuf": Payload(metadata={"encoding": b"binary/protobuf", "messageType": b"nobody.Knows"}, data=b"\x08\x01"),
    "encrypted": Payload(metadata={"encoding": b"binary/encrypted"}, data=b"sealed"),
    "no_encoding": Payload(data=b"{}"),
    "large": Payload(metadata={"encoding": b"json/plain"}, data=b'"' + b"x" * 100_000 + b'"'),
}


async def test_signals_of_any_shape_never_fail_a_workflow_task(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    handle = await start(client, queue, "")
    terms = (await governance.pending(handle))[0]
    for name in (SIGNAL_DECIDE, SIGNAL_CONTROL):
        for payload in ENCODINGS.values():
            for count in (0, 1, 2, 6):
                await handle.signal(name, args=[RawValue(payload)] * count)
    await governance.send(handle, governance.decide(terms))
    assert await handle.result() == "refunded 900"
    assert "WORKFLOW_TASK_FAILED" not in kinds((await handle.fetch_history()).events)
    await replays(handle, governance)


async def test_a_workflow_task_judges_no_more_decisions_than_it_has_time_for(
    client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise forged decisions, as many as Temporal accepts, would fail every attempt of the task that sees them, and the run would be stuck."""
    monkeypatch.setattr(state, "JUDGED_AT_ONCE", 2)
    EXECUTED.clear()
    governance = Governance(rules=[ASK.model_copy(update={"expires_seconds": 3})])
    worker: dict[str, Any] = {"task_queue": queue, "activities": [plain], "plugins": [governance.plugin(GRID)]}
    async with Worker(client, **worker):
        handle = await start(client, queue, "once")
        (terms,) = await governance.pending(handle)
    forged = governance.decide(terms, key=Ed25519PrivateKey.generate())
    for decision in (*[forged] * 9, governance.decide(terms), governance.decide(terms, Verdict.REJECTED)):
        await governance.send(handle, decision)
    async with Worker(client, **worker):
        assert await handle.result() == "refunded 900"  # though judged after the approval would have expired
    history = await handle.fetch_history()
    pauses = [event for event in history.events if b"agentgrid.judging" in event.user_metadata.summary.data]
    assert len(pauses) == 4
    await replays(handle, governance)
    execution_id = handle.result_run_id or ""
    _, rows = folded(execution_id, [decode(history.events, client.data_converter.payload_converter)])
    assert [(step["kind"], step["status"]) for step in rows.steps.values()] == [("tool", "completed")]
    assert [row["status"] for row in rows.approvals.values()] == ["approved"]
    judged = [row["judged"] for _, row in sorted(rows.decisions.items())]
    assert judged == ["refused"] * 9 + ["counted", "superseded"]


async def test_duplicate_and_late_decisions_run_the_tool_once(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    handle = await start(client, queue, "twice")
    terms = (await governance.pending(handle))[0]
    for _ in range(5):
        await governance.send(handle, governance.decide(terms))
    second = await next_approval(governance, handle, terms)
    await governance.send(handle, governance.decide(terms, Verdict.REJECTED))
    await governance.send(handle, governance.decide(second))
    assert await handle.result() == ["refunded 1", "refunded 2"]
    assert [order for _, order, _ in EXECUTED] == ["first", "second"]


async def test_r26_an_expired_approval_lets_no_call_through(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    governance.change(rules=(ASK.model_copy(update={"expires_seconds": 1}),))
    handle = await start(client, queue, "")
    terms = (await governance.pending(handle))[0]
    cause = await failure(handle)
    assert isinstance(cause, ApplicationError)
    assert cause.type == "ApprovalExpired"
    assert EXECUTED == []
    assert terms.expires_seconds == 1
    await replays(handle, governance)


async def test_a_rejection_reaches_user_code_as_its_own_error(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    handle = await start(client, queue, "rejectable")
    await governance.reject(handle)
    assert await handle.result() == "rejected: Refund an order: rejected by reviewer"
    assert EXECUTED == []


async def test_the_initiator_never_decides(worker: Any, client: Client, queue: str, governance: Governance) -> None:
    handle = await start(client, queue, "")
    terms = (await governance.pending(handle))[0]
    mine = terms.model_copy(update={"initiator": "reviewer"})
    judgement = judge(mine, to_payload(governance.decide(mine)).data)
    assert judgement.verdict is None
    assert judgement.reason == "by the initiator of the run"
    issued = terms.model_copy(update={"initiator": "robot", "issuers": ("admin", "reviewer")})
    judgement = judge(issued, to_payload(governance.decide(issued)).data)
    assert (judgement.verdict, judgement.reason) == (None, "by somebody who issued the key that started the run")
    await handle.terminate()


async def test_a_cancelled_branch_closes_its_approval(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    handle = await start(client, queue, "branch")
    assert await handle.result() == "went on"
    names = kinds((await handle.fetch_history()).events)
    assert names.count("TIMER_CANCELED") >= 1
    assert EXECUTED == []
    await replays(handle, governance)


async def test_cancelling_a_gated_run_cancels_it(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    handle = await start(client, queue, "")
    await governance.pending(handle)
    await handle.cancel()
    assert isinstance(await failure(handle), CancelledError)
    assert EXECUTED == []


@pytest.mark.parametrize("case", ["explicit", "local", "plain"])
async def test_every_kind_of_call_can_be_gated(
    case: str, worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    governance.change(rules=(Rule(rule_id="ask", tool="*", effect=Effect.REQUIRE_APPROVAL, expires_seconds=60),))
    handle = await start(client, queue, case)
    terms = await governance.approve(handle)
    assert await handle.result() == {"explicit": "reviewer", "local": "ORDER", "plain": "order"}[case]
    assert len(EXECUTED) == (0 if case == "explicit" else 1)
    assert terms.shown == {"explicit": {"text": "Dear customer"}, "local": {"order": "order"}, "plain": None}[case]
    assert terms.parameters == (("order",) if case == "plain" else ()), "a tool's arguments have names already"
    await replays(handle, governance)


async def test_changed_arguments_need_a_new_approval(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    """A decision for another call of the same run, presented by a tampered workflow, opens a new approval instead."""
    handle = await start(client, queue, "twice")
    first = (await governance.pending(handle))[0]
    await governance.send(handle, governance.decide(first, digest=first.digest[::-1]))
    assert [approval.approval_id for approval in await governance.pending(handle)] == [first.approval_id]
    await handle.terminate()
    assert EXECUTED == []


@pytest.mark.parametrize(
    "change",
    [
        {"approver_entries": {}},
        {"revoked_principals": frozenset({"reviewer"})},
        {"revoked_keys": frozenset({"test"}), "public_keys": {"next": "AAAA"}},
        {"rules": (ASK.model_copy(update={"version": 2}),)},
    ],
    ids=["role removed", "principal revoked", "key revoked", "policy changed"],
)
async def test_authority_lost_between_decision_and_effect_stops_the_effect(
    change: dict[str, Any], worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    handle = await start(client, queue, "")
    first = (await governance.pending(handle))[0]
    decision = governance.decide(first)
    governance.change(**change)
    await governance.send(handle, decision)

    await next_approval(governance, handle, first)
    assert EXECUTED == []
    await handle.terminate()


@pytest.mark.parametrize(
    "change",
    [
        {"approver_entries": {}},
        {"approver_entries": {"reviewer": frozenset({"reviewer"})}},
        {"revoked_principals": frozenset({"reviewer"})},
        {"revoked_keys": frozenset({"test"}), "public_keys": {"next": "AAAA"}},
    ],
    ids=["role removed", "entry removed", "principal disabled", "key revoked"],
)
async def test_r36_an_explicit_approval_is_checked_again_before_it_returns(
    change: dict[str, Any], worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    before = governance.snapshot
    handle = await start(client, queue, "explicit")
    first = (await governance.pending(handle))[0]
    decision = governance.decide(first)
    governance.change(**change)
    await governance.send(handle, decision)

    second = await next_approval(governance, handle, first)
    assert (second.key, second.digest) == (first.key, first.digest)
    governance.policy.snapshot = before
    await governance.send(handle, governance.decide(first))
    if "test" in second.keys:
        await governance.send(handle, governance.decide(second))
        assert await handle.result() == "reviewer"
    else:
        await handle.terminate()
    await replays(handle, governance)


@pytest.mark.parametrize("hours", [-2, 2], ids=["too old", "in the future"])
@pytest.mark.parametrize("case", ["", "explicit"], ids=["tool", "explicit"])
async def test_r37_a_decision_with_a_wrong_date_needs_a_new_approval(
    case: str, hours: int, worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    handle = await start(client, queue, case)
    first = (await governance.pending(handle))[0]
    await governance.send(handle, governance.decide(first, decided_at=datetime.now(UTC) + timedelta(hours=hours)))
    second = await next_approval(governance, handle, first)
    assert EXECUTED == []
    await governance.send(handle, governance.decide(second))
    await handle.result()
    await replays(handle, governance)


async def test_r27_a_paused_run_confirms_an_explicit_approval_on_resume(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    before = governance.snapshot
    handle = await start(client, queue, "explicit")
    first = (await governance.pending(handle))[0]
    await handle.signal(SIGNAL_CONTROL, RawValue(to_payload(ControlSignal(action="pause"))))
    await governance.send(handle, governance.decide(first))
    await recorded(handle, "TIMER_CANCELED")
    governance.change(revoked_principals=frozenset({"reviewer"}))
    await handle.signal(SIGNAL_CONTROL, RawValue(to_payload(ControlSignal(action="resume"))))
    second = await next_approval(governance, handle, first)
    governance.policy.snapshot = before
    await governance.send(handle, governance.decide(second))
    assert await handle.result() == "reviewer"


async def test_an_explicit_approval_is_confirmed_once_the_policy_is_fresh(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    handle = await start(client, queue, "explicit")
    terms = (await governance.pending(handle))[0]
    governance.policy.age_seconds = float("inf")
    await governance.send(handle, governance.decide(terms))
    await recorded(handle, "TIMER_STARTED", 2)
    governance.policy.age_seconds = 0.0
    assert await handle.result() == "reviewer"
    await replays(handle, governance)


async def test_a_paused_run_makes_no_call_until_it_is_resumed(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    governance.change(rules=())
    handle = await client.start_workflow(
        "gated",
        "twice",
        id=f"paused-{queue}",
        task_queue=queue,
        start_signal=SIGNAL_CONTROL,
        start_signal_args=[RawValue(to_payload(ControlSignal(action="pause")))],
    )
    await recorded(handle, "WORKFLOW_TASK_COMPLETED")
    assert "ACTIVITY_TASK_SCHEDULED" not in kinds((await handle.fetch_history()).events)
    await handle.signal(SIGNAL_CONTROL, RawValue(to_payload(ControlSignal(action="resume"))))
    assert await handle.result() == ["refunded 1", "refunded 2"]
    await replays(handle, governance)


async def test_a_denied_tool_fails_the_call_for_good(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    governance.change(disabled_tools=frozenset({"refund"}))
    handle = await start(client, queue, "")
    cause = await failure(handle)
    assert "kill switch" in str(getattr(cause, "cause", cause))
    assert EXECUTED == []


async def test_a_caller_that_cannot_wait_gets_an_error_that_says_so(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    """A worker without the plugin runs the workflow; the governed worker runs the activity."""
    governance.change(rules=(Rule(rule_id="ask", tool="plain", effect=Effect.REQUIRE_APPROVAL),))
    other = f"{queue}-ungoverned"
    async with Worker(client, task_queue=other, workflows=[Elsewhere]):
        handle = await client.start_workflow(Elsewhere.run, queue, id=f"ungoverned-{queue}", task_queue=other)
        cause = await failure(handle)
    assert getattr(cause.cause, "type", None) == "ApprovalUnsupported"
    assert EXECUTED == []
