"""Signals, queries and updates: typed, dynamic, raw, validated, refused, and combined with a start."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import (
    WithStartWorkflowOperation,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import RawValue, WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError

from tests.kinds.case import HAPPEN_SECONDS, Case, Handle, Stage, words


@dataclass
class Note:
    text: str
    number: int = 0


@workflow.defn
class Mailbox:
    """Handles messages of every kind until one says that it is the last."""

    @workflow.init
    def __init__(self, title: str) -> None:
        self.title = title
        self.seen: list[Any] = []
        self.done = False

    @workflow.run
    async def run(self, title: str) -> list[Any]:
        workflow.set_current_details(f"**{self.title}** waits")
        await workflow.wait_condition(lambda: self.done)
        return self.seen

    @workflow.signal
    def typed(self, note: Note) -> None:
        self.seen.append(["typed", note.text, note.number])

    @workflow.signal(name="renamed", description="Two arguments, one with a default.")
    async def slow(self, text: str, number: int = 7) -> None:
        await workflow.sleep(0.05)
        self.seen.append(["renamed", text, number])

    @workflow.signal
    def raw(self, value: RawValue) -> None:
        self.seen.append(["raw", value.payload.data.decode()])

    @workflow.signal(dynamic=True)
    def anything(self, name: str, args: Sequence[RawValue]) -> None:
        self.seen.append(["dynamic", name, [workflow.payload_converter().from_payload(arg.payload) for arg in args]])

    @workflow.signal(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def forgotten(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def grow(self, name: str) -> None:
        """Registers another signal and query handler at run time."""
        workflow.set_signal_handler(name, lambda text: self.seen.append(["grown", text]))
        workflow.set_query_handler(f"{name}?", lambda: "grown")

    @workflow.signal
    def finish(self) -> None:
        self.done = True

    @workflow.query
    def count(self, plus: int = 0) -> int:
        return len(self.seen) + plus

    @workflow.query
    def broken(self) -> str:
        raise ApplicationError("no answer", type="NoAnswer")

    @workflow.query(dynamic=True)
    def any_query(self, name: str, args: Sequence[RawValue]) -> str:
        return f"{name}/{len(args)}"

    @workflow.update
    async def add(self, note: Note) -> str:
        info = workflow.current_update_info()
        await workflow.sleep(0.05)
        self.seen.append(["add", note.text])
        return f"{note.text} {info.name if info else None}"

    @add.validator
    def only_words(self, note: Note) -> None:
        if not note.text:
            raise ApplicationError("empty", type="Empty")

    @workflow.update
    def at_once(self) -> int:
        return len(self.seen)

    @workflow.update
    async def fails(self) -> None:
        raise ApplicationError("it can't", {"code": 1}, type="Unable")

    @workflow.update(dynamic=True)
    async def any_update(self, name: str, args: Sequence[RawValue]) -> str:
        self.seen.append(["update", name])
        return f"{name}/{len(args)}"


@workflow.defn
class NoHandlers:
    """Has no handlers: the SDK keeps what arrives, and the run continues."""

    @workflow.run
    async def run(self) -> str:
        await workflow.sleep(0.5, summary="A moment")
        return "ended"


@workflow.defn
class Late:
    """Registers its handlers only after it has run for a while; earlier messages are delivered then."""

    @workflow.run
    async def run(self) -> list[str]:
        self.seen: list[str] = []
        await workflow.sleep(0.3)
        workflow.set_dynamic_signal_handler(self.take)
        await workflow.wait_condition(lambda: len(self.seen) == 2, timeout=timedelta(seconds=10))
        return self.seen

    def take(self, name: str, args: Sequence[RawValue]) -> None:
        self.seen.append(name)


async def signals(stage: Stage, handle: Handle) -> None:
    await handle.signal("typed", Note("a", 1))
    await handle.signal("renamed", args=["b", 2])
    await handle.signal("renamed", "b")
    await handle.signal("raw", {"c": 3})
    await handle.signal("unheard", args=[1, "two"])
    await handle.signal("forgotten")
    # The slow handlers end later: waiting for their count makes the order deterministic.
    await counts(handle, 5)
    await grown(handle)
    await handle.signal("later", "d")
    await counts(handle, 6)
    await handle.signal("finish")


async def counts(handle: Handle, number: int) -> None:
    """Wait until this many messages were handled."""
    async with asyncio.timeout(HAPPEN_SECONDS):
        while await handle.query("count") < number:
            await asyncio.sleep(0.05)


async def grown(handle: Handle) -> str:
    """Wait until the handlers are registered: a signal in the same task would still go to the dynamic handler."""
    await handle.signal("grow", "later")
    async with asyncio.timeout(HAPPEN_SECONDS):
        while (answer := str(await handle.query("later?"))) != "grown":
            await asyncio.sleep(0.05)
    return answer


async def queries(stage: Stage, handle: Handle) -> list[Any]:
    found: list[Any] = [await grown(handle)]
    found += [await handle.query("count", 40), await handle.query("count"), await handle.query("unknown", args=[1, 2])]
    try:
        await handle.query("broken")
    except WorkflowQueryFailedError as error:
        found.append(str(error))
    found.append(isinstance(await handle.query("__stack_trace"), str))
    found.append((await handle.query("__temporal_workflow_metadata")).current_details)
    await handle.signal("finish")
    return found


async def updates(stage: Stage, handle: Handle) -> list[Any]:
    found: list[Any] = [
        await handle.execute_update("add", Note("a")),
        await handle.execute_update("at_once"),
        await handle.execute_update("whatever", args=[1, 2, 3]),
    ]
    for name, args in (("add", [Note("")]), ("fails", [])):
        try:
            await handle.execute_update(name, args=args)
        except WorkflowUpdateFailedError as error:
            found.append(words(error.cause))
    await handle.signal("finish")
    found.append(await handle.query("count"))
    return found


async def with_update(stage: Stage, workflow_id: str) -> Handle:
    operation = WithStartWorkflowOperation(
        Mailbox.run,
        "update with start",
        id=workflow_id,
        task_queue=stage.queue,
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
    )
    assert await stage.client.execute_update_with_start_workflow(
        Mailbox.add, Note("first"), start_workflow_operation=operation
    )
    return await operation.workflow_handle()


async def with_signal(stage: Stage, workflow_id: str) -> Handle:
    return await stage.client.start_workflow(
        "Mailbox",
        "signal with start",
        id=workflow_id,
        task_queue=stage.queue,
        start_signal="typed",
        start_signal_args=[Note("first", 1)],
        result_type=list,
        static_summary="A mailbox",
        static_details="It was made for a *test*.",
    )


async def finish(stage: Stage, handle: Handle) -> None:
    await handle.signal("finish")


async def two_signals(stage: Stage, handle: Handle) -> None:
    await handle.signal("one", "x")
    await handle.signal("two", {"y": json.dumps([1])})


WORKFLOWS = [Mailbox, NoHandlers, Late]
CASES = {
    "signals": Case(
        run=Mailbox.run,
        args=("signals",),
        drive=signals,
        ends=[
            ["typed", "a", 1],
            ["raw", '{"c":3}'],
            ["dynamic", "unheard", [1, "two"]],
            ["renamed", "b", 2],
            ["renamed", "b", 7],
            ["grown", "d"],
        ],
    ),
    "queries": Case(
        run=Mailbox.run,
        args=("queries",),
        drive=queries,
        ends=[],
        driven=["grown", 40, 0, "unknown/2", "no answer", True, "**queries** waits"],
    ),
    "updates": Case(
        run=Mailbox.run,
        args=("updates",),
        drive=updates,
        ends=[["add", "a"], ["update", "whatever"]],
        driven=["a add", 1, "whatever/3", "ApplicationError[Empty]", "ApplicationError[Unable]", 2],
    ),
    "update_with_start": Case(run=Mailbox.run, start=with_update, drive=finish, ends=[["add", "first"]]),
    "signal_with_start": Case(run=Mailbox.run, start=with_signal, drive=finish, ends=[["typed", "first", 1]]),
    "unheard": Case(run=NoHandlers.run, drive=two_signals, ends="ended"),
    "late_handlers": Case(run=Late.run, drive=two_signals, ends=["one", "two"]),
}
