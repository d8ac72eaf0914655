"""Policies: operators' rules for tools and plain activities."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from agentgrid.api.schemas.common import In, Name, Out, Prose, Seconds, Whole
from agentgrid.domain.approvals import DEFAULT_EXPIRY_SECONDS, MAX_EXPIRY_SECONDS, Changes
from agentgrid.domain.conditions import MAX_CONDITIONS
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Risk
from agentgrid.domain.principals import ANY_APPROVER
from agentgrid.domain.steps import StepKind

RuleTitle = Annotated[str, StringConstraints(max_length=120, pattern=r"^[^\x00-\x1f\x7f]*$")]


Approvers = Annotated[list[Name], Field(min_length=1, max_length=50)]
Expires = Annotated[Seconds, Field(ge=1, le=MAX_EXPIRY_SECONDS)]


class RuleIn(In):
    """The content of a rule."""

    effect: Effect
    approvers: Approvers = [ANY_APPROVER]
    expires_seconds: Expires = DEFAULT_EXPIRY_SECONDS
    title: RuleTitle = Field("", description="What the rule says, in a few words, for approvers.")
    reason: Prose = ""
    changes: Changes = Field(
        Changes.ONE_PERSON,
        description="How many people must approve a tool call with changed arguments. With `second_person`, another approver must have proposed "
        "exactly the same arguments.",
    )
    expected_version: Whole | None = Field(
        None,
        ge=0,
        description="The version of the rule that the caller expects, or 0 if none should be in force; `409` if it differs.",
    )


class ConditionIn(In):
    """One condition on the call's JSON arguments."""

    argument: Name = Field(
        description="The argument's name, or a dotted path into it, such as `customer.country`. A number is a list index."
    )
    op: Literal["==", "!=", ">", ">=", "<", "<=", "in", "not in", "contains", "exists", "matches"]
    value: Any = Field(
        True,
        description="A string, number, boolean or null; for `in` and `not in` a list of these; for `exists` a boolean; for `matches` a regular "
        "expression, which may match anywhere in the text.",
    )


class ConditionOut(Out):
    """One condition on the call's JSON arguments."""

    argument: str
    op: str
    value: Any


class PolicyIn(RuleIn):
    """Create or replace the rule with this id. Workers receive it within seconds."""

    kind: StepKind | None = Field(
        None,
        description="What the rule covers: `tool` or `activity`. Null covers both tools and plain activities of that name.",
    )
    tool: Name | None = Field(
        None,
        description="A tool's name, the type of a plain activity, or a glob (`*`, `?`, `[...]`) such as `crm_*`. Can be omitted if `agent` is "
        "given; it is then `*`.",
    )
    agent: Name | None = Field(
        None,
        description="An agent's name or a glob: the rule covers only the calls it makes. Null covers all calls, by agents and by workflow code.",
    )
    when: list[ConditionIn] = Field(
        [],
        max_length=MAX_CONDITIONS,
        description="Conditions on the call's arguments, all of which must hold. If one can't be evaluated because an argument is missing or has "
        "another type, a rule that allows doesn't apply, and a rule that denies or requires approval does.",
    )

    @model_validator(mode="after")
    def _names_something(self) -> PolicyIn:
        if self.tool is None and self.agent is None:
            raise ValueError("must name a tool, an agent or both")
        return self


class PolicyVersionOut(Out):
    """One immutable version of a rule."""

    version: int
    kind: StepKind | None
    tool: str
    agent: str | None
    when: list[ConditionOut]
    effect: Effect
    approvers: list[str]
    expires_seconds: float
    title: str
    reason: str
    changes: Changes
    withdrawn: bool = Field(description="Whether the rule was withdrawn by this version.")
    created_by: str
    created_at: datetime


class PolicySummary(PolicyVersionOut):
    """A rule at its newest version."""

    rule_id: str = Field(
        description="The id chosen by the operator, or `tool:` or `agent:` followed by the name of what it governs."
    )


class PolicyDetail(PolicySummary):
    """A rule, the tools it governs, and its versions."""

    fits: list[str] = Field(description="Registered tools whose names match; the first 200.")
    holds_for: list[str] = Field(
        description="The matching tools for which this rule applies because no other rule takes precedence."
    )
    note: str | None = Field(description="A warning about the rule, for example that it matches no registered tool.")
    versions: list[PolicyVersionOut] = Field(description="The newest 50.")


class PolicyPreview(In):
    """A rule for one tool, or for all calls of one agent, to preview. Nothing is changed."""

    tool: Name | None = None
    agent: Name | None = None
    effect: Effect
    approvers: Approvers = [ANY_APPROVER]
    expires_seconds: Expires = DEFAULT_EXPIRY_SECONDS
    changes: Changes = Changes.ONE_PERSON

    @model_validator(mode="after")
    def _names_one(self) -> PolicyPreview:
        if (self.tool is None) == (self.agent is None):
            raise ValueError("must name either a tool or an agent")
        return self


class RuleApplied(Out):
    """The rule that applies to a tool's calls."""

    rule: str = Field(description="`id@version`.")
    effect: Effect
    approvers: list[str]


class RuleChange(Out):
    """A tool whose calls would be treated differently."""

    tool: str
    before: RuleApplied
    after: RuleApplied


class PolicyPreviewed(Out):
    """What the rule would change."""

    changes: list[RuleChange] = Field(
        description="The tools whose calls would be treated differently; the first 200. If a rule depends on the arguments, the stricter "
        "outcome is shown."
    )
    total: int
    asked_again: int = Field(
        description="The number of pending approvals under a rule that would no longer apply, in runs that the caller may see. Their calls are "
        "judged by the new rule, which opens a new approval if it requires one."
    )
    relaxes: list[str] = Field(
        description="What the rule relaxes: tools, activities and globs; the first 200. If there are any, a second administrator, if one exists, "
        "must confirm the change."
    )


class PolicyTest(In):
    """A call to test the rules with. Nothing is called."""

    tool: Name = Field(
        description="A tool's name or the type of a plain activity; for the kind `model`, the agent that takes the model turn."
    )
    kind: StepKind | None = Field(
        None,
        description="`tool`, `activity` or `model`. Defaults to `tool` if a tool of that name is registered, otherwise `activity`.",
    )
    agent: Name | None = Field(
        None,
        description="The agent that makes the call; null for workflow code. Whether the agent may use the tool at all is not considered: a worker "
        "also denies tools that the agent's code or version doesn't list.",
    )
    arguments: Any = Field(
        None, description="The call's JSON arguments. If null, they are unknown and no condition can be evaluated."
    )


class ConsideredOut(Out):
    """A rule that covers the call, and whether it applies."""

    rule: str = Field(description="`id@version`.")
    tool: str
    agent: str | None
    when: list[ConditionOut]
    effect: Effect
    holds: bool | None = Field(description="Whether its conditions hold; null if they can't be evaluated.")
    applies: bool
    because: str


class PolicyTested(Out):
    """What would happen to the call."""

    kind: StepKind
    risk: Risk = Field(description="`read` for anything that is not a registered tool.")
    rule: str = Field(
        description="The rule that applies, `id@version`; ids that begin with `default:` are built-in rules."
    )
    effect: Effect
    approvers: list[str]
    reason: str
    disabled: str | None = Field(
        description="The kill switch of the tool or agent that denies the call regardless of the rules; null if neither is on. A workflow's kill "
        "switch is not considered."
    )
    considered: list[ConsideredOut] = Field(description="The rules that cover the call; at most 200.")
