"""Agents: a model, instructions, tools, an output type and a budget. Workflows call them like tools.

The loop (`sdk/agent_loop.py`) is workflow code. A model turn is one activity, `model.<agent>`; a tool call is the tool's own activity, and passes
the gate like every call. Nothing here imports a provider: providers are in the worker, behind the activity.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar, overload

from pydantic import TypeAdapter, ValidationError
from temporalio import workflow
from temporalio.exceptions import ApplicationError

from agentgrid.domain.activities import MODEL_PREFIX
from agentgrid.domain.agents import AgentSpec, Limits
from agentgrid.domain.principals import ANY_APPROVER
from agentgrid.protocol import ErrorType
from agentgrid.sdk.agent_loop import converse
from agentgrid.sdk.agent_sessions import AgentSession
from agentgrid.sdk.schema import adapter_of, message_of, version_of
from agentgrid.sdk.tools import Tool

Out = TypeVar("Out")

PROMPT_SCHEMA = {
    "type": "object",
    "properties": {"prompt": {"type": "string", "description": "The task, with all the context that the agent needs."}},
    "required": ["prompt"],
    "additionalProperties": False,
}
"""The arguments of an agent when another agent calls it."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What one agent call may use; None means no limit.

    At `soft`, a share of each limit, an approval to raise the limit is requested. At the limit, the run pauses with the reason `budget_exceeded`;
    resuming it grants the same amount again. tokens: input and output. seconds: wall time, including waits for approvals but not pauses.
    """

    requests: int | None = 20
    tool_calls: int | None = 50
    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None
    soft: float | None = None
    approvers: tuple[str, ...] = (ANY_APPROVER,)
    """Who may raise it."""

    def limits(self) -> Limits:
        """The limits in the form of an agent's version."""
        return Limits(
            requests=self.requests,
            tool_calls=self.tool_calls,
            tokens=self.tokens,
            usd=self.usd,
            seconds=self.seconds,
            soft=self.soft,
        )


