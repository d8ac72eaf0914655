"""Sessions: conversations with an agent over several calls, also across continue-as-new. Workflow code."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from temporalio.exceptions import ApplicationError

from agentgrid.domain.agents import AgentSpec, Limits, SessionState, Spent, add, is_conversation
from agentgrid.domain.canonical import sorted_json
from agentgrid.protocol import ErrorType
from agentgrid.sdk.agent_loop import converse
from agentgrid.sdk.agent_meter import Meter
from agentgrid.sdk.state import WorkflowState

if TYPE_CHECKING:
    from agentgrid.sdk.agents import Agent

Out = TypeVar("Out")

MAX_STATE_BYTES = 1024 * 1024
"""Maximum JSON size of a session's state: half of a payload's limit, to leave room for the next call."""

_STATE: TypeAdapter[SessionState] = TypeAdapter(SessionState)


class AgentSession(Generic[Out]):
    """A conversation with an agent over several calls. Created by `Agent.session`.

    Each `run` is a separate agent call, with the agent's version at that time, its own budget and its own step.
    """

    def __init__(
        self, agent: Agent[Out], state: dict[str, Any] | None, *, limits: Limits | None, approvers: tuple[str, ...]
    ) -> None:
        self.agent = agent
        self._limits, self._approvers = limits, approvers
        self._total: Meter | None = None
        self._at_work = False
        before = SessionState(agent=agent.name) if state is None else self._read(state)
        self.messages = before.messages
        self._spent = self._before = before.spent

    async def run(self, prompt: str) -> Out:
        """Continue the conversation until there is an answer. Raises the same errors as `Agent.run`.

        If it fails, the session keeps the conversation up to that point, and the next call can continue from there.
        """
        self._idle("a session makes one call at a time: await the previous call first")
        self._at_work = True
        try:
            return self.agent.typed(await converse(self.agent, prompt, session=self))
        finally:
            self._at_work = False

    def state(self) -> dict[str, Any]:
        """The conversation so far as a JSON value, for `workflow.continue_as_new` and then `Agent.session`.

        Raises a non-retryable ApplicationError while a call is in progress, or if the JSON is larger than 1 MiB.
        """
        self._idle("a session has no state during a call: await the call first")
        state: dict[str, Any] = _STATE.dump_python(
            SessionState(agent=self.agent.name, messages=self.messages, spent=self._spent), mode="json"
        )
        if (size := len(sorted_json(state))) > MAX_STATE_BYTES:
            raise self._fault(
                f"the session's state has {size:,} bytes in JSON; at most {MAX_STATE_BYTES:,} are allowed. "
                "Start a new session, with a summary of this one in its first prompt"
            )
        return state

    def meter(self, spec: AgentSpec, state: WorkflowState) -> Meter | None:
        """The meter of all calls of the session, for a call that starts now; None without a budget."""
        self._total, self._before = None, self._spent
        if self._limits is not None:
            whole = dataclasses.replace(spec, limits=self._limits)
            self._total = Meter(whole, state, approvers=self._approvers, within=None, spent=self._spent)
        return self._total

    def took(self, messages: list[dict[str, Any]], meter: Meter) -> None:
        """Record a call that has ended: the conversation so far, and what the call used. Idempotent."""
        spent, total = self._before, self._total
        self.messages = messages
        self._spent = Spent(
            usage=add(spent.usage, meter.usage),
            tool_calls=spent.tool_calls + meter.tool_calls,
            seconds=spent.seconds + meter.seconds,
            granted=spent.granted if total is None else total.granted,
            may_be_unpriced=spent.may_be_unpriced if total is None else total.may_be_unpriced,
        )

    def _read(self, state: dict[str, Any]) -> SessionState:
        try:
            loaded = _STATE.validate_python(state)
        except ValidationError:
            loaded = None
        if loaded is None or not is_conversation(loaded.messages):
            raise self._fault("this is not the state of a session: pass what `AgentSession.state()` returned")
        if loaded.agent != self.agent.name:
            raise self._fault(f"this is the state of a session with the agent {loaded.agent}: pass it to that agent")
        return loaded

    def _idle(self, otherwise: str) -> None:
        if self._at_work:
            raise self._fault(otherwise)

    def _fault(self, message: str) -> ApplicationError:
        # Any other error would retry the workflow task forever, because a state is often a workflow's input.
        return ApplicationError(f"{self.agent.name}: {message}", type=ErrorType.AGENT_FAILED, non_retryable=True)
