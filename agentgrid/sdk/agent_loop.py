"""The agent loop: model turns and the tool calls that they request, until there is an answer. Workflow code.

Everything that it decides on is in history: the version from the opening marker; usage, answers and faults from the activities' results.
"""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from agentgrid.domain.activities import TOOL_PREFIX
from agentgrid.domain.agents import (
    FINAL_ANSWER,
    INTERRUPTED,
    AgentEnd,
    AgentHeader,
    AgentSpec,
    AskedCall,
    Hold,
    ModelCall,
    ModelTurn,
    OpenAgent,
    conversation_size,
)
from agentgrid.domain.approvals import MAX_COMMENT
from agentgrid.protocol import (
    ACTIVITY_CLOSE_AGENT,
    ACTIVITY_OPEN_AGENT,
    ErrorType,
    ToolCall,
    ToolOutcome,
    too_long,
)
from agentgrid.sdk.agent_breaker import Breaker
from agentgrid.sdk.agent_interrupts import Interruptions, ended, was_cancelled
from agentgrid.sdk.agent_meter import Meter
from agentgrid.sdk.calls import prompt_bytes
from agentgrid.sdk.context import Note, current_agent, current_note
from agentgrid.sdk.holds import hold
from agentgrid.sdk.recorded import recorded, recorded_with_policy
from agentgrid.sdk.state import WorkflowState, current_state

if TYPE_CHECKING:
    from agentgrid.sdk.agent_sessions import AgentSession
    from agentgrid.sdk.agents import Agent

HEARTBEAT_TIMEOUT = timedelta(seconds=10)
"""After this long without a heartbeat, the worker is presumed dead, and another one retries the request."""

MAX_ERROR = MAX_COMMENT + 1_000
"""Maximum number of characters of an error shown to a model: a rejection with the longest comment fits."""

BY_A_PERSON = "interrupted by a person"
NOT_MADE = "the call was not made"
MAYBE_MADE = "the call was stopped, and may have had an effect"

MAX_FAULTS = 8
"""Maximum number of consecutive turns with an invalid answer or call."""

MAX_DEPTH = 5
"""Maximum depth of agents that call agents."""


async def converse(
    agent: Agent[Any], prompt: str, within: Meter | None = None, session: AgentSession[Any] | None = None
) -> Any:
    """Open an agent call, work until there is an answer, and close the call. The answer is JSON.

    within: the meter of the calling agent, which also counts what this one uses. session: the conversation that this call continues, and updates
    when it ends, even with an error.
    """
    state = current_state()
    if state is None:
        raise ApplicationError(
            f"this worker runs without AgentGridPlugin, so the agent {agent.name} can't run: add the plugin to the worker",
            type=ErrorType.AGENT_FAILED,
            non_retryable=True,
        )
    text = prompt_bytes(agent.name, prompt)
    outer = current_agent.get()
    request = OpenAgent(
        agent=agent.name,
        call=state.next_key(ACTIVITY_OPEN_AGENT, f"{agent.name}\0".encode() + text),
        prompt=prompt,
        parent=outer.call if outer is not None else None,
        turn=outer.turn if outer is not None else None,
    )
    # The worker pins the version once, in history, so an operator's edit can't change a replay.
    spec: AgentSpec = await recorded_with_policy(state, ACTIVITY_OPEN_AGENT, request, AgentSpec, agent.name)
    if session is not None:
        within = session.meter(spec, state)
    meter = Meter(spec, state, approvers=agent.budget.approvers if agent.budget is not None else (), within=within)
    conversation = _Conversation(agent, spec, state, meter, session.messages if session is not None else [])
    current_agent.set(AgentHeader(agent=spec.agent, version=spec.version, call=spec.call))
    end = AgentEnd(agent=spec.agent, call=spec.call)
    try:
        answer = await conversation.until_answered()
        if session is not None:
            session.took(conversation.messages, meter)
        await _closed(dataclasses.replace(end, output=answer), meter)
        return answer
    except (Exception, asyncio.CancelledError) as error:
        if session is not None:
            session.took(conversation.messages, meter)
        kind = getattr(error, "type", None) or type(error).__name__
        cancelled = is_cancelled_exception(error)
        await _closed(dataclasses.replace(end, error_type=kind, error=_message(error), cancelled=cancelled), meter)
        raise
    finally:
        # Not `reset(token)`: an evicted execution is closed in another context, where the token is invalid.
        current_agent.set(outer)


