"""The workflow half of the gate: every outgoing call of a workflow passes through it, using the SDK's public interceptors.

The order of commands is protocol. The build of the first workflow task, or a marker, shows that an execution began under the plugin
(`WorkflowState.governed`); an execution that was already open replays unchanged. A call is scheduled immediately, as without the plugin; only its
*result* is wrapped. If policy requires approval, the activity half fails with `ApprovalRequired` and the terms; the workflow then waits under
those terms and makes the call again with the signed decision. The arguments are serialised once, when the call is made. If the decision changes
them, every further call sends the changed arguments under the same key, until the worker finds them invalid; then the original call is made.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

from pydantic import ValidationError
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import (
    ContinueAsNewInput,
    ExecuteWorkflowInput,
    HandleSignalInput,
    Interceptor,
    StartActivityInput,
    StartChildWorkflowInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from agentgrid.domain.approvals import Decision, Terms
from agentgrid.protocol import (
    HEADER_AGENT,
    HEADER_APPROVAL,
    HEADER_KEY,
    HEADER_RUN,
    OWN_ACTIVITIES,
    SIGNAL_CONTROL,
    SIGNAL_DECIDE,
    ErrorType,
    ToolCall,
    to_payload,
)
from agentgrid.sdk.approvals import refusal
from agentgrid.sdk.calls import Call, sealed, sealed_child, with_arguments
from agentgrid.sdk.context import current_agent, current_note
from agentgrid.sdk.results import check_result
from agentgrid.sdk.state import BUILDS_ARE_RECORDED, Patience, WorkflowState
from agentgrid.sdk.workflows import SPEC

_OWN_HEADERS = frozenset({HEADER_KEY, HEADER_APPROVAL, HEADER_AGENT})
"""Headers that only the gate sets; it removes those set by other interceptors."""


class GateInterceptor(Interceptor):
    """Installs the workflow half in every workflow of a worker or replayer."""

    def __init__(self) -> None:
        self.builds_are_recorded = True
        """Whether the server's history keeps worker builds. Set before the first workflow task."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        """The inbound interceptor's class, which the SDK instantiates once per execution."""
        # A function, because the SDK calls this when it creates the worker, before the server is known.
        input.unsafe_extern_functions[BUILDS_ARE_RECORDED] = lambda: self.builds_are_recorded
        return GateInbound


class GateInbound(WorkflowInboundInterceptor):
    """Owns the state of one execution, and handles AgentGrid's two signals."""

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        """Register the signals before any user code, so that an early signal never reaches a dynamic handler."""
        self._state = WorkflowState()
        super().init(GateOutbound(outbound, self._state))
        self._state.install()

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        """Determine whether the execution began under the plugin, before user code runs."""
        self._state.open()
        self._state.begin(input.headers)
        result = await super().execute_workflow(input)
        if hasattr(input.type, SPEC):
            check_result(input.run_fn, result)
        return result

    async def handle_signal(self, input: HandleSignalInput) -> None:
        """Handle AgentGrid's own signals. They carry exactly one raw payload; any other form is ignored."""
        if input.signal not in (SIGNAL_DECIDE, SIGNAL_CONTROL):
            return await super().handle_signal(input)
        if len(input.args) != 1 or not isinstance(input.args[0], RawValue):
            return
        if input.signal == SIGNAL_DECIDE:
            await self._state.on_decide(input.args[0])
        else:
            self._state.on_control(input.args[0])


