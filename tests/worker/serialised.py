"""Workflows that change a call's arguments while the call waits, and activities that report the arguments they received."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ApplicationError

SECONDS = timedelta(seconds=20)
GOT: list[tuple[str, int]] = []
"""The arguments that activities received."""


@dataclass
class Order:
    """The order to pay."""

    name: str
    amount: int


@activity.defn
async def pay(order: Order) -> int:
    GOT.append((order.name, order.amount))
    return order.amount


@activity.defn
async def fail_once(order: Order) -> int:
    GOT.append((order.name, order.amount))
    if activity.info().attempt == 1:
        raise ApplicationError("not yet", next_retry_delay=timedelta(seconds=2))
    return order.amount


@workflow.defn
class Payee:
    @workflow.run
    async def run(self, order: Order) -> Any:
        return [order.amount, workflow.memo_value("order", type_hint=Order).amount]


@workflow.defn
class Changing:
    """Makes a call with an order of 1, then immediately changes it to 1000."""

    @workflow.run
    async def run(self, case: str) -> Any:
        order = Order("one", 1)
        if case == "activity":
            call = workflow.start_activity(pay, order, start_to_close_timeout=SECONDS)
        elif case == "local":
            call = workflow.start_local_activity(pay, order, start_to_close_timeout=SECONDS)
        elif case == "backoff":
            retry = RetryPolicy(initial_interval=timedelta(seconds=2), maximum_attempts=2)
            call = workflow.start_local_activity(
                fail_once, order, start_to_close_timeout=SECONDS, retry_policy=retry, local_retry_threshold=SECONDS / 20
            )
        elif case == "child":
            call = asyncio.create_task(workflow.execute_child_workflow(Payee.run, order, memo={"order": order}))
            await asyncio.sleep(0)
        else:
            return await self.shared(order)
        order.amount = 1000
        return await call

    async def shared(self, order: Order) -> list[int]:
        """Make two concurrent calls that share an argument."""
        first = workflow.start_activity(pay, order, start_to_close_timeout=SECONDS)
        order.name, order.amount = "two", 2
        second = workflow.start_activity(pay, order, start_to_close_timeout=SECONDS)
        order.amount = 1000
        return list(await asyncio.gather(first, second))

    @workflow.signal(dynamic=True)
    async def anything(self, name: str, args: Sequence[RawValue]) -> None:
        """Handle the signal that wakes it."""
