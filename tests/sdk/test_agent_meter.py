"""The budget of an agent call: what counts, when the run holds, and what resuming it grants."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from temporalio import workflow
from temporalio.common import RawValue

from agentgrid.domain.agents import AgentSpec, Hold, Limits, ModelTurn, Spent, Usage
from agentgrid.protocol import ControlSignal, to_payload
from agentgrid.sdk import agent_meter
from agentgrid.sdk.agent_meter import Meter
from agentgrid.sdk.state import WorkflowState

SPEC = AgentSpec(agent="desk", version="1", models=[], instructions="", tools=[])
PRICED = Usage(requests=1, input_tokens=900, output_tokens=100, usd=0.25)
UNPRICED = Usage(requests=1, input_tokens=900, output_tokens=100, unpriced=1)


class Desk:
    """A run that records its holds, each of which ends after the time that a person takes."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.state = WorkflowState()
        self.holds: list[str] = []
        self.asked: list[str] = []
        self.away = 3_600.0

    def meter(self, within: Meter | None = None, spent: Spent | None = None, **limits: Any) -> Meter:
        wide = replace(Limits(requests=None, tool_calls=None), **limits)
        return Meter(replace(SPEC, limits=wide), self.state, approvers=(), within=within, spent=spent)

    def control(self, action: Any) -> None:
        self.state.on_control(RawValue(to_payload(ControlSignal(action=action, principal="operator"))))

    async def hold(self, why: Hold) -> None:
        self.holds.append(why.detail)
        self.state.apply("pause")
        self.now += self.away
        self.state.apply("resume")

    async def approval(self, title: str, *, show: dict[str, Any], **_: Any) -> None:
        self.asked.append(show["used"])


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk()
    monkeypatch.setattr(workflow, "time", lambda: desk.now)
    monkeypatch.setattr(agent_meter, "hold", desk.hold)
    monkeypatch.setattr(agent_meter, "approval", desk.approval)
    return desk


async def request(meter: Meter, usage: Usage = PRICED) -> None:
    await meter.before_request()
    meter.after_request()
    meter.count(ModelTurn(message={}, usage=usage))


async def test_a_request_without_a_known_price_holds_even_after_another_limit_was_raised(desk: Desk):
    meter = desk.meter(usd=10.0, requests=2)
    for usage in (PRICED, PRICED, UNPRICED, PRICED):
        await request(meter, usage)
    unpriced = "1 request has no known price, so the limit of 10 US dollars can't be enforced"
    assert desk.holds == ["2 of 2 model requests", unpriced]
    assert meter.granted == 2, "continuing without a price raises no other limit"
    await request(meter)
    assert len(desk.holds) == 3, "the other limits still apply"


async def test_a_session_holds_only_once_for_an_unknown_price(desk: Desk):
    raised = Spent(granted=2, usage=replace(UNPRICED, requests=3))
    await desk.meter(spent=raised, usd=10.0).before_request()
    assert len(desk.holds) == 1
    await desk.meter(spent=replace(raised, may_be_unpriced=True), usd=10.0).before_request()
    assert len(desk.holds) == 1


async def test_parallel_agents_together_stay_within_the_limit_of_their_caller(desk: Desk):
    lead = desk.meter(requests=3)
    children = [desk.meter(within=lead) for _ in range(5)]
    await asyncio.gather(*(child.before_request() for child in children))
    assert desk.holds == ["3 of 3 model requests"]
    for child in children:
        child.after_request()
    assert lead.in_flight == 0


@pytest.mark.parametrize("how", ["a person", "two holds at once"])
async def test_pauses_do_not_count_against_the_budget(desk: Desk, how: str):
    lead = desk.meter(seconds=600)
    desk.now += 100
    if how == "a person":
        desk.control("pause")
        desk.control("pause")
        desk.now += 3_600
        assert lead.seconds == 100
        desk.control("resume")
        desk.control("resume")
    else:
        children = [desk.meter(within=lead, requests=1) for _ in range(2)]
        for child in children:
            await request(child)
        await asyncio.gather(*(child.before_request() for child in children))
        assert desk.holds == ["1 of 1 model requests"] * 2
    desk.now += 50
    assert lead.seconds == 150


async def test_large_amounts_are_shown_in_full(desk: Desk):
    meter = desk.meter(tokens=1_000_000, usd=0.0005)
    await request(meter, replace(PRICED, input_tokens=1_234_567, output_tokens=0, usd=0.0004))
    await meter.before_request()
    assert desk.holds == ["1,234,567 of 1,000,000 tokens"]
    meter.usage = replace(meter.usage, usd=0.0011)
    await meter.before_request()
    assert desk.holds[1] == "0.0011 of 0.001 US dollars"