class GateOutbound(WorkflowOutboundInterceptor):
    """Gives every call its key, holds calls while the run is paused, and waits if the worker requires approval."""

    def __init__(self, next: WorkflowOutboundInterceptor, state: WorkflowState) -> None:
        super().__init__(next)
        self._state = state

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:
        """Schedule the call immediately, and wrap its result."""
        if not self._state.governed():
            return super().start_activity(input)
        return self._govern(input, super().start_activity)

    def start_local_activity(self, input: StartLocalActivityInput) -> workflow.ActivityHandle[Any]:
        """Like `start_activity`, for local activities. AgentGrid's own don't pass the gate."""
        if input.activity in OWN_ACTIVITIES or not self._state.governed():
            return super().start_local_activity(input)
        return self._govern(input, super().start_local_activity)

    async def start_child_workflow(self, input: StartChildWorkflowInput) -> workflow.ChildWorkflowHandle[Any, Any]:
        """Hold while the run is paused, and pass the run header to the child."""
        if self._state.governed():
            input = sealed_child(input)
            await self._state.resumed()
            input = dataclasses.replace(input, headers=self._with_run(input.headers))
        return await super().start_child_workflow(input)

    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:
        """Pass the initiator, the tree and the pause to the next execution."""
        if self._state.governed():
            input = dataclasses.replace(input, headers=self._with_run(input.headers))
        super().continue_as_new(input)

    def _with_run(self, headers: Mapping[str, Payload]) -> dict[str, Payload]:
        return {**headers, HEADER_RUN: self._state.run_header}

    def _govern(
        self, input: Call, schedule: Callable[[Call], workflow.ActivityHandle[Any]]
    ) -> workflow.ActivityHandle[Any]:
        state = self._state
        headers = {name: payload for name, payload in input.headers.items() if name not in _OWN_HEADERS}
        sent, content = sealed(input)
        base = {**self._with_run(headers), HEADER_KEY: to_payload(state.next_key(input.activity, content))}
        if (agent := current_agent.get()) is not None:
            base[HEADER_AGENT] = to_payload(agent)

        def start(decision: str | None = None, changed: ToolCall | None = None) -> workflow.ActivityHandle[Any]:
            extra = {HEADER_APPROVAL: to_payload(decision)} if decision is not None else {}
            call = sent if changed is None else with_arguments(sent, changed)
            return schedule(dataclasses.replace(call, headers=base | extra))

        remote = isinstance(input, StartActivityInput)
        first = None if state.paused else start()
        task = asyncio.create_task(_result(state, start, first, remote), name=f"call: {input.activity}")
        if first is not None:
            task.add_done_callback(_cancelling(first))
        return task  # type: ignore[return-value]  # ActivityHandle adds nothing to Task


def _cancelling(inner: workflow.ActivityHandle[Any]) -> Callable[[asyncio.Task[Any]], None]:
    """Also cancel the inner call if the wrapper was cancelled before its first tick, and so never awaited it."""

    def done(wrapper: asyncio.Task[Any]) -> None:
        if wrapper.cancelled() and not inner.done():
            inner.cancel()

    return done


async def _result(
    state: WorkflowState,
    start: Callable[[str | None, ToolCall | None], Awaitable[Any]],
    handle: Awaitable[Any] | None,
    remote: bool,
) -> Any:
    """The call's result. Waits for resume, approvals or a fresh policy, and makes the call again as needed."""
    decision: str | None = None
    changed: ToolCall | None = None
    patience = Patience()
    generation = state.generation
    while True:
        if handle is None:
            await state.resumed()
            generation = state.generation
            handle = start(decision, changed)
        try:
            return await handle
        except (ActivityError, ApplicationError) as error:
            # A local activity's failure arrives unwrapped.
            cause = error.cause if isinstance(error, ActivityError) else error
            if await patience.waited(cause):
                handle = None
                continue
            if changed is not None and is_invalid_input(cause):
                # An approver made these arguments, not workflow code, so the call doesn't fail there.
                decision, changed, handle = None, None, None
                _noted_decisions().clear()
                continue
            terms = terms_in(cause)
            if terms is None:
                raise
        outcome = await state.wait(terms, generation if remote else None)
        if not outcome.void and outcome.approval is None:
            raise refusal(terms, outcome)
        # After a reset, the earlier decision lets nothing through, but it shows who changed the arguments.
        decision, handle = outcome.raw or decision, None
        if outcome.decision is None:
            continue
        _noted_decisions().append(outcome.decision)
        if outcome.decision.arguments is not None:
            changed = ToolCall(tool=terms.tool or "", version=terms.tool_version or "", args=outcome.decision.arguments)


def _noted_decisions() -> list[Decision]:
    """The decisions visible to the code that made the call."""
    note = current_note.get()
    return [] if note is None else note.decisions


def is_invalid_input(error: BaseException | None) -> bool:
    """Whether the worker refused a tool's arguments as invalid, before anything ran."""
    return isinstance(error, ApplicationError) and error.type == ErrorType.TOOL_INPUT


def terms_in(error: BaseException | None) -> Terms | None:
    """The terms in an `ApprovalRequired` failure, or None for any other error."""
    if not isinstance(error, ApplicationError) or error.type != ErrorType.APPROVAL_REQUIRED or not error.details:
        return None
    try:
        return Terms.model_validate(error.details[0])
    except ValidationError:
        return None
