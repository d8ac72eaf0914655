"""What a workflow does with other executions: children, external workflows, the next execution of its own chain, Nexus operations."""

from __future__ import annotations

import asyncio
from typing import Any

import nexusrpc
from nexusrpc.handler import StartOperationContext, service_handler, sync_operation
from temporalio import nexus, workflow
from temporalio.exceptions import ApplicationError
from temporalio.workflow import ChildWorkflowCancellationType as Cancellation
from temporalio.workflow import ParentClosePolicy

from tests.kinds.case import ENDPOINT, HAPPEN_SECONDS, Case, Handle, Stage, ended, happened, words


@workflow.defn
class Other:
    """Answers, fails, or waits for a signal."""

    def __init__(self) -> None:
        self.word: str | None = None

    @workflow.run
    async def run(self, what: str) -> str:
        if what == "fail":
            raise ApplicationError("no", type="No", non_retryable=True)
        if what == "wait":
            await workflow.wait_condition(lambda: self.word is not None)
        if what == "slowly":
            try:
                await workflow.sleep(60)
            finally:
                await asyncio.shield(asyncio.create_task(workflow.sleep(0.2)))
        return f"{what} {self.word or ''}".strip()

    @workflow.signal
    def say(self, word: str) -> None:
        self.word = word


@workflow.defn
class Family:
    """Each case uses a child in one way."""

    @workflow.run
    async def run(self, case: str) -> Any:
        name, _, rest = case.partition("/")
        return await getattr(self, name)(*([rest] if rest else []))

    def id(self) -> str:
        return f"{workflow.info().workflow_id}-child"

    async def start(self, what: str, **options: Any) -> workflow.ChildWorkflowHandle[Any, str]:
        return await workflow.start_child_workflow(Other.run, what, id=self.id(), **options)

    async def answer(self) -> Any:
        by_name = await workflow.execute_child_workflow(
            "Other", "named", id=f"{self.id()}-2", static_summary="A named child", memo={"of": "a parent"}
        )
        handle = await self.start("wait")
        await handle.signal(Other.say, "please")
        return [by_name, await handle, handle.id == self.id(), handle.first_execution_run_id is not None]

    async def fails(self) -> str:
        try:
            await workflow.execute_child_workflow(Other.run, "fail", id=self.id())
        except Exception as error:
            return words(error)
        return "?"

    async def twice(self) -> str:
        handle = await self.start("wait")
        try:
            await self.start("again")
        except Exception as error:
            await handle.signal(Other.say, "so")
            return f"{words(error)} {await handle}"
        return "?"

    async def leave(self, policy: str) -> str:
        """End while the child is still running."""
        await self.start("wait", parent_close_policy=ParentClosePolicy[policy])
        return "left"

    async def cancel(self, kind: str) -> str:
        handle = await self.start(
            "slowly", cancellation_type=Cancellation[kind], parent_close_policy=ParentClosePolicy.ABANDON
        )
        handle.cancel()
        try:
            return await handle
        except Exception as error:
            await workflow.sleep(0.1)  # ending in the same task would drop the cancellation request
            return words(error)

    async def external(self) -> list[str]:
        """Signals and cancels a workflow that is not its child, and signals one that does not exist."""
        other = workflow.get_external_workflow_handle(f"{workflow.info().workflow_id}-other")
        await other.signal(Other.say, "from afar")
        typed = workflow.get_external_workflow_handle_for(Other.run, f"{workflow.info().workflow_id}-second")
        await typed.cancel()
        messages = []
        for call in (
            workflow.get_external_workflow_handle("nobody-there").signal("say", "x"),
            workflow.get_external_workflow_handle("nobody-there").cancel(),
        ):
            try:
                await call
            except Exception as error:
                messages.append(words(error))
        return messages


@workflow.defn
class Again:
    """Continues as new, and changes its memo and arguments each time."""

    @workflow.run
    async def run(self, left: int) -> Any:
        if left:
            workflow.continue_as_new(left - 1, memo={"left": left - 1})
        return [left, workflow.memo_value("left"), workflow.info().continued_run_id is not None]


@workflow.defn
class Recurring:
    """Runs three rounds of a cron schedule, then waits to be terminated."""

    @workflow.run
    async def run(self) -> int:
        before: int = workflow.get_last_completion_result(int) or 0
        if before == 2:
            await workflow.wait_condition(lambda: False)
        return before + 1


@nexusrpc.service
class Clerk:
    echo: nexusrpc.Operation[str, str]
    wait: nexusrpc.Operation[str, str]
    refuse: nexusrpc.Operation[str, str]


@service_handler(service=Clerk)
class ClerkHandler:
    @sync_operation
    async def echo(self, ctx: StartOperationContext, text: str) -> str:
        return text

    @nexus.workflow_run_operation
    async def wait(self, ctx: nexus.WorkflowRunOperationContext, what: str) -> nexus.WorkflowHandle[str]:
        return await ctx.start_workflow(Other.run, what, id=f"nexus-{ctx.request_id}")

    @sync_operation
    async def refuse(self, ctx: StartOperationContext, text: str) -> str:
        raise nexusrpc.OperationError(text, state=nexusrpc.OperationErrorState.FAILED)


