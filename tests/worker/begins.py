"""Runs that begin on one worker and go on on another, and what history then tells of their beginning."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import temporalio.api.workflowservice.v1 as service
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payloads, WorkerVersionStamp
from temporalio.api.enums.v1 import CommandType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.client import Client, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter

from agentgrid.projector import events
from agentgrid.projector.decode import decode
from agentgrid.projector.fold import fold
from agentgrid.projector.fold.state import State
from agentgrid.protocol import BUILD_GATE, PATCH_GATE

SOON = timedelta(seconds=20)
GOVERNED_BUILD = f"{BUILD_GATE}by-hand"


@activity.defn
async def free() -> str:
    return "free"


@activity.defn
async def asked() -> str:
    """The one that a rule of the tests asks people about."""
    return "asked"


@workflow.defn(name="Begins")
class Begins:
    """Its first task does what the shape says; what comes after it waits for a signal or an update."""

    def __init__(self) -> None:
        self.gone = False

    @workflow.run
    async def run(self, shape: str) -> str:
        done = []
        if shape == "calls":
            done.append(await workflow.execute_activity(free, start_to_close_timeout=SOON))
        await workflow.wait_condition(lambda: self.gone)
        if shape == "continues":
            workflow.continue_as_new("calls")
        if shape == "child":
            name = f"{workflow.info().workflow_id}-child"
            done.append(await workflow.execute_child_workflow(Begins.run, "calls", id=name))
        else:
            done.append(await workflow.execute_activity(asked, start_to_close_timeout=SOON))
        return " ".join(done)

    @workflow.signal
    def go(self) -> None:
        self.gone = True

    @workflow.update
    async def nudge(self, name: str) -> str:
        return await workflow.execute_activity(name, start_to_close_timeout=SOON, result_type=str)


@workflow.defn(name="Begins", sandboxed=False)
class Broken:
    """Code whose every task fails."""

    @workflow.run
    async def run(self, shape: str) -> str:
        raise RuntimeError("this code can't begin anything")

    @workflow.signal
    def go(self) -> None: ...


def told(history: WorkflowHistory) -> bool:
    """Whether the projector takes the execution for a governed one; the same however its history is cut."""
    decoded = decode(history.events, pydantic_data_converter.payload_converter)
    whole, _ = fold(State(execution_id="e"), decoded)
    piecewise = State(execution_id="e")
    for event in decoded:
        piecewise, _ = fold(State.load(piecewise.dump()), [event])
    assert piecewise.governed == whole.governed
    return whole.governed


def marked(history: WorkflowHistory) -> bool:
    """Whether the plugin's marker stands in it."""
    decoded = decode(history.events, pydantic_data_converter.payload_converter)
    return any(isinstance(event, events.Patched) and event.patch == PATCH_GATE for event in decoded)


def headed(history: WorkflowHistory, activity_type: str) -> list[bool]:
    """Of each call of this activity whether the plugin made it."""
    decoded = decode(history.events, pydantic_data_converter.payload_converter)
    calls = [event for event in decoded if isinstance(event, events.ActivityScheduled)]
    return [call.headed for call in calls if call.activity_type == activity_type]


def without_builds(history: WorkflowHistory) -> WorkflowHistory:
    """As a server that keeps no builds would have written it."""
    for event in history.events:
        if event.HasField("workflow_task_completed_event_attributes"):
            for name in ("worker_version", "deployment_version", "worker_deployment_name", "worker_deployment_version"):
                event.workflow_task_completed_event_attributes.ClearField(name)  # type: ignore[arg-type]  # each is one
    return history


class ByHand:
    """A worker without an SDK: it takes one workflow task, says which build it is, and does what the test wants."""

    def __init__(self, client: Client, queue: str, build: str) -> None:
        self.client = client
        self.queue = queue
        self.stamp = WorkerVersionStamp(build_id=build)

    async def takes(self) -> service.PollWorkflowTaskQueueResponse:
        """The next task; whoever doesn't complete it lets it time out."""
        return await self.client.workflow_service.poll_workflow_task_queue(
            service.PollWorkflowTaskQueueRequest(
                namespace=self.client.namespace, task_queue=TaskQueue(name=self.queue), identity="by hand"
            ),
            timeout=timedelta(seconds=30),
        )

    async def completes(self, *, again: bool = False, call: str | None = None) -> None:
        """Take a task and complete it: empty, asking for the next one at once, or with the call of an activity."""
        task = await self.takes()
        answer = service.RespondWorkflowTaskCompletedRequest(
            namespace=self.client.namespace,
            task_token=task.task_token,
            identity="by hand",
            worker_version_stamp=self.stamp,
            force_create_new_workflow_task=again,
        )
        if call is not None:
            command = answer.commands.add(command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK)
            made = command.schedule_activity_task_command_attributes
            made.activity_id = "1"
            made.activity_type.name = call
            made.task_queue.name = self.queue
            made.start_to_close_timeout.FromTimedelta(SOON)
            made.input.CopyFrom(Payloads())
        await self.client.workflow_service.respond_workflow_task_completed(answer)


CONFIG: dict[str, Any] = {"activities": [free, asked], "max_cached_workflows": 0}
