"""Agents: how they are governed."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from agentgrid.api.schemas.common import Action, Out, SwitchOut
from agentgrid.api.schemas.policies import PolicySummary, RuleIn
from agentgrid.domain.runs import RunStatus
from agentgrid.domain.steps import StepStatus


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
