"""Activities of every kind, remote and local, and every way in which they end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import Priority, RawValue, RetryPolicy
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.workflow import ActivityCancellationType as Cancellation

from tests.kinds.case import HAPPEN_SECONDS, Case, Handle, Stage, happened, words

SOON = timedelta(seconds=10)
QUICK = RetryPolicy(initial_interval=timedelta(milliseconds=20), maximum_attempts=3)
ONCE = RetryPolicy(maximum_attempts=1)


@activity.defn
async def plain(value: str) -> str:
    return value


@activity.defn(name="renamed activity")
def in_thread(value: str) -> list[Any]:
    """Runs in a thread, and reads its context there."""
    activity.heartbeat("from a thread")
    return [value, activity.info().activity_type, threading.current_thread() is not threading.main_thread()]


class Shop:
    """Activities as methods, which share the instance's state."""

    def __init__(self) -> None:
        self.name = "shop"

    @activity.defn
    async def method(self, value: str) -> str:
        return f"{self.name} {value}"

    @activity.defn
    def sync_method(self, first: str, second: int = 2) -> str:
        return f"{self.name} {first} {second}"


@activity.defn
class Callable_:
    """An object that is an activity."""

    async def __call__(self, value: str) -> str:
        return f"called {value}"


@activity.defn(dynamic=True)
async def anything(args: Sequence[RawValue]) -> list[Any]:
    values = [activity.payload_converter().from_payload(arg.payload) for arg in args]
    return [activity.info().activity_type, *values]


@activity.defn
async def remembers(fail_times: int) -> list[Any]:
    """Heartbeats its attempt and fails; the next attempt reads the previous heartbeat."""
    info = activity.info()
    if info.attempt <= fail_times:
        activity.heartbeat(info.attempt, {"of": "last"})
        raise ApplicationError("again", type="Again", next_retry_delay=timedelta(milliseconds=30))
    return [info.attempt, list(info.heartbeat_details)]


@activity.defn
async def raises(how: str) -> None:
    if how == "plain":
        raise ValueError("plain")
    if how == "benign":
        raise ApplicationError("benign", type="Benign", category=ApplicationErrorCategory.BENIGN)
    if how == "final":
        raise ApplicationError("final", {"code": 7}, "more", type="Final", non_retryable=True)
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise ApplicationError("outer", type="Outer") from error


@activity.defn
async def hangs(heartbeats: bool) -> str:
    """Runs until it is cancelled, and returns the reason."""
    try:
        while True:
            if heartbeats:
                activity.heartbeat()
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        details = activity.cancellation_details()
        if details is not None and details.cancel_requested:
            return "cleaned up"
        raise


@activity.defn
async def elsewhere() -> str:
    """Completed by another process."""
    activity.raise_complete_async()


@workflow.defn
class Calls:
    """Each case calls an activity in one way."""

    @workflow.run
    async def run(self, case: str) -> Any:
        name, _, rest = case.partition("/")
        try:
            return await getattr(self, name)(*([rest] if rest else []))
        except Exception as error:
            return words(error)

    async def sorts(self) -> list[Any]:
        """Functions, methods, callable objects and names, with every kind of call."""
        options: Any = {"start_to_close_timeout": SOON}
        return [
            await workflow.execute_activity(plain, "a", **options),
            await workflow.execute_activity(
                in_thread, "b", **options, summary="In a thread", priority=Priority(priority_key=2)
            ),
            await workflow.execute_activity_method(Shop.method, "c", **options),
            await workflow.execute_activity_method(Shop.sync_method, args=["d", 4], **options),
            await workflow.execute_activity_class(Callable_, "e", **options),
            await workflow.execute_activity("plain", "f", activity_id="of my own", **options),
            await workflow.execute_activity("whatever", args=["g", 1], **options),
            await workflow.start_activity(plain, "h", **options, versioning_intent=None),
        ]

    async def local(self) -> list[Any]:
        options: Any = {"start_to_close_timeout": SOON}
        return [
            await workflow.execute_local_activity(plain, "a", **options),
            await workflow.execute_local_activity_method(Shop.sync_method, "b", **options),
            await workflow.execute_local_activity_class(Callable_, "c", **options),
            await asyncio.gather(
                *[workflow.execute_local_activity(plain, str(number), **options) for number in range(3)]
            ),
            await workflow.execute_local_activity(
                remembers,
                2,
                schedule_to_close_timeout=6 * SOON,
                local_retry_threshold=timedelta(milliseconds=10),
                retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=100)),
            ),
        ]

    async def local_fails(self, how: str) -> None:
        await workflow.execute_local_activity(raises, how, start_to_close_timeout=SOON, retry_policy=QUICK)

    async def local_cancelled(self) -> str:
        handle = workflow.start_local_activity(
            hangs, False, start_to_close_timeout=SOON, cancellation_type=Cancellation.TRY_CANCEL
        )
        await workflow.sleep(0.1)
        handle.cancel()
        return await handle

    async def fails(self, how: str) -> None:
        await workflow.execute_activity(raises, how, start_to_close_timeout=SOON, retry_policy=QUICK)

    async def not_retryable_here(self) -> None:
        policy = RetryPolicy(non_retryable_error_types=["ValueError"])
        await workflow.execute_activity(raises, "plain", start_to_close_timeout=SOON, retry_policy=policy)

    async def heartbeats(self) -> list[Any]:
        return await workflow.execute_activity(remembers, 2, start_to_close_timeout=SOON, heartbeat_timeout=SOON)

    async def times_out(self, which: str) -> None:
        short = timedelta(milliseconds=400)
        options: Any = {
            "heartbeat": {"start_to_close_timeout": SOON, "heartbeat_timeout": short},
            "start_to_close": {"start_to_close_timeout": short},
            "schedule_to_close": {"schedule_to_close_timeout": short},
            "schedule_to_start": {
                "schedule_to_start_timeout": short,
                "start_to_close_timeout": SOON,
                "task_queue": f"{workflow.info().task_queue}-nobody",
            },
        }[which]
        await workflow.execute_activity(hangs, False, retry_policy=ONCE, **options)

    async def unknown(self) -> None:
        """A type that isn't registered here: the dynamic activity handles it, even as a local activity."""
        return await workflow.execute_local_activity("unheard of", 1, start_to_close_timeout=SOON)

    async def outside(self) -> str:
        return await workflow.execute_activity(elsewhere, start_to_close_timeout=SOON, retry_policy=ONCE)

    async def cancelled(self, kind: str) -> str:
        # It learns of the cancellation with a heartbeat, and heartbeats are sent at four fifths of their timeout.
        handle = workflow.start_activity(
            hangs, True, start_to_close_timeout=6 * SOON, heartbeat_timeout=SOON, cancellation_type=Cancellation[kind]
        )
        await workflow.sleep(0.2)
        handle.cancel("no longer needed")
        return await handle


