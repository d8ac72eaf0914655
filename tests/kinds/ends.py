"""Every way in which a workflow ends without a result: all kinds of failures, cancellation, timeouts, retries."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, CancelledError

from tests.kinds.activities import SOON, raises
from tests.kinds.case import Case, Handle, Stage, happened


class OutOfPaper(Exception):
    """The user's own exception, registered below as one that fails the workflow."""


@workflow.defn(failure_exception_types=[OutOfPaper, ZeroDivisionError, asyncio.TimeoutError])
class Ends:
    """Each case ends in one way."""

    @workflow.run
    async def run(self, case: str) -> Any:
        return await getattr(self, case)()

    async def application(self) -> None:
        raise ApplicationError("no", {"code": 1}, [2], type="No", non_retryable=True)

    async def benign(self) -> None:
        raise ApplicationError("as usual", type="Usual", category=ApplicationErrorCategory.BENIGN)

    async def own(self) -> None:
        raise OutOfPaper("none left")

    async def builtin(self) -> float:
        return 1 / int(workflow.info().attempt - 1)

    async def chained(self) -> None:
        try:
            await self.own()
        except OutOfPaper as error:
            raise ApplicationError("outer", type="Outer") from error

    async def of_activity(self) -> None:
        await workflow.execute_activity(
            raises, "final", start_to_close_timeout=SOON, retry_policy=RetryPolicy(maximum_attempts=1)
        )

    async def of_child(self) -> None:
        await workflow.execute_child_workflow(Ends.run, "own", id=f"{workflow.info().workflow_id}-child")

    async def of_group(self) -> None:
        """If several tasks fail together, one failure is reported."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.own())
            group.create_task(workflow.sleep(60))

    async def wait_too_long(self) -> None:
        await workflow.wait_condition(lambda: False, timeout=timedelta(milliseconds=100), timeout_summary="patience")

    async def waits(self) -> None:
        await workflow.sleep(60)

    async def cleans_up(self) -> str:
        try:
            await workflow.sleep(60)
        except asyncio.CancelledError:
            await asyncio.shield(asyncio.create_task(workflow.sleep(0.05, summary="Cleaning up")))
            return f"cleaned up: {workflow.cancellation_reason()}"
        return "?"

    async def details(self) -> None:
        raise CancelledError("by itself", {"left": 3})

    async def at_last(self) -> int:
        if workflow.info().attempt < 3:
            raise ApplicationError("again", type="Again", next_retry_delay=timedelta(milliseconds=30))
        return workflow.info().attempt


async def cancel(stage: Stage, handle: Handle) -> None:
    await happened(handle, "timer_started")
    await handle.cancel()


async def terminate(stage: Stage, handle: Handle) -> None:
    await happened(handle, "timer_started")
    await handle.terminate("enough", "with", {"details": 1})


def ends(case: str, how: Any, **more: Any) -> Case:
    return Case(run=Ends.run, args=(case,), ends=how, **more)


WORKFLOWS = [Ends]
CASES = {
    "end_application": ends("application", "failed: ApplicationError[No]"),
    "end_benign": ends("benign", "failed: ApplicationError[Usual]"),
    "end_own": ends("own", "failed: ApplicationError[OutOfPaper]"),
    "end_builtin": ends("builtin", "failed: ApplicationError[ZeroDivisionError]"),
    "end_chained": ends("chained", "failed: ApplicationError[Outer] < ApplicationError[OutOfPaper]"),
    "end_of_activity": ends("of_activity", "failed: ActivityError < ApplicationError[Final]"),
    "end_of_child": ends("of_child", "failed: ChildWorkflowError < ApplicationError[OutOfPaper]"),
    "end_wait": ends("wait_too_long", "failed: ApplicationError[TimeoutError] < ApplicationError[CancelledError]"),
    "end_cancelled": ends("waits", "failed: CancelledError", drive=cancel),
    "end_cleaned": ends("cleans_up", "cleaned up: ", drive=cancel),
    "end_terminated": ends("waits", "failed: TerminatedError", drive=terminate),
    "end_run_timeout": ends(
        "waits",
        "failed: TimeoutError[START_TO_CLOSE]",
        options={"run_timeout": timedelta(seconds=1)},
        other_events=True,
    ),
    "end_execution_timeout": ends(
        "waits",
        "failed: TimeoutError[START_TO_CLOSE]",
        options={"execution_timeout": timedelta(seconds=1)},
        other_events=True,
    ),
    "end_retried": ends(
        "at_last", 3, options={"retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=50))}
    ),
}
