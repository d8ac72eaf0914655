"""Agents: catalog, versions, usage and governance."""

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
    """Limits of one call. An omitted or null limit keeps the code's value."""

    requests: Count | None = None
    tool_calls: Annotated[Whole, Field(ge=0, le=10**12)] | None = None
    tokens: Count | None = Field(None, description="Input and output tokens.")
    usd: Annotated[Seconds, Field(gt=0, le=10**9)] | None = Field(None, description="US dollars.")
    seconds: Annotated[Seconds, Field(gt=0, le=10**9)] | None = None
    soft: Annotated[Seconds, Field(gt=0, le=1)] | None = Field(
        None, description="The fraction of each limit at which people are asked to raise it."
    )


class VersionChange(In):
    """Fields shared by requests that change the version in use."""

    note: Prose = ""
    expected_version: Name | None = Field(
        None, description="The version that the caller expects to be in use; `409` if a different one is."
    )


class AgentPut(VersionChange):
    """A new version of an agent. Omitted fields keep the code's values, and no field may exceed what the code allows."""

    models: Annotated[list[Name], Field(min_length=1, max_length=MAX_MODELS)] | None = Field(
        None, description="In order of preference, as `provider:model`."
    )
    instructions: Annotated[str, StringConstraints(max_length=MAX_INSTRUCTIONS)] | None = None
    tools: Annotated[list[Name], Field(max_length=200)] | None = Field(
        None, description="A subset of the code's tools."
    )
    output_schema: dict[str, Any] | None = Field(
        None,
        description="A JSON Schema narrower than the code's. It is refused if it can't be shown to be narrower.",
    )
    limits: LimitsIn | None = None


class AgentUse(VersionChange):
    """Use another version for new calls."""

    version: Name = Field(description="A version of the agent, or `code` for the version defined in its code.")


class LimitsOut(Out):
    """Limits of one call; null means no limit."""

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
    p50_seconds: float | None = Field(
        description="Median duration of completed calls, including time spent waiting for people."
    )
    p95_seconds: float | None
    p50_usd: float | None = Field(description="Median cost in US dollars of completed calls whose price is known.")
    p95_usd: float | None


class AgentStats(Out):
    """Figures for the runs that the caller may see."""

    calls: CallStats
    usage: UsageOut = Field(description="Usage of the model turns that began in the last 24 hours.")
    open: int = Field(description="Calls that are running or waiting now.")


class AgentSummary(Out):
    """An agent in a list."""

    name: str
    title: str
    version: str = Field(description="The version that new calls use.")
    source: Literal["code", "operator"]
    models: list[str] = Field(description="If empty, the worker's default model is used.")
    code_version: str = Field(description="The newest version of its code.")
    state: Literal["active", "disabled"]
    switch: SwitchOut
    timeout_seconds: float = Field(description="Timeout of one model request.")
    retries: int
    task_queue: str
    grid: str
    registered_at: datetime
    served: bool | None = Field(
        description="Whether a live worker polls its task queue and the newest code registered for that queue still includes it; null while "
        "Temporal is unreachable."
    )
    stats: AgentStats


class AgentVersionOut(Out):
    """One immutable version."""

    version: str
    source: Literal["code", "operator"]
    made_for: str = Field(description="The code version that it was validated against.")
    models: list[str]
    instructions: str
    tools: list[str]
    output_schema: dict[str, Any] | None
    limits: LimitsOut
    note: str
    created_by: str | None = Field(description="Null for versions defined in code.")
    created_at: datetime


class AgentTool(Out):
    """A tool that the agent's code makes available to it."""

    name: str
    kind: Literal["tool", "agent"]
    title: str | None
    risk: Risk | None = Field(description="Null for an agent and for an unregistered tool.")
    allowed: bool = Field(description="Whether the version in use includes it.")
    rule: str | None = Field(description="The rule that applies to its calls, as `id@version`.")
    effect: Effect | None = Field(
        description="The rule's effect: whether its calls are allowed, denied, or need an approval."
    )
    approvers: list[str]
    use: Literal["unasked", "asking", "never"] = Field(
        description="`unasked`: the version in use can call it without approval. `asking`: each call needs an approval. `never`: it can't be "
        "called. If a rule depends on the arguments, this is the stricter outcome."
    )
    reason: str = Field(description="Why calls need an approval or are denied.")


class FieldChange(Out):
    """A field that differs between two versions."""

    before: Any
    after: Any
    diff: str | None = Field(None, description="A unified diff; only for instructions.")


class AgentDetail(AgentSummary):
    """An agent with its versions and tools."""

    active: AgentVersionOut | None = Field(description="Null if what its worker registered is not a valid version.")
    chosen_by: str | None = Field(description="Who selected the version in use; null if nobody ever selected one.")
    chosen_at: datetime | None
    outdated: bool = Field(description="Whether the version in use was made for code other than the newest.")
    problems: list[str] = Field(
        description="Parts of the version in use that the newest code does not allow. Tools and limits are reduced to the code's; if the output "
        "schema isn't narrower, calls fail."
    )
    tools: list[AgentTool]
    versions: list[AgentVersionOut] = Field(description="The newest 50.")
    actions: list[Action]


class AgentChanged(AgentDetail):
    """An agent after its version in use was changed."""

    changed: bool
    changes: dict[str, FieldChange] = Field(
        description="Differences from the version that was in use before, by field."
    )


class UsageBucket(UsageOut):
    """Usage in one hour or day."""

    start: datetime


class UsageOver(Out):
    """Usage of model turns over a period, in the runs that the caller may see."""

    since: datetime = Field(serialization_alias="from")
    before: datetime = Field(serialization_alias="to")
    bucket: Literal["hour", "day"]
    total: UsageOut
    items: list[UsageBucket] = Field(
        description="By the time of the model request. Buckets without requests are omitted."
    )


class AgentPolicyIn(RuleIn):
    """Create or replace an agent's own rule, which covers every call it makes. Workers receive it within seconds."""


class AgentCallOut(Out):
    """A call of an agent that is still open."""

    run_id: str
    workflow: str
    reference: str | None
    run_status: RunStatus
    execution_id: str
    event_id: int = Field(description="The event id of its step in that execution.")
    version: str | None = Field(description="The agent version that the call is pinned to.")
    status: StepStatus
    started_at: datetime | None


class AgentGovernance(Out):
    """The rules, the kill switch and the open calls of an agent."""

    name: str
    called: bool = Field(description="Whether any run has called an agent of this name.")
    switch: SwitchOut
    rules: list[PolicySummary] = Field(
        description="The rules in force that match its name, exactly or by a glob; the first 200. Its own rule has the id `agent:` followed by its "
        "name."
    )
    in_flight: list[AgentCallOut] = Field(
        description="Its open calls in runs that the caller may see, newest first; at most 200. If the agent is disabled, each of them ends at its "
        "next model turn or tool call; work already running on a worker is not interrupted."
    )
    note: str | None = Field(description="A warning, for example that nobody can approve.")
    actions: list[Action]
