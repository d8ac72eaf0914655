"""Policies: operators' rules for tools and plain activities."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from agentgrid.api.schemas.common import In, Name, Out, Prose, Seconds
from agentgrid.domain.approvals import DEFAULT_EXPIRY_SECONDS, MAX_EXPIRY_SECONDS, Changes
from agentgrid.domain.policies import Effect
from agentgrid.domain.principals import ANY_APPROVER
from agentgrid.domain.steps import StepKind


class RuleIn(In):
    """The content of a rule."""

    effect: Effect
    approvers: Annotated[list[Name], Field(min_length=1, max_length=50)] = [ANY_APPROVER]
    expires_seconds: Annotated[Seconds, Field(ge=1, le=MAX_EXPIRY_SECONDS)] = DEFAULT_EXPIRY_SECONDS
    reason: Prose = ""
    changes: Changes = Field(
        Changes.ONE_PERSON,
        description="How many people it takes to approve a tool's call with changed arguments: `second_person` requires that another approver "
        "has proposed exactly these.",
    )


class PolicyIn(RuleIn):
    """Create or replace the rule with this id. Workers receive it within seconds."""

    kind: StepKind | None = Field(
        None, description="What the rule is about: `tool` or `activity`. Null: tools and plain activities of that name."
    )
    tool: Name = Field(
        description="A tool's name, the type of a plain activity, or a glob (`*`, `?`, `[...]`) such as `crm_*`."
    )


class PolicyVersionOut(Out):
    """One immutable version of a rule."""

    version: int
    kind: StepKind | None
    tool: str
    effect: Effect
    approvers: list[str]
    expires_seconds: float
    reason: str
    changes: Changes
    withdrawn: bool = Field(description="The rule was withdrawn with this version.")
    created_by: str
    created_at: datetime


class PolicySummary(PolicyVersionOut):
    """A rule at its newest version."""

    rule_id: str = Field(
        description="The id that the operator chose, or `tool:` and the name of the tool that it governs."
    )


class PolicyDetail(PolicySummary):
    """A rule, the tools it governs, and its versions."""

    fits: list[str] = Field(description="Registered tools whose names it matches; the first 200.")
    holds_for: list[str] = Field(
        description="The matching tools to which this rule applies, because no other rule takes precedence."
    )
    note: str | None = Field(description="A warning about the rule, for example that it matches no registered tool.")
    versions: list[PolicyVersionOut] = Field(description="The newest 50.")
