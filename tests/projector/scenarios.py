"""Workflows that use the plain SDK, without AgentGrid. Their histories cover the events that the fold must handle."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

SHORT = timedelta(seconds=9)
failing_tasks = True
"""While true, `Poisoned` fails every workflow task."""


@activity.defn
async def echo(text: str) -> str:
    return text


@activity.defn
async def flaky(text: str) -> str:
    if activity.info().attempt < 3:
        raise ApplicationError(f"try {activity.info().attempt}", type="Flaky")
    return text


@activity.defn
async def broken() -> None:
    raise ApplicationError("it can't work", {"code": 7}, type="Broken", non_retryable=True)


@activity.defn
async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


@workflow.defn(sandboxed=False)
class Sequence:
    @workflow.run
    async def run(self, count: int) -> str:
        for index in range(count):
            await workflow.execute_activity(echo, f"step {index}", start_to_close_timeout=SHORT)
        return "done"


@workflow.defn(sandboxed=False)
class Mixed:
    """A retried activity, a failed one that is caught, a timer, a cancelled timer, a child, a patch."""

    @workflow.run
    async def run(self) -> str:
        workflow.patched("some-patch")
        await workflow.execute_activity(
            flaky,
            "x",
            start_to_close_timeout=SHORT,
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=50)),
        )
        try:
            await workflow.execute_activity(broken, start_to_close_timeout=SHORT)
        except Exception:
            workflow.logger.debug("expected")
        await workflow.sleep(0.1)
        cancelled = asyncio.create_task(workflow.sleep(60))
        await asyncio.sleep(0)
        cancelled.cancel()
        await workflow.execute_child_workflow(Sequence.run, 1, id=f"{workflow.info().workflow_id}-child")
        return "ok"


@workflow.defn(sandboxed=False)
class InFlight:
    """An activity is in flight while others end, so that a reset can fork during it."""

    @workflow.run
    async def run(self) -> str:
        handle = workflow.start_activity(slow, 1.0, start_to_close_timeout=SHORT)
        for index in range(3):
            await workflow.execute_activity(echo, f"step {index}", start_to_close_timeout=SHORT)
        return await handle


@workflow.defn(sandboxed=False)
class Continued:
    @workflow.run
    async def run(self, left: int) -> int:
        await workflow.execute_activity(echo, f"left {left}", start_to_close_timeout=SHORT)
        if left:
            workflow.continue_as_new(left - 1)
        return left


@workflow.defn(sandboxed=False)
class Retried:
    @workflow.run
    async def run(self) -> int:
        if workflow.info().attempt < 3:
            raise ApplicationError("again")
        return workflow.info().attempt


@workflow.defn(sandboxed=False)
class Local:
    @workflow.run
    async def run(self) -> str:
        await workflow.execute_local_activity(echo, "local", start_to_close_timeout=SHORT)
        await workflow.execute_local_activity(
            flaky,
            "y",
            start_to_close_timeout=SHORT,
            local_retry_threshold=timedelta(milliseconds=100),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=300)),
        )
        try:
            await workflow.execute_local_activity(broken, start_to_close_timeout=SHORT)
        except Exception:
            workflow.logger.debug("expected")
        return "ok"


@workflow.defn(sandboxed=False)
class Messages:
    """Waits for four signals or updates."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @workflow.signal
    def note(self, text: str) -> None:
        self.seen.append(text)

    @workflow.update
    async def ask(self, text: str) -> str:
        await workflow.sleep(0.05)
        self.seen.append(text)
        if text == "bad":
            raise ApplicationError("refused", type="Refused")
        return f"{text}!"

    @workflow.run
    async def run(self) -> int:
        await workflow.wait_condition(lambda: len(self.seen) >= 4)
        return len(self.seen)


@workflow.defn(sandboxed=False)
class Parent:
    """A child that fails, and a signal to and a cancel of another execution."""

    @workflow.run
    async def run(self, other: str) -> str:
        try:
            await workflow.execute_child_workflow(Failing.run, id=f"{workflow.info().workflow_id}-child")
        except Exception:
            workflow.logger.debug("expected")
        handle = workflow.get_external_workflow_handle(other)
        await handle.signal("note", "from outside")
        await handle.cancel()
        try:
            await workflow.get_external_workflow_handle("nobody-there").signal("note", "x")
        except Exception:
            return "ok"
        return "?"


@workflow.defn(sandboxed=False)
class Failing:
    @workflow.run
    async def run(self) -> None:
        raise ApplicationError("no", type="No", non_retryable=True)


@workflow.defn(sandboxed=False)
class Sleeper:
    @workflow.run
    async def run(self) -> None:
        slow_call = workflow.start_activity(slow, 5.0, start_to_close_timeout=SHORT, heartbeat_timeout=SHORT)
        await workflow.sleep(600)
        await slow_call


@workflow.defn(sandboxed=False)
class Poisoned:
    """Every workflow task fails until `failing_tasks` is cleared; signals arrive in the meantime."""

    def __init__(self) -> None:
        self.count = 0

    @workflow.signal
    def note(self, _text: str) -> None:
        self.count += 1

    @workflow.run
    async def run(self) -> int:
        if failing_tasks:
            raise RuntimeError("poison")
        await workflow.wait_condition(lambda: self.count >= 2)
        return self.count


WORKFLOWS = [
    Sequence,
    Mixed,
    InFlight,
    Continued,
    Retried,
    Local,
    Messages,
    Parent,
    Failing,
    Sleeper,
    Poisoned,
]
ACTIVITIES = [echo, flaky, broken, slow]
