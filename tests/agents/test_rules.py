"""How rules about agents and arguments apply to agents' calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from agentgrid.domain.conditions import Condition
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule
from agentgrid.testing import Call, Turn
from agentgrid.testing.turns import Conversation
from tests.agents import desk
from tests.agents.conftest import Desk, final, look

SMALL = Rule(
    rule_id="small-refunds",
    tool="refund_order",
    agent="desk",
    when=(Condition(argument="amount_cents", op="<=", value=1000),),
    effect=Effect.ALLOW,
)
READS = Rule(rule_id="agent:chatty", tool="*", agent="chatty", effect=Effect.DENY, reason="chatty talks only")


@pytest.fixture
def rules(running: Desk) -> Iterator[None]:
    entries = running.governance.snapshot.approver_entries
    running.governance.change(rules=(SMALL, READS))
    yield
    running.governance.change(rules=(), disabled={}, approver_entries=entries)


def results(running: Desk, handle: WorkflowHandle[Any, Any]) -> list[str]:
    """The results of the agent's calls, as its model sees them in the second turn."""
    return [message.text for message in running.requests_of(handle)[1].messages if message.role == "tool"]


def refund(cents: int) -> Turn:
    return Turn(calls=[Call("refund_order", {"order_id": f"R{cents}", "amount_cents": cents})])


DONE = final(order_id="R", refunded=True, summary="done")


@pytest.mark.usefixtures("rules")
async def test_a_small_refund_passes_and_a_large_one_requires_approval_naming_the_agent(running: Desk):
    handle = await running.start("help_desk", [refund(1000), refund(1001), DONE])
    (terms,) = await running.governance.pending(handle)
    assert (terms.agent, terms.agent_version, terms.turn) == ("desk", desk.desk.version, 2)
    assert terms.policy == "default:destructive@1"
    await running.governance.approve(handle)
    await handle.result()
    assert [made["cents"] for made in desk.REFUNDS if made["order_id"] in ("R1000", "R1001")][-2:] == [1000, 1001]
    await running.replays(handle)


@pytest.mark.usefixtures("rules")
async def test_a_rule_about_one_agent_does_not_apply_to_another(running: Desk):
    denied = await running.start("chat", [Turn(calls=[look()]), Turn(text="I may not")])
    assert await denied.result() == "I may not"
    (seen,) = results(running, denied)
    assert seen == "PolicyDenied: get_order is denied by the rule agent:chatty@1: chatty talks only"
    passes = await running.start("help_desk", [Turn(calls=[look()]), DONE])
    assert (await passes.result())["refunded"] is True


@pytest.mark.usefixtures("rules")
async def test_changed_arguments_are_subject_to_the_same_rules(running: Desk):
    """The arguments that an approver gives instead of the agent's are subject to the same rules."""
    large = Rule(
        rule_id="large",
        tool="refund_order",
        when=(Condition(argument="amount_cents", op=">", value=5000),),
        effect=Effect.DENY,
    )
    running.governance.change(rules=(SMALL, large))
    handle = await running.start("help_desk", [refund(1250), DONE])
    await running.governance.approve(handle, arguments={"order_id": "changed", "amount_cents": 9000})
    await handle.result()
    (seen,) = results(running, handle)
    assert "PolicyDenied: refund_order is denied by the rule large@1" in json.loads(seen)["result"]
    assert json.loads(seen)["approval"] == {"changed_to": {"order_id": "changed", "amount_cents": 9000}}
    assert [made for made in desk.REFUNDS if made["order_id"] == "changed"] == []
    await running.replays(handle)


def asking(group: str, op: str) -> Rule:
    """A rule that refunds up to 50, or above it, need this group's approval."""
    return Rule(
        rule_id=group,
        tool="refund_order",
        when=(Condition(argument="amount_cents", op=op, value=5000),),
        effect=Effect.REQUIRE_APPROVAL,
        approvers=(group,),
    )


@pytest.mark.usefixtures("rules")
async def test_a_change_under_another_rule_needs_its_approvers_and_the_model_sees_what_ran(running: Desk):
    governance = running.governance
    of_both = {"reviewer": frozenset({"leads", "finance"})}
    governance.change(rules=(asking("leads", "<="), asking("finance", ">")), approver_entries=of_both)
    handle = await running.start("help_desk", [refund(1250), DONE])
    raised = {"order_id": "raised", "amount_cents": 9000}
    first = await governance.approve(handle, arguments=raised, comment="pay for the trouble")
    second = await governance.approve(handle, comment="agreed")
    assert [(terms.policy, terms.approvers) for terms in (first, second)] == [
        ("leads@1", ("leads",)),
        ("finance@1", ("finance",)),
    ]
    assert second.key == first.key
    await handle.result()
    assert [made["cents"] for made in desk.REFUNDS if made["order_id"] == "raised" and made["key"] == first.key] == [
        9000
    ]
    (seen,) = results(running, handle)
    assert json.loads(seen)["approval"] == {"comment": "pay for the trouble\nagreed", "ran_with": raised}
    await running.replays(handle)


@pytest.mark.usefixtures("rules")
async def test_an_approver_changes_the_call_of_an_agent_in_a_child_run(running: Desk):
    handle = await running.start("front_desk", [refund(1250), DONE])
    child = running.client.get_workflow_handle(f"{handle.id}-child")
    while not running.requests_of(handle):
        await asyncio.sleep(0.02)
    (terms,) = await running.governance.pending(child)
    assert (terms.workflow_id, terms.agent) == (child.id, "desk")
    changed = {"order_id": "in the child", "amount_cents": 4000}
    decision = running.governance.decide(terms, arguments=changed)
    await running.governance.send(handle, decision)  # not to the parent, which is another run
    await running.governance.send(child, decision)
    await handle.result()
    ran = [made for made in desk.REFUNDS if made["key"] == terms.key]
    assert ran == [{"order_id": "in the child", "cents": 4000, "key": terms.key}]
    (seen,) = results(running, handle)
    assert json.loads(seen)["approval"] == {"ran_with": changed}
    await running.replays(handle)
    await running.replays(child)


@pytest.mark.usefixtures("rules")
async def test_a_rule_applies_to_the_agent_that_makes_the_call_not_to_its_caller(running: Desk):
    def script(conversation: Conversation) -> Turn:
        if conversation.turn > 0:
            return Turn(text="done")
        leads = "Let others" in conversation.instructions
        return Turn(calls=[Call("chatty", {"prompt": conversation.prompt}) if leads else look()])

    async def got(agent: str) -> str:
        rule = Rule(rule_id="closed", tool="get_order", agent=agent, effect=Effect.DENY)
        running.governance.change(rules=(rule,))
        handle = await running.start("delegation", script)
        await handle.result()
        (chatting,) = [
            request
            for request in running.requests_of(handle)
            if "sentence" in request.instructions and request.turn == 1
        ]
        (result,) = [message.text for message in chatting.messages if message.role == "tool"]
        return result

    assert "denied by the rule closed@1" in await got("chatty")
    assert "1250" in await got("lead")
