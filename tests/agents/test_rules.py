"""Rules about agents and arguments, where an agent's calls meet them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agentgrid.domain.conditions import Condition
from agentgrid.domain.policies import Effect, Rule
from agentgrid.testing import Call, Turn
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
    running.governance.change(rules=(SMALL, READS))
    yield
    running.governance.change(rules=(), disabled={})


def refund(cents: int) -> Turn:
    return Turn(calls=[Call("refund_order", {"order_id": f"R{cents}", "amount_cents": cents})])


DONE = final(order_id="R", refunded=True, summary="done")


@pytest.mark.usefixtures("rules")
async def test_a_small_refund_passes_and_a_large_one_asks_in_the_agents_name(running: Desk):
    handle = await running.start("help_desk", [refund(1000), refund(1001), DONE])
    (terms,) = await running.governance.pending(handle)
    assert (terms.agent, terms.agent_version, terms.turn) == ("desk", desk.desk.version, 2)
    assert terms.policy == "default:destructive@1"
    await running.governance.approve(handle)
    await handle.result()
    assert [each["cents"] for each in desk.REFUNDS if each["order_id"] in ("R1000", "R1001")][-2:] == [1000, 1001]
    await running.replays(handle)


@pytest.mark.usefixtures("rules")
async def test_a_rule_about_one_agent_is_not_about_another(running: Desk):
    denied = await running.start("chat", [Turn(calls=[look()]), Turn(text="I may not")])
    assert await denied.result() == "I may not"
    (told,) = [each.text for each in running.asked(denied)[1].messages if each.role == "tool"]
    assert told == "PolicyDenied: get_order is denied by the rule agent:chatty@1: chatty talks only"
    passes = await running.start("help_desk", [Turn(calls=[look()]), DONE])
    assert (await passes.result())["refunded"] is True


@pytest.mark.usefixtures("rules")
async def test_changed_arguments_are_judged_like_any_others(running: Desk):
    """What an approver gives in place of the agent's arguments is under the same rules."""
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
    (told,) = [each.text for each in running.asked(handle)[1].messages if each.role == "tool"]
    assert told.startswith("PolicyDenied: refund_order is denied by the rule large@1")
    assert [each for each in desk.REFUNDS if each["order_id"] == "changed"] == []
    await running.replays(handle)
