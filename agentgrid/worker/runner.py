"""The hook that keeps the projection up to date: each new activation of a workflow touches its run.

It wraps the `activate` method of the user's own runner. A `SandboxedWorkflowRunner` stays one, so that other plugins that check for it
still work; any other runner is delegated to.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import temporalio.converter
import temporalio.workflow
from temporalio.api.enums.v1.command_type_pb2 import COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK
from temporalio.api.failure.v1 import Failure
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import ActivitySerializationContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from agentgrid.protocol import SIGNAL_DECIDE
from agentgrid.sdk.places import failing_at, reworded

Touch = Callable[[str, str, int, bool], None]
"""Called with execution id, workflow id, expected event id and whether it is urgent, from any thread."""
Attribute = Callable[[WorkflowActivation, temporalio.workflow.Info], None]
"""Called before each activation, and may change it: `ScheduledStarts.attribute`."""

PAUSING_COMMANDS = frozenset(
    {
        "complete_workflow_execution",
        "fail_workflow_execution",
        "cancel_workflow_execution",
        "continue_as_new_workflow_execution",
        "start_timer",
    }
)
"""Commands after which no further event is expected soon, so the touch is urgent: the execution has ended, or waits on a timer, as a pending
approval does."""


MAX_EXPLAINED = 2_000
"""A longer message gets no location added: nobody would see its end."""


def _unchanged(act: WorkflowActivation, info: temporalio.workflow.Info) -> None:
    """Leave the activation unchanged."""


def drop_old_decisions(act: WorkflowActivation) -> None:
    """Remove decision signals from an activation that carries a reset: they belong to the execution that was reset.

    Temporal copies such signals into the fork or reapplies them, and the SDK delivers them to workflow code before the new seed, so an explicit
    approval would accept them. No new decision is lost, because the fork can't have an open approval yet. A replay builds the same activation
    from history.
    """
    if not any(job.HasField("update_random_seed") for job in act.jobs):
        return
    for index in reversed(range(len(act.jobs))):
        job = act.jobs[index]
        if job.HasField("signal_workflow") and job.signal_workflow.signal_name == SIGNAL_DECIDE:
            del act.jobs[index]


def _explain(failure: Failure) -> None:
    """Add to a failed task's message where the project's code failed: runs show only the message, and its stack is mostly the SDK's."""
    failure.message = reworded(failure.message)
    place = failing_at(failure.stack_trace)
    if place is not None and len(failure.message) < MAX_EXPLAINED:
        failure.message += f" (at {place})"


class TouchingInstance(WorkflowInstance):
    """Touches the run on each activation that adds to history: not on replays, queries and evictions."""

    def __init__(self, inner: WorkflowInstance, touch: Touch, attribute: Attribute) -> None:
        self._inner = inner
        self._touch = touch
        self._attribute = attribute
        self._info = info = inner.get_info()
        self._execution_id, self._workflow_id = info.run_id, info.workflow_id
        self._contexts: dict[tuple[Any, bool], Any] = {}

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        """Activate, then touch."""
        self._forget(act)
        drop_old_decisions(act)
        self._attribute(act, self._info)
        completion = self._inner.activate(act)
        if completion.HasField("failed"):
            _explain(completion.failed.failure)
        adds = any(job.WhichOneof("variant") not in ("query_workflow", "remove_from_cache") for job in act.jobs)
        if adds and not act.is_replaying:
            # The completed task's event follows those that the activation has seen.
            urgent = any(
                command.WhichOneof("variant") in PAUSING_COMMANDS for command in completion.successful.commands
            )
            self._touch(self._execution_id, self._workflow_id, act.history_length + 1, urgent)
        return completion

    # The SDK calls these two methods for every payload of a command (arguments, headers and summary), and each call enters the sandbox, which
    # took a seventh of a plain worker's time. The answer depends on the command and on what is pending, which only `activate` changes.

    def _forget(self, act: WorkflowActivation) -> None:
        """Drop cached answers that this activation may change: all except the workflow's own and those about activities still running."""
        ended = {job.resolve_activity.seq for job in act.jobs if job.HasField("resolve_activity")}
        self._contexts = {
            (command, store): context
            for (command, store), context in self._contexts.items()
            if command is None
            or (isinstance(context, ActivitySerializationContext) and command.command_seq not in ended)
        }

    def get_serialization_context(self, command_info: Any) -> temporalio.converter.SerializationContext | None:
        """The inner instance's answer, cached for each command."""
        key = (command_info, False)
        if key not in self._contexts:
            self._contexts[key] = self._inner.get_serialization_context(command_info)
        context: temporalio.converter.SerializationContext | None = self._contexts[key]
        return context

    def get_external_store_context(self, command_info: Any) -> Any:
        """The inner instance's answer, cached for each command. An activity's data is stored with its workflow."""
        if command_info is not None and command_info.command_type == COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK:
            command_info = None
        key = (command_info, True)
        if key not in self._contexts:
            self._contexts[key] = self._inner.get_external_store_context(command_info)
        return self._contexts[key]

    def get_info(self) -> temporalio.workflow.Info:
        """Delegate to the inner instance."""
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        """The inner instance's."""
        return self._inner.get_thread_id()


@dataclass(frozen=True)
class TouchingSandboxedRunner(SandboxedWorkflowRunner):
    """A sandboxed runner whose instances touch."""

    touch: Touch | None = field(default=None, kw_only=True)
    attribute: Attribute = field(default=_unchanged, kw_only=True)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """Create a sandboxed instance that touches."""
        instance = super().create_instance(det)
        # At worker startup, each workflow is instantiated once with dummy info for validation.
        return instance if self.touch is None else TouchingInstance(instance, self.touch, self.attribute)


class TouchingRunner(WorkflowRunner):
    """Wraps any other runner, so that its instances touch."""

    def __init__(self, inner: WorkflowRunner, touch: Touch, attribute: Attribute) -> None:
        self._inner = inner
        self._touch = touch
        self._attribute = attribute

    def prepare_workflow(self, defn: Any) -> None:
        """Delegate to the inner runner."""
        self._inner.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """Create the inner runner's instance, wrapped to touch."""
        return TouchingInstance(self._inner.create_instance(det), self._touch, self._attribute)

    def set_worker_level_failure_exception_types(self, types: Sequence[type[BaseException]]) -> None:
        """Delegate to the inner runner."""
        self._inner.set_worker_level_failure_exception_types(types)


def with_passthrough(runner: WorkflowRunner, modules: Sequence[str]) -> WorkflowRunner:
    """The runner with these modules shared between sandbox and worker, if it has a sandbox."""
    if not isinstance(runner, SandboxedWorkflowRunner):
        return runner
    return dataclasses.replace(runner, restrictions=runner.restrictions.with_passthrough_modules(*modules))


def replay_runner(runner: WorkflowRunner) -> WorkflowRunner:
    """The runner for a replayer: like a worker's, but without touches."""
    return touching_runner(runner, lambda *_: None)


def touching_runner(runner: WorkflowRunner, touch: Touch, attribute: Attribute = _unchanged) -> WorkflowRunner:
    """The runner, wrapped so that its instances touch."""
    if type(runner) is SandboxedWorkflowRunner:
        return TouchingSandboxedRunner(
            restrictions=runner.restrictions, runner_class=runner.runner_class, touch=touch, attribute=attribute
        )
    return TouchingRunner(runner, touch, attribute)