@workflow.defn
class Customer:
    """Calls Nexus operations of the clerk."""

    @workflow.run
    async def run(self, case: str, endpoint: str) -> Any:
        clerk = workflow.create_nexus_client(service=Clerk, endpoint=endpoint)
        if case == "answer":
            handle = await clerk.start_operation(Clerk.wait, "done", summary="By a workflow")
            return [
                await clerk.execute_operation(Clerk.echo, "hello"),
                await handle,
                handle.operation_token is not None,
            ]
        try:
            if case == "refuse":
                return await clerk.execute_operation(Clerk.refuse, "not today")
            handle = await clerk.start_operation(Clerk.wait, "wait")
            handle.cancel()
            return await handle
        except Exception as error:
            return words(error)


def then(suffix: str, *statuses: str) -> Any:
    """A drive that returns how another execution ends, after signalling it if it waits."""

    async def drive(stage: Stage, handle: Handle) -> list[str]:
        await handle.result()
        child = stage.client.get_workflow_handle(f"{handle.id}-{suffix}")
        if "COMPLETED" in statuses:
            await child.signal("say", "bye")
        return [await ended(child)]

    return drive


async def with_others(stage: Stage, workflow_id: str) -> Handle:
    for suffix in ("other", "second"):
        await stage.client.start_workflow(Other.run, "wait", id=f"{workflow_id}-{suffix}", task_queue=stage.queue)
    return await stage.client.start_workflow(Family.run, "external", id=workflow_id, task_queue=stage.queue)


async def others_end(stage: Stage, handle: Handle) -> list[str]:
    return [await ended(stage.client.get_workflow_handle(f"{handle.id}-{name}")) for name in ("other", "second")]


async def end_by_hand(stage: Stage, handle: Handle) -> None:
    async with asyncio.timeout(HAPPEN_SECONDS):
        while True:
            first = (await stage.client.get_workflow_handle(handle.id).fetch_history()).events[0]
            started = first.workflow_execution_started_event_attributes
            given = started.last_completion_result.payloads
            if given and given[0].data == b"2":
                break
            await asyncio.sleep(0.1)
    # By the run id in this history, because another execution may have begun since.
    third = stage.client.get_workflow_handle(handle.id, run_id=started.original_execution_run_id)
    await happened(third, "workflow_task_completed")
    await third.terminate("three rounds are enough")


def family(case: str, ends: Any, **more: Any) -> Case:
    return Case(run=Family.run, args=(case,), ends=ends, **more)


NAMED = "ChildWorkflowError < "
WORKFLOWS = [Other, Family, Again, Recurring, Customer]
SERVICES = [ClerkHandler]
CASES = {
    "child": family("answer", ["named", "wait please", True, True]),
    "child_fails": family("fails", "ChildWorkflowError < ApplicationError[No]"),
    "child_twice": family("twice", "WorkflowAlreadyStartedError wait so"),
    "child_terminated": family("leave/TERMINATE", "left", drive=then("child"), driven=["TERMINATED"]),
    "child_abandoned": family("leave/ABANDON", "left", drive=then("child", "COMPLETED"), driven=["COMPLETED"]),
    "child_cancelled": family("leave/REQUEST_CANCEL", "left", drive=then("child"), driven=["CANCELED"]),
    "cancel_try": family("cancel/TRY_CANCEL", f"{NAMED}CancelledError", drive=then("child"), driven=["CANCELED"]),
    "cancel_wait": family(
        "cancel/WAIT_CANCELLATION_COMPLETED", f"{NAMED}CancelledError", drive=then("child"), driven=["CANCELED"]
    ),
    "cancel_requested": family(
        "cancel/WAIT_CANCELLATION_REQUESTED", f"{NAMED}CancelledError", drive=then("child"), driven=["CANCELED"]
    ),
    "external": Case(
        run=Family.run,
        start=with_others,
        drive=others_end,
        ends=["ApplicationError[ExternalWorkflowExecutionNotFound]"] * 2,
        driven=["COMPLETED", "CANCELED"],
    ),
    "continue_as_new": Case(run=Again.run, args=(2,), ends=[0, 0, True], options={"memo": {"left": 2}}),
    "cron": Case(
        run=Recurring.run, drive=end_by_hand, options={"cron_schedule": "@every 1s"}, ends="failed: TerminatedError"
    ),
    "nexus": Case(run=Customer.run, args=("answer", ENDPOINT), ends=["hello", "done", True]),
    "nexus_refused": Case(
        run=Customer.run, args=("refuse", ENDPOINT), ends="NexusOperationError < ApplicationError[OperationError]"
    ),
    "nexus_cancelled": Case(
        run=Customer.run,
        args=("cancel", ENDPOINT),
        ends="NexusOperationError < CancelledError",
        other_events=True,  # Temporal records that the cancel request arrived before or after the workflow ends
    ),
}
