"""The same steps for the plain Temporal SDK, in a separate module so that a plain worker's sandbox doesn't load AgentGrid."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity, workflow

SECONDS = timedelta(seconds=30)


@activity.defn
async def plain_step(number: int) -> int:
    return number + 1


@workflow.defn
class RawThree:
    """Three activities in sequence."""

    @workflow.run
    async def run(self, number: int) -> int:
        for _ in range(3):
            number = await workflow.execute_activity(plain_step, number, start_to_close_timeout=SECONDS)
        return number


@workflow.defn
class RawTen:
    """Ten activities in sequence."""

    @workflow.run
    async def run(self, number: int) -> int:
        for _ in range(10):
            number = await workflow.execute_activity(plain_step, number, start_to_close_timeout=SECONDS)
        return number


@workflow.defn
class RawSignal:
    """Waits for a signal, then runs one activity."""

    def __init__(self) -> None:
        self._decided = False

    @workflow.signal
    def decide(self) -> None:
        self._decided = True

    @workflow.run
    async def run(self, number: int) -> int:
        await workflow.wait_condition(lambda: self._decided)
        return await workflow.execute_activity(plain_step, number, start_to_close_timeout=SECONDS)
