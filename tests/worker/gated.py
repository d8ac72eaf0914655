"""Workflows whose calls may need approval: a tool, a local tool, a plain activity, an explicit approval."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RawValue

import agentgrid as ag

EXECUTED: list[tuple[str, str, str]] = []
"""What actually ran: tool, order, Temporal run id."""


@ag.tool(title="Refund an order", risk="write", timeout=timedelta(seconds=5), retries=1)
async def refund(order: str, cents: int) -> str:
    ag.log.info("refunding", order=order)
    EXECUTED.append(("refund", order, activity.info().workflow_run_id or ""))
    return f"refunded {cents}"


STARTED = asyncio.Semaphore(0)
"""Released when a slow refund has started."""


@ag.tool(title="Refund slowly", risk="write", timeout=timedelta(seconds=10), retries=1)
async def slow_refund(order: str, cents: int) -> str:
    EXECUTED.append(("slow_refund", order, activity.info().workflow_run_id or ""))
    STARTED.release()
    await asyncio.sleep(2)
    return f"refunded {cents}"


HEALED = asyncio.Event()
"""Set when the flaky tool should succeed."""


@ag.tool(title="Fail for a while", risk="read", timeout=timedelta(seconds=5), retries=20)
async def flaky() -> str:
    if not HEALED.is_set():
        raise RuntimeError("not yet")
    return "healed"


@ag.tool(title="Look up an order", risk="read", timeout=timedelta(seconds=5), local=True)
async def lookup(order: str) -> str:
    EXECUTED.append(("lookup", order, activity.info().workflow_run_id or ""))
    return order.upper()


@ag.tool(title="Write long", risk="read", timeout=timedelta(seconds=10), retries=1)
async def write_long(size: int, complains: bool = False) -> str:
    if complains:
        raise ag.ToolError("x" * size)
    return "x" * size


@ag.tool(title="Read long", risk="read", timeout=timedelta(seconds=10), retries=1)
async def read_long(text: str) -> int:
    return len(text)


@ag.tool(title="Note an order", risk="write", timeout=timedelta(seconds=5), local=True, idempotent=True)
async def note(order: str) -> str:
    EXECUTED.append(("note", order, activity.info().workflow_run_id or ""))
    return order


@activity.defn
async def plain(order: str) -> str:
    EXECUTED.append(("plain", order, activity.info().workflow_run_id or ""))
    return order


async def long(which: str, size: int) -> Any:
    """Passes a value of this size along one of its paths."""
    if which == "output":
        return len(await write_long(size))
    if which == "error":
        return await write_long(size, complains=True)
    if which == "input":
        return await read_long("x" * size)
    return "x" * size


@ag.workflow(title="Gated")
class Gated:
    @workflow.run
    async def run(self, case: str) -> Any:
        if case == "many":
            return list(await asyncio.gather(*[refund(f"order-{number}", 900) for number in range(8)]))
        if case == "equal":
            return list(await asyncio.gather(refund("order", 900), refund("order", 900)))
        if case == "branch":
            try:
                await asyncio.wait_for(refund("order", 900), 0.5)
            except TimeoutError:
                await workflow.sleep(0.2)
                return "went on"
        if case == "ticking":
            result, _ = await asyncio.gather(refund("order", 900), self.tick())
            return result
        if case == "slow":
            return await slow_refund("order", 900)
        if case == "flaky":
            return await flaky()
        if case == "local":
            return await lookup("order")
        if case == "local_write":
            return await note("order")
        if case == "plain":
            return await workflow.execute_activity(plain, "order", start_to_close_timeout=timedelta(seconds=5))
        if case == "explicit":
            approved = await ag.approval(
                "Send the reply", show={"text": "Dear customer"}, expires=timedelta(seconds=30)
            )
            return approved.principal
        if case == "rejectable":
            try:
                return await refund("order", 900)
            except ag.ApprovalRejected as error:
                return f"rejected: {error.message}"
        if case == "twice":
            return [await refund("first", 1), await refund("second", 2)]
        if case.startswith("long"):
            _, which, size = case.split("-")
            return await long(which, int(size))
        if case == "forever":
            await workflow.wait_condition(lambda: False)
        ag.log.info("refund_asked", case=case)
        return await refund("order", 900)

    async def tick(self) -> None:
        for _ in range(3):
            await workflow.sleep(0.3)

    @workflow.signal(dynamic=True)
    async def anything(self, name: str, args: Sequence[RawValue]) -> None:
        if name.startswith("agentgrid."):
            raise RuntimeError(f"AgentGrid's signal {name} reached the user's dynamic handler")
