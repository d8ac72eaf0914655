"""Approvers who comment, and approvers who change a call's arguments: what runs, what is refused, and what history shows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import Replayer, Worker

from agentgrid.domain.approvals import Changes
from agentgrid.domain.conditions import Condition
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule
from agentgrid.errors import Forbidden
from agentgrid.projector.decode import decode
from agentgrid.protocol import ErrorType
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Governance
from tests.projector.folding import Rows, folded
from tests.worker import changing
from tests.worker.changing import EXECUTED
from tests.worker.conftest import kinds, reset
from tests.worker.test_gate import next_approval

ASK = Rule(rule_id="ask", tool="*", effect=Effect.REQUIRE_APPROVAL, expires_seconds=60)
GRID = Grid("changing", changing)


@pytest.fixture
def governance() -> Governance:
    return Governance(rules=[ASK])


@pytest.fixture(params=[0, 100], ids=["uncached", "cached"])
async def worker(request: pytest.FixtureRequest, client: Client, queue: str, governance: Governance) -> Any:
    EXECUTED.clear()
    plugins = [governance.plugin(GRID)]
    async with Worker(client, task_queue=queue, plugins=plugins, max_cached_workflows=request.param) as running:
        yield running


async def start(client: Client, queue: str, case: str, cents: int = 900) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow(
        "changing", args=[case, cents], id=f"{case}-{queue}", task_queue=queue, run_timeout=timedelta(seconds=60)
    )


async def rows(handle: WorkflowHandle[Any, Any], governance: Governance) -> Rows:
    """The fold's rows for the history, which must replay: folded in one pass, and event by event."""
    history = await handle.fetch_history()
    await Replayer(workflows=[], plugins=[governance.plugin(GRID)]).replay_workflow(history)
    # A reset leaves a task of its own.
    assert kinds(history.events).count("WORKFLOW_TASK_FAILED") == (handle.run_id is not None)
    events = decode(history.events, pydantic_data_converter.payload_converter)
    execution_id = handle.run_id or handle.result_run_id or ""
    _, folded_rows = folded(execution_id, [events])
    assert folded(execution_id, [[event] for event in events])[1].plain() == folded_rows.plain()
    return folded_rows


