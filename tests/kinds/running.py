"""What workflow code does on its own: timers, patches, search attributes, randomness, asyncio, dynamic and unsandboxed workflows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from tests.kinds.activities import SOON, plain
from tests.kinds.case import Case, Handle, Stage

with workflow.unsafe.imports_passed_through():
    from tests.kinds import passed

NUMBER = SearchAttributeKey.for_int("Number")
WORD = SearchAttributeKey.for_keyword("Word")


@workflow.defn
class Runs:
    """Each case does one thing that workflow code may do."""

    @workflow.run
    async def run(self, case: str) -> Any:
        return await getattr(self, case)()

    async def timers(self) -> list[Any]:
        began = workflow.now()
        await workflow.sleep(0.05, summary="A nap")
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(workflow.sleep(60))
        await asyncio.sleep(0.01)
        waiting.cancel()
        try:
            await workflow.wait_condition(lambda: False, timeout=0.05)
        except TimeoutError:
            late = "late"
        try:
            async with asyncio.timeout(0.05):
                await workflow.wait_condition(lambda: False)
        except TimeoutError:
            late += " again"
        return [late, waiting.cancelled(), workflow.now() > began, workflow.time() > began.timestamp()]

    async def patches(self) -> list[bool]:
        workflow.deprecate_patch("old")
        first = workflow.patched("new")
        await workflow.execute_activity(plain, "a", start_to_close_timeout=SOON)
        return [first, workflow.patched("new"), workflow.patched("newer")]

    async def attributes(self) -> list[Any]:
        before = workflow.info().typed_search_attributes.get(WORD)
        workflow.upsert_search_attributes([NUMBER.value_set(7), WORD.value_unset()])
        workflow.upsert_memo({"k": {"v": [1]}, "given": None})
        attributes = workflow.info().typed_search_attributes
        return [before, attributes.get(NUMBER), attributes.get(WORD), workflow.memo()]

    async def chance(self) -> bool:
        """Draws random values, and passes them to activities and a timer, so that a different value on replay would be a different command."""
        drawn = (
            f"{workflow.random().random()} {workflow.uuid4()} {workflow.uuid7()} {workflow.new_random('x').random()}"
        )
        await workflow.execute_activity(plain, drawn, start_to_close_timeout=SOON)
        again = f"{workflow.random().randint(0, 10**9)}"
        await workflow.sleep(0.01, summary=again)
        return await workflow.execute_activity(plain, again, start_to_close_timeout=SOON) == again

    async def concurrently(self) -> list[Any]:
        """Uses asyncio's primitives, with a lock around calls."""
        lock, queue, order = asyncio.Lock(), asyncio.Queue[str](), list[str]()

        async def one(value: str) -> str:
            async with lock:
                order.append(await workflow.execute_activity(plain, value, start_to_close_timeout=SOON))
            await queue.put(value)
            return value

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(str(number))) for number in range(3)]
        first = [await each for each in workflow.as_completed([asyncio.create_task(one("x"))])]
        done, pending = await workflow.wait(tasks)
        shielded = await asyncio.shield(one("y"))
        return [order, queue.qsize(), first, len(done), len(pending), shielded]

    async def aside(self) -> list[Any]:
        """Logs, counts and inspects itself, none of which is a command."""
        info = workflow.info()
        workflow.logger.debug("nothing to see")
        workflow.metric_meter().create_counter("kinds").add(1)
        with workflow.unsafe.sandbox_unrestricted():
            here = os.getpid() == passed.PROCESS
        return [info.workflow_type, info.attempt, info.cron_schedule, here, passed.SHARED is passed.shared()]

    async def grouped(self) -> str:
        with workflow.create_event_group("One after the other").scope():
            return await workflow.execute_activity(plain, "in a group", start_to_close_timeout=SOON)

    async def nothing(self) -> None:
        return None

    async def forgets(self) -> str:
        """Ends with calls in flight."""
        workflow.start_activity(plain, "a", start_to_close_timeout=SOON)
        task = asyncio.create_task(workflow.sleep(60))
        await workflow.sleep(0.05)
        return f"done: {task.done()}"


@workflow.defn(sandboxed=False)
class Unsandboxed:
    @workflow.run
    async def run(self) -> bool:
        passed.SHARED.append(1)
        await workflow.execute_activity(plain, "a", start_to_close_timeout=SOON)
        with workflow.unsafe.sandbox_unrestricted():
            return os.getpid() == passed.PROCESS


@workflow.defn(dynamic=True)
class Anything:
    """Handles workflow types that aren't registered."""

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> list[Any]:
        values = [workflow.payload_converter().from_payload(arg.payload) for arg in args]
        called = await workflow.execute_activity("unheard of", args=values, start_to_close_timeout=SOON)
        return [workflow.info().workflow_type, values, called]


async def described(stage: Stage, handle: Handle) -> list[Any]:
    await handle.result()
    found = await handle.describe()
    return [found.typed_search_attributes.get(NUMBER), found.typed_search_attributes.get(WORD), await found.memo()]


def runs(case: str, ends: Any, **more: Any) -> Case:
    return Case(run=Runs.run, args=(case,), ends=ends, **more)


GIVEN: dict[str, Any] = {
    "memo": {"given": 1, "kept": "yes"},
    "search_attributes": TypedSearchAttributes([SearchAttributePair(WORD, "before")]),
}
WORKFLOWS = [Runs, Unsandboxed, Anything]
CASES = {
    "timers": runs("timers", ["late again", True, True, True]),
    "patches": runs("patches", [True, True, True]),
    "attributes": runs(
        "attributes",
        ["before", 7, None, {"kept": "yes", "k": {"v": [1]}}],
        options=GIVEN,
        drive=described,
        driven=[7, None, {"kept": "yes", "k": {"v": [1]}}],
    ),
    "chance": runs("chance", True),
    "concurrently": runs("concurrently", [["0", "1", "2", "x", "y"], 5, ["x"], 3, 0, "y"]),
    "aside": runs("aside", ["Runs", 1, None, True, True]),
    "grouped": runs("grouped", "in a group"),
    "nothing": runs("nothing", None),
    "forgets": runs("forgets", "done: False", other_events=True),
    "unsandboxed": Case(run=Unsandboxed.run, ends=True),
    "dynamic": Case(
        run="Nobody registered this",
        args=(1, "two"),
        ends=["Nobody registered this", [1, "two"], ["unheard of", 1, "two"]],
    ),
    "delayed": Case(run=Unsandboxed.run, options={"start_delay": timedelta(seconds=1)}, ends=True),
}