async def _closed(end: AgentEnd, meter: Meter) -> None:
    end = dataclasses.replace(end, turns=meter.turns, tool_calls=meter.tool_calls, usage=meter.usage)
    await recorded(ACTIVITY_CLOSE_AGENT, end, AgentEnd, end.agent)


class _Conversation:
    """One agent call."""

    def __init__(
        self, agent: Agent[Any], spec: AgentSpec, state: WorkflowState, meter: Meter, before: list[dict[str, Any]]
    ) -> None:
        """before: the messages of the session's earlier calls."""
        self.agent, self.spec, self.state, self.meter = agent, spec, state, meter
        self.tools = {tool.name: tool for tool in agent.tools if tool.name in spec.tools}
        self.messages: list[dict[str, Any]] = [*before, {"role": "user", "text": spec.prompt}]
        """Complete after each turn: every call that a model requested has its result or fault."""
        self.measured = self.size = 0
        self.breaker = Breaker()
        self.interruptions = Interruptions()
        self.outermost = meter.depth == 1
        self.number = 0
        """The current turn."""
        self.faults = self.model = 0
        """`model` is the index of the model in use; earlier ones have failed."""

    async def until_answered(self) -> Any:
        """Work until there is an answer. Interruptions go to the outermost agent call, which stops the agents that it calls."""
        at_work = self.state.at_work
        if self.outermost:
            at_work.append(self.interruptions)
        try:
            while True:
                answered = await self._one_turn()
                new_message = await self._interrupted()
                if answered is not None and not new_message:
                    return answered.output
        except Exception as error:
            if not is_cancelled_exception(error):
                await self._interrupted()
            raise
        finally:
            # By identity, because uninterrupted ones are equal.
            at_work[:] = [other for other in at_work if other is not self.interruptions]

    async def _one_turn(self) -> ModelTurn | None:
        """One model turn and the calls that it requests. Returns the turn if it is the last one."""
        self._measure()
        turn = await self._next()
        if turn is None:
            return None
        self.breaker.used(turn.usage)
        self._faulted(turn.fault is not None or any(call.fault is not None for call in turn.calls))
        self.messages.append({"role": "model", "answer": turn.message})
        if turn.final:
            if turn.answer_id is not None:
                accepted = {"role": "tool", "id": turn.answer_id, "name": FINAL_ANSWER, "result": "accepted"}
                self.messages.append(accepted)
            return turn
        if turn.fault is not None:
            self.messages.append({"role": "user", "text": turn.fault})
        elif turn.calls:
            answers = await self._calls(turn.calls)
            if not self.interruptions.pending:
                for call, answer in zip(turn.calls, answers, strict=True):
                    self.breaker.called(call.name, call.args, answer)
                await self._hold_if_looping()
        return None

    async def _interrupted(self) -> bool:
        """If a person interrupted the agent, hold the run until it is resumed. Returns whether there is a message for the agent."""
        new_message = False
        while self.interruptions.pending:
            texts = self.interruptions.take()
            detail = f"a person interrupted the agent {self.spec.agent} in turn {self.number}"
            await hold(Hold(reason=INTERRUPTED, detail=detail, agent=self.spec.agent, call=self.spec.call))
            self.messages += [{"role": "user", "text": text} for text in texts]
            new_message = new_message or bool(texts)
        return new_message

    def _faulted(self, fault: bool) -> None:
        """Limit the number of invalid answers, because the budget may allow hundreds of them."""
        self.faults = self.faults + 1 if fault else 0
        if self.faults >= MAX_FAULTS:
            raise ApplicationError(
                f"{self.spec.agent}: the model gave {MAX_FAULTS} invalid answers in a row",
                type=ErrorType.AGENT_FAILED,
                non_retryable=True,
            )

    async def _hold_if_looping(self) -> None:
        """Pause the run if the agent loops; resuming it lets the agent continue."""
        if (loop := self.breaker.loop()) is not None:
            await hold(Hold(reason="loop", detail=loop, agent=self.spec.agent, call=self.spec.call))
            self.breaker.forget()

    def _measure(self) -> None:
        self.size += conversation_size(self.messages[self.measured :])
        self.measured = len(self.messages)
        if (wrong := too_long("the conversation", self.size)) is not None:
            raise ApplicationError(f"{self.spec.agent}: {wrong}", type=ErrorType.AGENT_FAILED, non_retryable=True)

    async def _next(self) -> ModelTurn | None:
        """The next turn; None if a person interrupts it."""
        number = self.number = self.meter.turns + 1
        header = AgentHeader(agent=self.spec.agent, version=self.spec.version, call=self.spec.call, turn=number)
        current_agent.set(header)
        task = asyncio.create_task(self._turn(number), name=f"agent: turn {number}")
        await ended([task], self.interruptions)
        if self.interruptions.pending and was_cancelled(task):
            return None
        return task.result()

    async def _turn(self, number: int) -> ModelTurn:
        """Run and count the turn."""
        await self.meter.before_request()
        try:
            turn = await self._with_fallback(number)
        finally:
            self.meter.after_request()
        self.meter.count(turn)
        return turn

    async def _with_fallback(self, number: int) -> ModelTurn:
        """The turn, from the first model that does not fail."""
        while True:
            try:
                return await self._request_turn(number)
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                cause = error.cause
                kind = cause.type if isinstance(cause, ApplicationError) and cause.type else ErrorType.MODEL_ERROR
                if kind != ErrorType.MODEL_ERROR or self.model + 1 >= len(self.spec.models):
                    raise ApplicationError(
                        f"{self.spec.agent}: {_message(error)}", type=kind, non_retryable=True
                    ) from error
                self.model += 1

    async def _request_turn(self, number: int) -> ModelTurn:
        spec, agent = self.spec, self.agent
        call = ModelCall(
            agent=spec.agent,
            version=spec.version,
            call=spec.call,
            turn=number,
            model=spec.models[self.model],
            instructions=spec.instructions,
            tools=spec.tools,
            messages=self.messages,
            output_schema=spec.output_schema,
        )
        answered: ModelTurn = await workflow.execute_activity(
            agent.activity_type,
            call,
            result_type=ModelTurn,
            start_to_close_timeout=agent.timeout,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=1),
                maximum_interval=timedelta(seconds=60),
                maximum_attempts=agent.retries + 1,
            ),
            summary=f"turn {number}",
        )
        return answered

    async def _calls(self, calls: list[AskedCall]) -> list[dict[str, Any]]:
        """Make the calls of a turn in parallel, and return the model's message about each. If a call ends the agent, the others are cancelled."""
        if self.interruptions.pending:
            self.messages += [_fault(call, f"{BY_A_PERSON}: {NOT_MADE}") for call in calls]
            return []
        tasks = [asyncio.create_task(self._called(call), name=f"agent: {call.name}") for call in calls]
        try:
            agents = [task for task, call in zip(tasks, calls, strict=True) if self._delegates(call)]
            await ended(tasks, self.interruptions, agents=agents)
        finally:
            # Even if the agent ends: a session may continue, and the model must know what was done.
            answers = [self._outcome(call, task) for call, task in zip(calls, tasks, strict=True)]
            self.messages += answers
        # Cancelled tasks come last: the error that ended the agent is that of another task.
        for task in sorted(tasks, key=was_cancelled):
            if not (self.interruptions.pending and was_cancelled(task)):
                task.result()
        return answers

    def _delegates(self, call: AskedCall) -> bool:
        tool = self.tools.get(call.name)
        return tool is not None and not hasattr(tool, "call")

    def _outcome(self, call: AskedCall, task: asyncio.Task[dict[str, Any]]) -> dict[str, Any]:
        """The model's message about a call that may not have completed."""
        if task.done() and not task.cancelled() and task.exception() is None:
            return task.result()
        # A call that was waiting for people or policy ends without an activity error.
        stopped = not task.done() or (not task.cancelled() and was_cancelled(task))
        made = stopped or self._delegates(call)
        fault = MAYBE_MADE if made else NOT_MADE
        return _fault(call, f"{BY_A_PERSON}: {fault}" if self.interruptions.pending else fault)

    async def _called(self, call: AskedCall) -> dict[str, Any]:
        """The model's message about the call: its result, or why it failed. Raises errors that end the agent."""
        if call.fault is not None:
            return _fault(call, call.fault)
        # If nobody raises the budget, the agent ends: that is not a failure of the call.
        await self.meter.before_call()
        note, changed = Note(), "ran_with"
        before = current_note.get()
        # Another agent's decisions are noted with that agent's own calls.
        current_note.set(None if self._delegates(call) else note)
        try:
            if call.barred:
                await self._barred(call)
            outcome = {"result": await self._result(call)}
        except (ActivityError, ApplicationError, ValidationError) as error:
            if is_cancelled_exception(error) or self.meter.refused is not None:
                raise
            # Without the change, the model would blame its own arguments for the fault.
            outcome, changed = {"fault": _message(error)}, "changed_to"
        finally:
            # Not `reset`, which raises when the workflow is evicted.
            current_note.set(before)
        return {"role": "tool", "id": call.id, "name": call.name, **outcome, **_approval(note, changed)}

    async def _result(self, call: AskedCall) -> Any:
        tool = self.tools.get(call.name)
        if tool is None:
            raise ApplicationError(f"there is no tool {call.name!r}", type=ErrorType.TOOL_INPUT, non_retryable=True)
        if hasattr(tool, "call"):
            return await tool.call(call.args)
        return await self._delegated(tool, str(call.args.get("prompt", "")))

    async def _delegated(self, agent: Agent[Any], prompt: str) -> Any:
        if self.meter.depth >= MAX_DEPTH:
            raise ApplicationError(
                f"agents may be nested at most {MAX_DEPTH} deep", type=ErrorType.AGENT_FAILED, non_retryable=True
            )
        return await converse(agent, prompt, within=self.meter)

    async def _barred(self, call: AskedCall) -> None:
        """Make the call although the worker will refuse it, so that the refusal is a step in history."""
        # The code may give the agent this tool although its version doesn't, which the header marks. Calls run in separate tasks, so no other sees it.
        caller = current_agent.get()
        current_agent.set(None if caller is None else caller.model_copy(update={"barred": True}))
        await workflow.execute_activity(
            TOOL_PREFIX + call.name,
            ToolCall(tool=call.name, version="", args=call.args),
            result_type=ToolOutcome,
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=RetryPolicy(maximum_attempts=1),
            summary=call.name,
        )


def _fault(call: AskedCall, fault: str) -> dict[str, Any]:
    return {"role": "tool", "id": call.id, "name": call.name, "fault": fault}


def _approval(note: Note, changed: str) -> dict[str, Any]:
    """What the model sees of the call's approvals: the comments and, under the name in `changed`, the arguments that an approver substituted."""
    comments = [decision.comment for decision in note.decisions if decision.comment is not None]
    arguments = [decision.arguments for decision in note.decisions if decision.arguments is not None]
    shown = ({"comment": "\n".join(comments)} if comments else {}) | ({changed: arguments[-1]} if arguments else {})
    return {"approval": shown} if shown else {}


def _message(error: BaseException) -> str:
    """An error as shown to models and in the closing marker."""
    cause = error.cause if isinstance(error, ActivityError) and error.cause is not None else error
    kind = getattr(cause, "type", None) or type(cause).__name__
    text = str(getattr(cause, "message", None) or cause)
    return f"{kind}: {text}"[:MAX_ERROR]
