"""Helpers for tests about a run's beginning: what history shows of it, and a worker without an SDK."""

from __future__ import annotations

from datetime import timedelta

import temporalio.api.workflowservice.v1 as service
from temporalio.api.common.v1 import WorkerVersionStamp
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.client import Client, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter

from agentgrid.projector import history_events
from agentgrid.projector.decode import decode
from agentgrid.projector.fold import fold
from agentgrid.projector.fold.state import FoldState
from agentgrid.protocol import BUILD_GATE, PATCH_GATE

GOVERNED_BUILD = f"{BUILD_GATE}by-hand"


def begun_governed(history: WorkflowHistory) -> bool:
    """Whether the projector shows the execution as governed, checked for every prefix of its history."""
    decoded = decode(history.events, pydantic_data_converter.payload_converter)
    whole, _ = fold(FoldState(execution_id="e"), decoded)
    piecewise = FoldState(execution_id="e")
    for event in decoded:
        piecewise, _ = fold(FoldState.load(piecewise.dump()), [event])
    assert piecewise.governed == whole.governed
    return whole.governed


def marked(history: WorkflowHistory) -> bool:
    """Whether history has the plugin's marker."""
    decoded = decode(history.events, pydantic_data_converter.payload_converter)
    return any(isinstance(event, history_events.Patched) and event.patch == PATCH_GATE for event in decoded)


def headed(history: WorkflowHistory, activity_type: str) -> list[bool]:
    """For each call of this activity, whether it carries the plugin's header."""
    decoded = decode(history.events, pydantic_data_converter.payload_converter)
    calls = [event for event in decoded if isinstance(event, history_events.ActivityScheduled)]
    return [call.headed for call in calls if call.activity_type == activity_type]


def without_builds(history: WorkflowHistory) -> WorkflowHistory:
    """The history as a server that records no builds would write it."""
    for event in history.events:
        if event.HasField("workflow_task_completed_event_attributes"):
            for name in ("worker_version", "deployment_version", "worker_deployment_name", "worker_deployment_version"):
                event.workflow_task_completed_event_attributes.ClearField(name)  # type: ignore[arg-type]  # each is a field name
    return history


class ByHand:
    """A worker without an SDK. It takes one workflow task, under the given build id."""

    def __init__(self, client: Client, queue: str, build: str) -> None:
        self.client = client
        self.queue = queue
        self.stamp = WorkerVersionStamp(build_id=build)

    async def takes(self) -> service.PollWorkflowTaskQueueResponse:
        """Take the next task. It times out unless it is completed."""
        return await self.client.workflow_service.poll_workflow_task_queue(
            service.PollWorkflowTaskQueueRequest(
                namespace=self.client.namespace, task_queue=TaskQueue(name=self.queue), identity="by hand"
            ),
            timeout=timedelta(seconds=30),
        )

    async def completes_empty(self) -> None:
        """Take a task and complete it without commands, requesting the next one immediately."""
        task = await self.takes()
        await self.client.workflow_service.respond_workflow_task_completed(
            service.RespondWorkflowTaskCompletedRequest(
                namespace=self.client.namespace,
                task_token=task.task_token,
                identity="by hand",
                worker_version_stamp=self.stamp,
                force_create_new_workflow_task=True,
            )
        )
