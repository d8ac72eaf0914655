"""Re-records the agents' histories: `python -m tests.replay.record_agents [CASE ...]`. Do this only for cases that were never released."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from agentgrid.domain.conditions import Condition
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule
from agentgrid.servers import TemporalServer
from agentgrid.testing import Call, Fault, Governance, Turn, scripted
from agentgrid.testing.turns import Conversation
from tests.agents.conftest import GRID, Desk, final, look
from tests.agents.test_conversations import DONE, REFUND, held
from tests.replay.golden import record

Handle = WorkflowHandle[Any, Any]
ASK = Effect.REQUIRE_APPROVAL


async def approved(desk: Desk) -> Handle:
    handle = await desk.start("help_desk", [Turn(calls=[look(), look("missing")]), Turn(calls=[REFUND]), final(**DONE)])
    await desk.governance.approve(handle)
    return handle


async def changed(desk: Desk) -> Handle:
    """The changed arguments match another rule, which requires a new approval."""
    rules = [
        Rule(
            rule_id=name, tool="refund_order", when=(Condition(argument="amount_cents", op=op, value=5000),), effect=ASK
        )
        for name, op in (("small", "<="), ("large", ">"))
    ]
    desk.governance.change(rules=tuple(rules))
    handle = await desk.start("help_desk", [Turn(calls=[REFUND]), final(**DONE)])
    await desk.governance.approve(
        handle, arguments={"order_id": "A1", "amount_cents": 9000}, comment="pay for the trouble"
    )
    await desk.governance.approve(handle)
    await handle.result()
    desk.governance.change(rules=())
    return handle


async def rejected(desk: Desk) -> Handle:
    handle = await desk.start("help_desk", [Turn(calls=[REFUND]), final(**{**DONE, "refunded": False})])
    await desk.governance.reject(handle)
    return handle


async def faulty(desk: Desk) -> Handle:
    barred = Turn(calls=[Call("delete_customer", {"customer_id": "C1"}), Call("no_such_tool", {})])
    return await desk.start("help_desk", [Turn(text="no call"), barred, final(order_id="A1"), final(**DONE)])


async def fallback(desk: Desk) -> Handle:
    def script(conversation: Conversation) -> Turn:
        return Turn(fault=Fault.bad_request()) if conversation.model == "openai:first" else Turn(text="by the second")

    return await desk.start("careful_work", script)


async def budget(desk: Desk) -> Handle:
    turns = [Turn(calls=[look(f"A{number}")]) for number in range(3)]
    handle = await desk.start("careful_work", [*turns, Turn(text="more")])
    await held(handle)
    await desk.resume(handle)
    return handle


async def soft(desk: Desk) -> Handle:
    handle = await desk.start("thrifty_work", [Turn(calls=[look("A1")]), Turn(calls=[look("B2")]), Turn(text="raised")])
    await desk.governance.approve(handle)
    return handle


async def loop(desk: Desk) -> Handle:
    def script(conversation: Conversation) -> Turn:
        return Turn(calls=[look("missing")]) if len(conversation.results) < 7 else final(**DONE)

    handle = await desk.start("help_desk", script)
    await held(handle)
    await desk.resume(handle)
    return handle


async def cancelled(desk: Desk) -> Handle:
    handle = await desk.start("help_desk", [Turn(calls=[REFUND])])
    await desk.governance.pending(handle)
    await handle.cancel()
    return handle


async def delegated(desk: Desk) -> Handle:
    def script(conversation: Conversation) -> Turn:
        if "Let others" in conversation.instructions and conversation.turn == 0:
            return Turn(calls=[Call("chatty", {"prompt": conversation.prompt})])
        return Turn(text="done")

    return await desk.start("delegation", script)


async def at_once(desk: Desk) -> Handle:
    desk.scripts["one"] = [Turn(calls=[look("A1")]), Turn(text="first")]
    desk.scripts["two"] = [Turn(calls=[look("B2"), look("C3")]), Turn(text="second")]
    return await desk.client.start_workflow("two_at_once", ["one", "two"], id="at-once", task_queue=desk.queue)


CASES: dict[str, Callable[[Desk], Awaitable[Handle]]] = {
    "approved": approved,
    "changed": changed,
    "rejected": rejected,
    "faulty": faulty,
    "fallback": fallback,
    "budget": budget,
    "soft": soft,
    "loop": loop,
    "cancelled": cancelled,
    "delegated": delegated,
    "at_once": at_once,
}


async def main(names: list[str]) -> None:
    """Record these cases, or all of them."""
    with tempfile.TemporaryDirectory() as home:
        async with TemporalServer(Path(home), in_memory=True) as server:
            client = await Client.connect(server.address, data_converter=pydantic_data_converter)
            desk = Desk(client=client, governance=Governance(), queue="desk")
            models = scripted(desk.answer, requests=desk.requests)
            async with Worker(client, task_queue="desk", plugins=[desk.governance.plugin(GRID, models=models)]):
                for name in names or CASES:
                    handle = await CASES[name](desk)
                    with contextlib.suppress(WorkflowFailureError):
                        await handle.result()
                    record(f"agents/{name}", await handle.fetch_history())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
