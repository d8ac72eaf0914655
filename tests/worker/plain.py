"""Plain Temporal workflows and activities, written without AgentGrid, which the plugin must not break."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError
from temporalio.workflow import ActivityCancellationType as Cancellation

SECONDS = timedelta(seconds=20)
# A cancellation arrives with a heartbeat response, and heartbeats are sent at four fifths of their timeout: well before `beat` ends on its own.
BEAT = {"start_to_close_timeout": SECONDS, "heartbeat_timeout": timedelta(seconds=5)}


@activity.defn
async def echo(value: str) -> str:
    return value


@activity.defn
async def beat(value: str) -> str:
    """Notices its cancellation through heartbeats; `swallow` then returns normally."""
    try:
        for number in range(150):
            activity.heartbeat(number)
            await asyncio.sleep(0.1)
    except asyncio.CancelledError:
        if value == "swallow":
            return "cleaned"
        raise
    return "done"


@workflow.defn
class Child:
    @workflow.run
    async def run(self) -> int:
        return 1


@workflow.defn
class Shapes:
    """Each case is one shape of ordinary workflow code."""

    @workflow.run
    async def run(self, case: str) -> str:
        def call(value: str, **more: object) -> workflow.ActivityHandle[str]:
            return workflow.start_activity(echo, value, start_to_close_timeout=SECONDS, **more)

        if case == "sequence":
            for number in range(3):
                await call(str(number))
        elif case == "gather_timer":
            await asyncio.gather(call("a"), workflow.sleep(0.1))
        elif case == "gather":
            await asyncio.gather(*[call(str(number)) for number in range(4)])
        elif case == "wait_for":
            await asyncio.wait_for(call("a"), 10)
        elif case == "then_memo":
            handle = call("a")
            workflow.upsert_memo({"k": 1})
            await handle
        elif case == "then_child":
            handle = call("a")
            await workflow.execute_child_workflow(Child.run, id=f"{workflow.info().workflow_id}-child")
            await handle
        elif case == "then_patch":
            handle = call("a")
            workflow.patched("users-own")
            await handle
        elif case == "fire_and_forget":
            call("a")
        elif case == "local":
            await workflow.execute_local_activity(echo, "a", start_to_close_timeout=SECONDS)
            await call("b")
        elif case == "continue_as_new":
            await call("a")
            workflow.continue_as_new("sequence")
        return case


SHAPES = (
    "sequence",
    "gather_timer",
    "gather",
    "wait_for",
    "then_memo",
    "then_child",
    "then_patch",
    "fire_and_forget",
    "local",
    "continue_as_new",
)


def describe(error: BaseException) -> str:
    cause = getattr(error, "cause", None)
    return type(error).__name__ + (f"<{type(cause).__name__}" if cause is not None else "")


@workflow.defn
class Cancellations:
    """Each case is one way to cancel an activity; returns what user code sees."""

    @workflow.run
    async def run(self, case: str) -> str:
        try:
            return await self.shape(case)
        except BaseException as error:
            if type(error).__name__ == "_WorkflowBeingEvictedError":
                raise
            return f"raised {describe(error)}"

    async def shape(self, case: str) -> str:
        kinds = {
            "try": Cancellation.TRY_CANCEL,
            "wait": Cancellation.WAIT_CANCELLATION_COMPLETED,
            "abandon": Cancellation.ABANDON,
        }
        name, _, rest = case.partition("/")
        kind, _, value = rest.partition("/")
        if name == "before_start":
            handle = workflow.start_activity(beat, "a", **BEAT)
            handle.cancel()
            return await handle
        if name == "cancel":
            handle = workflow.start_activity(beat, value, cancellation_type=kinds[kind], **BEAT)
            await workflow.sleep(0.5)
            handle.cancel()
            return await handle
        if name == "wait_for":
            return await asyncio.wait_for(
                workflow.execute_activity(beat, value, cancellation_type=kinds[kind], **BEAT), 0.5
            )
        if name == "shield":
            handle = workflow.start_activity(beat, "a", **BEAT)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(handle), 0.5)
            handle.cancel()
            return await handle
        if name == "gather_fail":
            return str(await asyncio.gather(workflow.execute_activity(beat, "a", **BEAT), self.boom()))
        if name == "task_group":
            try:
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(workflow.execute_activity(beat, "a", **BEAT))
                    group.create_task(self.boom())
            except BaseExceptionGroup as errors:
                return f"{[describe(error) for error in errors.exceptions]} {task.cancelled()}"
        if name == "wait_first":
            slow = workflow.start_activity(beat, "a", **BEAT)
            quick = workflow.start_activity(echo, "b", start_to_close_timeout=SECONDS)
            done, pending = await workflow.wait([slow, quick], return_when=asyncio.FIRST_COMPLETED)
            results = [task.result() for task in done]
            for task in pending:
                task.cancel()
            return str(results)
        if name == "workflow_cancel":
            return await workflow.execute_activity(
                beat, "swallow", cancellation_type=Cancellation.WAIT_CANCELLATION_COMPLETED, **BEAT
            )
        if name == "is_task":
            handle = workflow.start_activity(echo, "b", start_to_close_timeout=SECONDS)
            await handle
            return str(isinstance(handle, asyncio.Task))
        raise AssertionError(case)

    async def boom(self) -> None:
        await workflow.sleep(0.3)
        raise ApplicationError("boom")


CANCELLATIONS = (
    "before_start",
    "cancel/try/a",
    "cancel/wait/a",
    "cancel/wait/swallow",
    "cancel/abandon/a",
    "wait_for/try/a",
    "wait_for/wait/swallow",
    "shield",
    "gather_fail",
    "task_group",
    "wait_first",
    "workflow_cancel",
    "is_task",
)


@workflow.defn
class Elsewhere:
    """Calls an activity on another worker's queue."""

    @workflow.run
    async def run(self, queue: str) -> str:
        return await workflow.execute_activity(
            "plain", "order", task_queue=queue, start_to_close_timeout=SECONDS, result_type=str
        )


@workflow.defn
class Counting:
    """Makes one call, waits for a signal, makes another call."""

    def __init__(self) -> None:
        self.gone = False

    @workflow.run
    async def run(self, number: int) -> str:
        first = await workflow.execute_activity(echo, str(number), start_to_close_timeout=SECONDS)
        await workflow.wait_condition(lambda: self.gone)
        return f"{first} {await workflow.execute_activity(echo, str(number), start_to_close_timeout=SECONDS)}"

    @workflow.signal
    def go(self) -> None:
        self.gone = True
