"""Tools: the catalog, and the rule for each tool."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from agentgrid.api.schemas.common import Action, Out, SwitchOut
from agentgrid.api.schemas.policies import RuleIn
from agentgrid.domain.approvals import Changes
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Risk


class ToolPolicyIn(RuleIn):
    """Create or replace the rule for one tool. Workers receive it within seconds."""


class ToolPolicyOut(Out):
    """The rule that applies to a tool now."""

    rule: str = Field(description="`id@version`; ids that begin with `default:` are built-in rules.")
    tool: str = Field(description="The name or glob that the rule names.")
    effect: Effect
    approvers: list[str]
    expires_seconds: float
    title: str = Field(description="Empty if its author didn't set one.")
    reason: str
    also: list[str] = Field(
        description="Rules for specific agents or arguments, as `id@version`, that may apply instead. `POST /api/v1/policies/test` shows which one "
        "does."
    )
    changes: Changes
    created_by: str | None = None
    created_at: datetime | None = None


class ToolCalls(Out):
    """Calls within a period, in runs that the caller may see."""

    calls: int
    failed: int = Field(
        description="Calls that failed permanently. Excludes calls that succeeded on a retry and calls whose approval was rejected or expired."
    )
    p95_seconds: float | None = Field(
        description="95th percentile of completed calls, from the start of the last attempt."
    )


class ToolVersionOut(Out):
    """A version that was called in the last 7 days."""

    version: str
    calls: int
    last_called_at: datetime


class ToolSummary(Out):
    """A tool in a list."""

    name: str
    version: str
    title: str
    description: str
    risk: Risk
    tags: list[str]
    timeout_seconds: float
    retries: int
    local: bool
    idempotent: bool
    reach: list[str] = Field(description="What a call affects, in the words of the tool's author; at most 6 phrases.")
    undoable: bool | None = Field(description="Whether its effect can be undone; null if its author doesn't say.")
    asks: str | None = Field(description="The template of its approvals' titles, with argument names in braces.")
    task_queue: str
    grid: str
    registered_at: datetime
    served: bool | None = Field(
        description="Whether a live worker polls its task queue and the newest code registered for that queue still includes it; null while "
        "Temporal is unreachable."
    )
    policy: ToolPolicyOut
    switch: SwitchOut
    last_24h: ToolCalls


class ToolDetail(ToolSummary):
    """A tool with its schemas."""

    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    last_7d: ToolCalls
    versions: list[ToolVersionOut] = Field(description="Most recently called first; at most 20.")
    note: str | None = Field(description="A warning about the rule in force, for example that nobody can approve.")
    actions: list[Action]