@pytest.mark.parametrize("case", ["order", "flaky", "local"])
async def test_the_changed_call_runs_under_the_key_of_the_original(
    case: str, worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    handle = await start(client, queue, case)
    order = "order" if case == "local" else case
    terms = await governance.approve(handle, arguments={"order": order, "cents": 500}, comment="half")
    assert "500" in await handle.result()
    assert {(cents, key) for _, cents, key in EXECUTED} == {(500, terms.key)}
    assert len(EXECUTED) == (2 if case == "flaky" else 1)
    folded_rows = await rows(handle, governance)
    (approval,) = folded_rows.approvals.values()
    assert approval["changed"]["value"] == {"order": order, "cents": 500}
    assert approval["changed_digest"] not in (None, approval["digest"])
    (step,) = folded_rows.steps.values()
    assert (step["status"], step["changed_input"]["value"]) == ("completed", {"order": order, "cents": 500})
    original = approval["payload"] if case == "local" else step["input"]
    assert original["value"] == {"order": order, "cents": 900}


@pytest.mark.parametrize(
    ("case", "cents", "why"),
    [
        ("order", 5_000, "at most 1,000 cents"),
        ("local", 5_000, "at most 1,000 cents"),
        ("order", -1, "pay_back: KeyError: False"),
    ],
)
async def test_a_change_refused_by_the_tools_check_opens_a_new_approval_of_the_original(
    case: str, cents: int, why: str, worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    handle = await start(client, queue, case)
    first = await governance.approve(handle, arguments={"order": "order", "cents": cents})
    second = await next_approval(governance, handle, first)
    assert (second.digest, second.key) == (first.digest, first.key)
    assert EXECUTED == []
    await governance.send(handle, governance.decide(second))
    assert "900" in await handle.result()
    assert [cents for _, cents, _ in EXECUTED] == [900]
    folded_rows = await rows(handle, governance)
    assert folded_rows.approvals[first.approval_id]["status"] == "approved"
    assert why in folded_rows.approvals[second.approval_id]["change_refused"]
    (step,) = folded_rows.steps.values()
    assert (step["status"], step["changed_input"], step["attempts"]) == ("completed", None, 1)


async def test_invalid_arguments_open_no_approval(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    handle = await start(client, queue, "order", 5_000)
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    cause: Any = caught.value.cause
    assert isinstance(cause, ActivityError)
    assert isinstance(cause.cause, ApplicationError)
    assert (cause.cause.type, cause.cause.message) == (ErrorType.TOOL_INPUT, "pay_back: at most 1,000 cents")
    assert "TIMER_STARTED" not in kinds((await handle.fetch_history()).events)
    assert EXECUTED == []


async def test_when_policy_requires_another_approval_it_is_about_the_changed_call(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    handle = await start(client, queue, "order")
    first = (await governance.pending(handle))[0]
    decision = governance.decide(first, arguments={"order": "order", "cents": 500})
    governance.change(rules=(ASK.model_copy(update={"version": 2}),))
    await governance.send(handle, decision)
    second = await next_approval(governance, handle, first)
    assert second.digest == decision.decision.digest
    await governance.send(handle, governance.decide(second))
    assert await handle.result() == "paid back 500"
    folded_rows = await rows(handle, governance)
    assert folded_rows.approvals[second.approval_id]["payload"]["value"] == {"order": "order", "cents": 500}


async def test_r22_nobody_alone_can_change_a_call_into_one_whose_rule_requires_a_second_person(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    rules = [
        ASK.model_copy(
            update={"rule_id": rule_id, "when": (Condition(argument="cents", op=op, value=500),), "changes": changes}
        )
        for rule_id, op, changes in (("small", "<=", Changes.ONE_PERSON), ("large", ">", Changes.SECOND_PERSON))
    ]
    entries = governance.snapshot.approver_entries | {"second": frozenset({"role:approver"})}
    governance.change(rules=tuple(rules), approver_entries=entries)
    handle = await start(client, queue, "order", 100)
    first = (await governance.pending(handle))[0]
    change = governance.decide(first, arguments={"order": "order", "cents": 900}, issuers=("boss",))
    await governance.send(handle, change)
    second = await next_approval(governance, handle, first)
    assert (first.changers, second.policy, second.changers) == (frozenset(), "large@1", {"reviewer", "boss"})

    # Not even after a reset, which leaves only the record of the first decision.
    events = (await handle.fetch_history()).events
    point = max(event.event_id for event in events if event.HasField("workflow_task_completed_event_attributes"))
    fork = await reset(client, handle, handle.first_execution_run_id or "", point)
    third = await next_approval(governance, fork, second)
    assert (third.policy, third.changers) == ("large@1", {"reviewer", "boss"})
    with pytest.raises(Forbidden, match="the person who changed the arguments"):
        await governance.approve(fork)
    await governance.send(fork, governance.decide(third))
    await governance.send(fork, governance.decide(third, principal="second", approver="role:approver"))
    assert await fork.result() == "paid back 900"
    folded_rows = await rows(fork, governance)
    judged = [(decision["principal"], decision["judged"]) for decision in folded_rows.decisions.values()]
    assert judged[-2:] == [("reviewer", "refused"), ("second", "counted")]


async def test_a_kill_switch_that_is_turned_on_meanwhile_stops_the_changed_call(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    handle = await start(client, queue, "order")
    terms = (await governance.pending(handle))[0]
    governance.change(disabled={"tool": frozenset({"pay_back"})})
    await governance.send(handle, governance.decide(terms, arguments={"order": "order", "cents": 500}))
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    cause: Any = caught.value.cause
    assert (cause.cause.type, cause.cause.message) == (
        ErrorType.POLICY_DENIED,
        "pay_back is disabled by its kill switch",
    )
    assert EXECUTED == []
    folded_rows = await rows(handle, governance)
    assert folded_rows.approvals[terms.approval_id]["status"] == "approved"
    (step,) = folded_rows.steps.values()
    assert (step["status"], step["changed_input"]["value"]["cents"]) == ("failed", 500)


async def test_r24_a_reset_drops_a_change_whose_decision_it_voids(
    worker: Any, client: Client, queue: str, governance: Governance
) -> None:
    handle = await start(client, queue, "order")
    first = await governance.approve(handle, arguments={"order": "order", "cents": 500})
    assert await handle.result() == "paid back 500"
    events = (await handle.fetch_history()).events
    decided = next(event.event_id for event in events if event.HasField("workflow_execution_signaled_event_attributes"))
    point = next(
        event.event_id
        for event in events
        if event.HasField("workflow_task_completed_event_attributes") and event.event_id > decided
    )
    fork = await reset(client, handle, handle.first_execution_run_id or "", point)
    again = await next_approval(governance, fork, first)
    assert again.digest == first.digest
    await governance.send(fork, governance.decide(again))
    assert await fork.result() == "paid back 900"
    await rows(fork, governance)


async def test_a_comment_reaches_workflow_code(worker: Any, client: Client, queue: str, governance: Governance) -> None:
    explicit = await start(client, queue, "explicit")
    await governance.approve(explicit, comment="go ahead")
    assert await explicit.result() == "reviewer: go ahead"
    rejected = await start(client, queue, "order")
    await governance.reject(rejected, comment="too much")
    assert await rejected.result() == "Pay back: rejected by reviewer: too much (too much)"
    silent = await start(client, queue, "other")
    await governance.reject(silent)
    assert await silent.result() == "Pay back: rejected by reviewer (None)"
