"""A help desk run by an agent: the workflows, agents and tools of the agent tests."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from temporalio import workflow

import agentgrid as ag

REFUNDS: list[dict[str, Any]] = []
"""The refunds actually made, with their idempotency keys."""


class Order(BaseModel):
    order_id: str
    amount_cents: int


class Verdict(BaseModel):
    order_id: str
    refunded: bool
    summary: str


@ag.tool(title="Look up an order", risk="read", timeout=timedelta(seconds=10))
async def get_order(order_id: str) -> Order:
    """Find an order by its id."""
    if order_id == "missing":
        raise ag.ToolError("there is no such order")
    return Order(order_id=order_id, amount_cents=1250)


@ag.tool(title="Refund an order", risk="destructive", timeout=timedelta(seconds=10))
async def refund_order(order_id: str, amount_cents: int) -> str:
    """Pay money back."""
    if amount_cents == 0:
        raise ag.ToolError("there is nothing to pay back", retryable=False)
    REFUNDS.append({"order_id": order_id, "cents": amount_cents, "key": ag.idempotency_key()})
    return f"refunded {amount_cents}"


@ag.tool(title="Delete a customer", risk="destructive", timeout=timedelta(seconds=10))
async def delete_customer(customer_id: str) -> str:
    """Not for agents."""
    return f"deleted {customer_id}"


STARTED = asyncio.Event()
SLOW = asyncio.Event()
"""Lets the tool `slow_effect` finish."""


@ag.tool(title="Take long", risk="write", timeout=timedelta(seconds=30), retries=0)
async def slow_effect() -> str:
    """Can't be stopped: it sends no heartbeats."""
    STARTED.set()
    await SLOW.wait()
    return "it happened"


slow = ag.agent("slow", instructions="Take your time.", tools=[slow_effect], budget=ag.Budget(requests=5))


desk = ag.agent(
    "desk",
    title="Help desk",
    instructions="Look up the order and refund it if that is fair.",
    tools=[get_order, refund_order],
    output=Verdict,
    budget=ag.Budget(requests=12, usd=1.0),
)

chatty = ag.agent(
    "chatty",
    instructions="Answer in a sentence.",
    tools=[get_order],
    budget=ag.Budget(requests=3),
)

lead = ag.agent(
    "lead",
    instructions="Let others do it.",
    tools=[chatty],
    budget=ag.Budget(requests=5),
)


careful = ag.agent(
    "careful",
    instructions="Work with little.",
    model=["openai:first", "openai:second"],
    tools=[get_order],
    budget=ag.Budget(requests=3, tool_calls=4),
    retries=1,
)

thrifty = ag.agent(
    "thrifty",
    instructions="Ask before you spend.",
    tools=[get_order],
    budget=ag.Budget(requests=4, soft=0.5),
)


thrifty_lead = ag.agent(
    "thrifty_lead",
    instructions="Let others do it, and ask before they spend.",
    tools=[chatty],
    budget=ag.Budget(requests=4, soft=0.5),
)


@ag.workflow(title="Thrifty delegation")
class ThriftyDelegation:
    @workflow.run
    async def run(self, request: str) -> str:
        return await thrifty_lead.run(request)


@ag.workflow(title="Careful work")
class CarefulWork:
    @workflow.run
    async def run(self, request: str) -> str:
        return await careful.run(request)


@ag.workflow(title="Thrifty work")
class ThriftyWork:
    @workflow.run
    async def run(self, request: str) -> str:
        return await thrifty.run(request)


@ag.workflow(title="Two at once")
class TwoAtOnce:
    @workflow.run
    async def run(self, requests: list[str]) -> list[str]:
        return list(await asyncio.gather(*(chatty.run(request) for request in requests)))


@ag.workflow(title="Help desk")
class HelpDesk:
    @workflow.run
    async def run(self, request: str) -> Verdict:
        return await desk.run(request)


@ag.workflow(title="Front desk")
class FrontDesk:
    """Delegates the work to a child run."""

    @workflow.run
    async def run(self, request: str) -> Verdict:
        child = f"{workflow.info().workflow_id}-child"
        return await workflow.execute_child_workflow(HelpDesk.run, request, id=child)


@ag.workflow(title="Half a pair")
class HalfAPair:
    @workflow.run
    async def run(self, prompt_and_state: list[str]) -> str:
        prompt, state = map(json.loads, prompt_and_state)
        return (await desk.session(state).run(prompt)).summary


@ag.workflow(title="Conversation")
class Conversation:
    """Two calls in the first execution and one in each later one, four in total."""

    @workflow.run
    async def run(
        self, request: str, answers: list[str] | None = None, state: dict[str, Any] | None = None
    ) -> list[str]:
        answers = answers or []
        session = desk.session(state, budget=ag.Budget(requests=5))
        if not answers:
            answers.append((await session.run(request)).summary)
        answers.append((await session.run(f"prompt {len(answers) + 1}")).summary)
        if len(answers) < 4:
            workflow.continue_as_new(args=[request, answers, session.state()])
        return answers


@ag.workflow(title="Repetition")
class Repetition:
    @workflow.run
    async def run(self, request: str) -> None:
        session = chatty.session()
        while True:
            await session.run(request)


@ag.workflow(title="Slow work")
class SlowWork:
    @workflow.run
    async def run(self, request: str) -> str:
        return await slow.run(request)


@ag.workflow(title="Waits, then chats")
class WaitsThenChats:
    def __init__(self) -> None:
        self.gone = False

    @workflow.signal
    def go(self) -> None:
        self.gone = True

    @workflow.run
    async def run(self, request: str) -> str:
        await workflow.wait_condition(lambda: self.gone)
        return await chatty.run(request)


@ag.workflow(title="Waits, then works")
class WaitsThenWorks(WaitsThenChats):
    @workflow.run
    async def run(self, request: str) -> str:
        await workflow.wait_condition(lambda: self.gone)
        return await slow.run(request)


@ag.workflow(title="Pauses between calls")
class PausesBetweenCalls(WaitsThenChats):
    @workflow.run
    async def run(self, request: str) -> str:
        session = chatty.session()
        await session.run(request)
        await workflow.wait_condition(lambda: self.gone)
        return await session.run("and now?")


@ag.workflow(title="Chat")
class Chat:
    @workflow.run
    async def run(self, request: str) -> str:
        return await chatty.run(request)


@ag.workflow(title="Delegation")
class Delegation:
    @workflow.run
    async def run(self, request: str) -> str:
        return await lead.run(request)
