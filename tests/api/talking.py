"""Workflows that handle messages of every kind, correctly and incorrectly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

import agentgrid as ag


@ag.tool(title="Pay", risk="write", timeout=timedelta(seconds=5), retries=1)
async def pay_talker(cents: int) -> str:
    return f"paid {cents}"


@ag.workflow(title="Talks")
class Talks:
    """Waits and answers."""

    def __init__(self) -> None:
        self.held: list[str] = []
        self.sum = 0
        self.released = self.ended = self.renewed = False

    @workflow.run
    async def run(self) -> int:
        await workflow.wait_condition(lambda: self.ended or self.renewed)
        if self.renewed:
            workflow.continue_as_new()
        return self.sum

    @workflow.signal
    def hold(self, why: str, days: int = 1) -> None:
        """Hold it back.

        For as long as it takes.
        """
        self.held.append(why)

    @workflow.signal
    def release(self) -> None:
        self.released = True

    @workflow.signal
    def end(self) -> None:
        self.ended = True

    @workflow.signal
    def renew(self) -> None:
        self.renewed = True

    @workflow.query
    def total(self) -> int:
        """The sum of what was added."""
        return self.sum

    @workflow.query
    def repeated(self, text: str, times: int) -> str:
        return text * times

    @workflow.query
    def broken(self) -> str:
        raise ValueError(f"can't say, of {self.sum}")

    @workflow.update
    async def add(self, number: int) -> int:
        """Add a number to the sum."""
        self.sum += number
        return self.sum

    @add.validator
    def not_negative(self, number: int) -> None:
        if number < 0:
            raise ValueError(f"{number} is negative")

    @workflow.update(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def add_slowly(self, number: int) -> int:
        await workflow.wait_condition(lambda: self.released)
        self.sum += number
        return self.sum

    @workflow.update
    async def fail(self) -> None:
        self.sum += 100
        raise ApplicationError("it broke in the middle")

    @workflow.update
    async def pay(self, cents: int) -> str:
        return await pay_talker(cents)


@ag.workflow(title="Listens to everything")
class ListensToEverything:
    """Its dynamic handlers accept any name."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.query
    def names(self) -> list[str]:
        return self.heard

    @workflow.signal(dynamic=True)
    async def anything(self, name: str, args: Sequence[RawValue]) -> None:
        self.heard.append(name)

    @workflow.query(dynamic=True)
    def asked(self, name: str, args: Sequence[RawValue]) -> str:
        return name

    @workflow.update(dynamic=True)
    async def changed(self, name: str, args: Sequence[RawValue]) -> str:
        self.heard.append(name)
        await asyncio.sleep(0)
        return name


@ag.workflow(title="Sets its handler while it runs")
class SetsHandlers:
    """Its signal handlers can't be known before it runs."""

    @workflow.run
    async def run(self) -> None:
        workflow.set_signal_handler("late", lambda: None)
        await workflow.wait_condition(lambda: False)