class Agent(Generic[Out]):
    """A registered agent. Created by `agentgrid.agent`."""

    def __init__(
        self,
        name: str,
        *,
        title: str,
        models: tuple[str, ...],
        instructions: str,
        tools: Sequence[Tool[..., Any] | Agent[Any]],
        output: type[Out],
        budget: Budget | None,
        timeout: timedelta,
        retries: int,
    ) -> None:
        self.name = name
        self.title = title
        self.models = models
        self.instructions = inspect.cleandoc(instructions)
        self.tools = tuple(tools)
        self.output = output
        self.budget = budget
        self.timeout = timeout
        self.retries = retries
        frame = sys._getframe(2)
        self.module, self.file, self.line = frame.f_globals["__name__"], frame.f_code.co_filename, frame.f_lineno

    @property
    def activity_type(self) -> str:
        """The activity type of its model turns."""
        return MODEL_PREFIX + self.name

    @functools.cached_property
    def adapter(self) -> TypeAdapter[Out]:
        """The type adapter of its output. Raises pydantic's errors for a type that can't be represented in JSON."""
        return adapter_of(self.output)

    @functools.cached_property
    def output_schema(self) -> dict[str, Any] | None:
        """The JSON Schema of its output; None if the output is text."""
        return None if self.output is str else self.adapter.json_schema()

    @property
    def tool_names(self) -> list[str]:
        """The names under which the model sees its tools and agents."""
        return [tool.name for tool in self.tools]

    @functools.cached_property
    def version(self) -> str:
        """A digest of its definition in code."""
        limits = dataclasses.asdict(self.limits)
        return version_of(self.name, list(self.models), self.instructions, self.tool_names, self.output_schema, limits)

    @property
    def limits(self) -> Limits:
        """Its budget in the form of a version."""
        return (self.budget or Budget()).limits()

    def spec(self) -> AgentSpec:
        """Its version from the code. If it names no model, the worker adds its default model."""
        return AgentSpec(
            agent=self.name,
            version=self.version,
            models=list(self.models),
            instructions=self.instructions,
            tools=self.tool_names,
            output_schema=self.output_schema,
            limits=self.limits,
        )

    async def run(self, prompt: str) -> Out:
        """Run the agent durably until it has an answer. Only in a workflow, on a worker with AgentGridPlugin.

        Raises a non-retryable ApplicationError of type `AgentDisabled`, `ModelError` if every model failed, `AgentFailed` if the conversation is
        too long or the answer doesn't fit the output type, or `ApprovalRejected` or `ApprovalExpired` if nobody raised its budget.
        """
        if not workflow.in_workflow():
            raise RuntimeError(
                f"the agent {self.name} can only run in a workflow: call it there, or test it with agentgrid.testing"
            )
        return self.typed(await converse(self, prompt))

    def session(self, state: dict[str, Any] | None = None, *, budget: Budget | None = None) -> AgentSession[Out]:
        """A conversation over several calls. Only in a workflow.

        state: what `AgentSession.state` returned in the previous execution, to continue that conversation. budget: for all calls of the session
        together, in addition to the agent's own budget for each call. Raises a non-retryable ApplicationError if the state is invalid or another
        agent's.
        """
        limits = None if budget is None else budget.limits()
        return AgentSession(self, state, limits=limits, approvers=() if budget is None else budget.approvers)

    def typed(self, answer: Any) -> Out:
        """Convert a JSON answer to the output type. Raises a non-retryable ApplicationError."""
        try:
            return self.adapter.validate_python(answer)
        except ValidationError as error:
            # It came from a worker with different code. This fails the run; any other error would retry the workflow task forever.
            raise ApplicationError(
                f"{self.name}: the answer does not fit its output type: {message_of(error)}",
                type=ErrorType.AGENT_FAILED,
                non_retryable=True,
            ) from None

    def __repr__(self) -> str:
        return f"<Agent {self.name}>"


@overload
def agent(
    name: str,
    *,
    instructions: str,
    title: str = "",
    model: str | Sequence[str] | None = None,
    tools: Sequence[Tool[..., Any] | Agent[Any]] = (),
    budget: Budget | None = None,
    timeout: timedelta = timedelta(minutes=2),
    retries: int = 4,
) -> Agent[str]: ...


@overload
def agent(
    name: str,
    *,
    instructions: str,
    output: type[Out],
    title: str = "",
    model: str | Sequence[str] | None = None,
    tools: Sequence[Tool[..., Any] | Agent[Any]] = (),
    budget: Budget | None = None,
    timeout: timedelta = timedelta(minutes=2),
    retries: int = 4,
) -> Agent[Out]: ...


def agent(
    name: str,
    *,
    instructions: str,
    output: Any = str,
    title: str = "",
    model: str | Sequence[str] | None = None,
    tools: Sequence[Tool[..., Any] | Agent[Any]] = (),
    budget: Budget | None = None,
    timeout: timedelta = timedelta(minutes=2),
    retries: int = 4,
) -> Agent[Any]:
    """Register an agent. Call it in a workflow with `await triager.run("…")`.

    model: `provider:model`, such as `openai:gpt-5` (OpenAI's Responses API), `openai-chat:…` (chat completions), `anthropic:…` or `offline`; or
    several, in the order in which they are tried. Defaults to the worker's AGENTGRID_MODEL.
    tools: the only tools that the model may call; they may include other agents. output: the type of the answer; text by default.
    budget: required. timeout: maximum duration of one model request. retries: attempts after the first, per model.

    `agentgrid check` and worker start report all mistakes at once.
    """
    models = () if model is None else (model,) if isinstance(model, str) else tuple(model)
    return Agent(
        name,
        title=title or name,
        models=models,
        instructions=instructions,
        tools=tools,
        output=output,
        budget=budget,
        timeout=timeout,
        retries=retries,
    )
