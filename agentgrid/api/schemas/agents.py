"""Agents: the catalog, their versions, what they used, and how they are governed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from agentgrid.api.schemas.common import Action, In, Name, Out, Prose, Seconds, SwitchOut, Whole
from agentgrid.api.schemas.policies import PolicySummary, RuleIn
from agentgrid.api.schemas.steps import UsageOut
from agentgrid.domain.agent_versions import MAX_INSTRUCTIONS, MAX_MODELS
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Risk
from agentgrid.domain.runs import RunStatus
from agentgrid.domain.steps import StepStatus

Count = Annotated[Whole, Field(ge=1, le=10**12)]


class LimitsIn(In):
    """What one call may use. A limit that is omitted or null is the code's."""

    requests: Count | None = None
    tool_calls: Annotated[Whole, Field(ge=0, le=10**12)] | None = None
    tokens: Count | None = Field(None, description="Input and output tokens.")
    usd: Annotated[Seconds, Field(gt=0, le=10**9)] | None = Field(None, description="US dollars.")
    seconds: Annotated[Seconds, Field(gt=0, le=10**9)] | None = None
    soft: Annotated[Seconds, Field(gt=0, le=1)] | None = Field(
        None, description="The share of each limit at which people are asked to raise it."
    )


class Choosing(In):
    """Why, and what the caller has seen."""

    note: Prose = ""
    expected_version: Name | None = Field(
        None, description="The version that the caller has seen in use: `409` if another one is in use by now."
    )


class AgentPut(Choosing):
    """A new version of an agent. Omitted fields are as in the code, and nothing may exceed what the code allows."""

    models: Annotated[list[Name], Field(min_length=1, max_length=MAX_MODELS)] | None = Field(
        None, description="In order of preference, as `provider:model`."
    )
    instructions: Annotated[str, StringConstraints(max_length=MAX_INSTRUCTIONS)] | None = None
    tools: Annotated[list[Name], Field(max_length=200)] | None = Field(
        None, description="A subset of the code's tools."
    )
    output_schema: dict[str, Any] | None = Field(
        None,
        description="A JSON Schema that is narrower than the code's. What can't be shown to be narrower is refused.",
    )
    limits: LimitsIn | None = None


class AgentUse(Choosing):
    """Use another version for new calls."""

    version: Name = Field(description="A version of the agent, or `code` for the version in its code.")


class LimitsOut(Out):
    """What one call may use; null is no limit."""

    requests: int | None
    tool_calls: int | None
    tokens: int | None
    usd: float | None
    seconds: float | None
    soft: float | None


class CallStats(Out):
    """Calls that began in the last 24 hours."""

    completed: int
    failed: int
    cancelled: int
    p50_seconds: float | None = Field(description="Of completed calls, with their waits for people.")
    p95_seconds: float | None
    p50_usd: float | None = Field(description="Of completed calls whose price is known, in US dollars.")
    p95_usd: float | None


class AgentStats(Out):
    """Of the runs that the caller may see."""

    calls: CallStats
    usage: UsageOut = Field(description="Of the model turns that began in the last 24 hours.")
    open: int = Field(description="Calls that are running or waiting now.")


class AgentSummary(Out):
    """An agent in a list."""

    name: str
    title: str
    version: str = Field(description="The version that new calls use.")
    source: Literal["code", "operator"]
    models: list[str] = Field(description="Empty: the worker's default model.")
    code_version: str = Field(description="The newest version of its code.")
    state: Literal["active", "disabled"]
    switch: SwitchOut
    timeout_seconds: float = Field(description="Of one model request.")
    retries: int
    task_queue: str
    grid: str
    registered_at: datetime
    served: bool | None = Field(
        description="Whether a live worker polls its task queue and the newest code registered for that queue still has it; "
        "null while Temporal doesn't answer."
    )
    stats: AgentStats


class AgentVersionOut(Out):
    """One immutable version."""

    version: str
    source: Literal["code", "operator"]
    made_for: str = Field(description="The version of the code that it was checked against.")
    models: list[str]
    instructions: str
    tools: list[str]
    output_schema: dict[str, Any] | None
    limits: LimitsOut
    note: str
    created_by: str | None = Field(description="Null for the code's versions.")
    created_at: datetime


class AgentTool(Out):
    """A tool that the agent's code gives it."""

    name: str
    kind: Literal["tool", "agent"]
    title: str | None
    risk: Risk | None = Field(description="Null for an agent, and for a tool that is not registered.")
    allowed: bool = Field(description="Whether the version in use has it.")
    rule: str | None = Field(description="The rule that applies to its calls, as `id@version`.")
    effect: Effect | None = Field(
        description="The rule's effect: whether its calls are allowed, denied, or need an approval."
    )
    approvers: list[str]
    use: Literal["unasked", "asking", "never"] = Field(
        description="Whether the version in use calls it without asking people, after asking them, or not at all. Where a rule depends on the "
        "arguments, the stricter one."
    )
    reason: str = Field(description="Why it asks, or never may.")


class FieldChange(Out):
    """A field that differs."""

    before: Any
    after: Any
    diff: str | None = Field(None, description="Of instructions: a unified diff.")


class AgentDetail(AgentSummary):
    """An agent with its versions and tools."""

    active: AgentVersionOut | None = Field(description="Null if what its worker registered is no version.")
    chosen_by: str | None = Field(description="Who chose the version in use; null if nobody ever did.")
    chosen_at: datetime | None
    outdated: bool = Field(description="The version in use was made for other code than the newest.")
    problems: list[str] = Field(
        description="What of the version in use the newest code does not allow: a tool or a limit is reduced to the code's, and for an output "
        "that isn't narrower calls fail."
    )
    tools: list[AgentTool]
    versions: list[AgentVersionOut] = Field(description="The newest 50.")
    actions: list[Action]


class AgentChanged(AgentDetail):
    """An agent after a change of its version."""

    changed: bool
    changes: dict[str, FieldChange] = Field(
        description="What differs from the version that was in use before, by field."
    )


class UsageBucket(UsageOut):
    """What was used in an hour or a day."""

    start: datetime


class UsageOver(Out):
    """What model turns used in a period, in the runs that the caller may see."""

    since: datetime = Field(serialization_alias="from")
    before: datetime = Field(serialization_alias="to")
    bucket: Literal["hour", "day"]
    total: UsageOut
    items: list[UsageBucket] = Field(
        description="By the time of the request to the model; those without any are left out."
    )


class AgentPolicyIn(RuleIn):
    """Create or replace an agent's own rule, about all calls that it makes. Workers receive it within seconds."""


class AgentCallOut(Out):
    """A call of an agent that has not ended."""

    run_id: str
    workflow: str
    reference: str | None
    run_status: RunStatus
    execution_id: str
    event_id: int = Field(description="Its step, in that execution.")
    version: str | None = Field(description="The version of the agent that the call is pinned to.")
    status: StepStatus
    started_at: datetime | None


class AgentGovernance(Out):
    """What governs an agent."""

    name: str
    called: bool = Field(description="Whether some run has called an agent of this name.")
    switch: SwitchOut
    rules: list[PolicySummary] = Field(
        description="The rules in force that name it, by itself or by a glob; the first 200. Its own has the id `agent:` and its name."
    )
    in_flight: list[AgentCallOut] = Field(
        description="Its calls that have not ended, in runs that the caller may see, newest first; at most 200. Disabled, each of them ends "
        "at its next model turn or tool call; what a worker is running is not interrupted."
    )
    note: str | None = Field(description="A warning, for example that nobody can approve.")
    actions: list[Action]