def outside(how: str) -> Any:
    """A drive that ends the activity from outside, by id or task token."""

    async def drive(stage: Stage, handle: Handle) -> None:
        await happened(handle, "activity_task_scheduled")
        scheduled = next(
            event.activity_task_scheduled_event_attributes
            for event in (await handle.fetch_history()).events
            if event.HasField("activity_task_scheduled_event_attributes")
        )
        other = stage.client.get_async_activity_handle(
            workflow_id=handle.id, run_id=handle.first_execution_run_id, activity_id=scheduled.activity_id
        )
        async with asyncio.timeout(HAPPEN_SECONDS):
            while (
                not (pending := (await handle.describe()).raw_description.pending_activities) or pending[0].state != 2
            ):
                await asyncio.sleep(0.05)
        await other.heartbeat("half way")
        if how == "complete":
            await other.complete("by others")
        else:
            await other.fail(ApplicationError("not by us", type="Outside", non_retryable=True))

    return drive


def calls(case: str, ends: Any, **more: Any) -> Case:
    return Case(run=Calls.run, args=(case,), ends=ends, **more)


SORTS = [
    "a",
    ["b", "renamed activity", True],
    "shop c",
    "shop d 4",
    "called e",
    "f",
    ["whatever", "g", 1],
    "h",
]
SHOP = Shop()
WORKFLOWS = [Calls]
ACTIVITIES = [
    plain,
    in_thread,
    SHOP.method,
    SHOP.sync_method,
    Callable_(),
    anything,
    remembers,
    raises,
    hangs,
    elsewhere,
]
CASES = {
    "activities": calls("sorts", SORTS),
    "local": calls("local", ["a", "shop b 2", "called c", ["0", "1", "2"], [3, []]]),
    "local_fails": calls("local_fails/plain", "ApplicationError[ValueError]"),
    "local_fails_for_good": calls("local_fails/final", "ApplicationError[Final]"),
    # The timer that cancels it fires only when the workflow task is renewed, at four fifths of its timeout.
    "local_cancelled": calls(
        "local_cancelled", "ActivityError < CancelledError", options={"task_timeout": timedelta(seconds=2)}
    ),
    "local_of_any_name": calls("unknown", ["unheard of", 1]),
    "fails": calls("fails/plain", "ActivityError < ApplicationError[ValueError]"),
    "fails_benignly": calls("fails/benign", "ActivityError < ApplicationError[Benign]"),
    "fails_for_good": calls("fails/final", "ActivityError < ApplicationError[Final]"),
    "fails_with_cause": calls("fails/chained", "ActivityError < ApplicationError[Outer] < ApplicationError[KeyError]"),
    "fails_by_its_type": calls("not_retryable_here", "ActivityError < ApplicationError[ValueError]"),
    "heartbeats": calls("heartbeats", [3, [2, {"of": "last"}]]),
    **{
        f"{which}_timeout": calls(f"times_out/{which}", f"ActivityError < TimeoutError[{which.upper()}]")
        for which in ("heartbeat", "start_to_close", "schedule_to_close", "schedule_to_start")
    },
    "completed_outside": calls("outside", "by others", drive=outside("complete")),
    "failed_outside": calls("outside", "ActivityError < ApplicationError[Outside]", drive=outside("fail")),
    "activity_cancelled": calls("cancelled/TRY_CANCEL", "ActivityError < CancelledError", other_events=True),
    "activity_cleans_up": calls("cancelled/WAIT_CANCELLATION_COMPLETED", "cleaned up"),
    "activity_abandoned": calls("cancelled/ABANDON", "ActivityError < CancelledError"),
}
