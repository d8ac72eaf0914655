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
    title: RuleTitle = Field("", description="What the rule says, in a few words for approvers.")
    reason: Prose = ""
    changes: Changes = Field(
        Changes.ONE_PERSON,
        description="How many people it takes to approve a tool's call with changed arguments: `second_person` requires that another approver "
        "has proposed exactly these.",
    )
    expected_version: Whole | None = Field(
        None,
        ge=0,
        description="The version of the rule that the caller has seen, 0 for none in force: `409` if it is another by now.",
    )


class ConditionIn(In):
    """One condition on the call's JSON arguments."""

    argument: Name = Field(
        description="The argument's name, or a dotted path into it, such as `customer.country`. A number is an index into a list."
    )
    op: Literal["==", "!=", ">", ">=", "<", "<=", "in", "not in", "contains", "exists", "matches"]
    value: Any = Field(
        True,
        description="A text, number, true, false or null; for `in` and `not in` a list of them; for `exists` true or false; for `matches` a regular "
        "expression, which is searched for.",
    )


class ConditionOut(Out):
    """One condition on the call's JSON arguments."""

    argument: str
    op: str
    value: Any


class PolicyIn(RuleIn):
    """Create or replace the rule with this id. Workers receive it within seconds."""

    kind: StepKind | None = Field(
        None, description="What the rule is about: `tool` or `activity`. Null: tools and plain activities of that name."
    )
    tool: Name | None = Field(
        None,
        description="A tool's name, the type of a plain activity, or a glob (`*`, `?`, `[...]`) such as `crm_*`. May be left out if `agent` is given: "
        "`*`.",
    )
    agent: Name | None = Field(
        None,
        description="An agent's name or a glob: the rule is about the calls that it makes. Null: all calls, those of agents and of workflow "
        "code.",
    )
    when: list[ConditionIn] = Field(
        [],
        max_length=MAX_CONDITIONS,
        description="What must hold for the call's arguments; all of it. If that can't be judged, because an argument is missing or has another type, "
        "a rule that allows doesn't apply, and one that denies or requires approval does.",
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
    withdrawn: bool = Field(description="The rule was withdrawn with this version.")
    created_by: str
    created_at: datetime


class PolicySummary(PolicyVersionOut):
    """A rule at its newest version."""

    rule_id: str = Field(
        description="The id that the operator chose, or `tool:` or `agent:` and the name of what it governs."
    )


class PolicyDetail(PolicySummary):
    """A rule, the tools it governs, and its versions."""

    fits: list[str] = Field(description="Registered tools whose names it matches; the first 200.")
    holds_for: list[str] = Field(
        description="The matching tools to which this rule applies, because no other rule takes precedence."
    )
    note: str | None = Field(description="A warning about the rule, for example that it matches no registered tool.")
    versions: list[PolicyVersionOut] = Field(description="The newest 50.")


class PolicyPreview(In):
    """A rule for one tool, or for all calls of one agent, before it is put. Nothing is changed."""

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
    """A tool whose calls would meet something else."""

    tool: str
    before: RuleApplied
    after: RuleApplied


class PolicyPreviewed(Out):
    """What the rule would change."""

    changes: list[RuleChange] = Field(
        description="The tools whose calls would meet something else; the first 200. Where a rule depends on the arguments, the stricter one."
    )
    total: int
    asked_again: int = Field(
        description="Pending approvals under a rule that would no longer apply, in runs that the caller may see: their calls are judged by the "
        "new rule, and asked about again where it asks."
    )
    relaxes: list[str] = Field(
        description="What the rule relaxes: tools, activities and globs; the first 200. If there are any, a second administrator must confirm the "
        "change, where there is one."
    )


class PolicyTest(In):
    """A call to try the rules on. Nothing is called."""

    tool: Name = Field(
        description="A tool's name or the type of a plain activity; for the kind `model`, the agent whose model turn it is."
    )
    kind: StepKind | None = Field(
        None,
        description="`tool`, `activity` or `model`; by default `tool` if such a tool is registered, else `activity`.",
    )
    agent: Name | None = Field(
        None,
        description="The agent that makes the call; null: workflow code. Whether it may use the tool at all is not considered: a worker also "
        "denies the tools that the agent's code or version doesn't list.",
    )
    arguments: Any = Field(
        None, description="The call's JSON arguments; null: not known, so no condition can be judged."
    )


class ConsideredOut(Out):
    """A rule that is about the call, and what became of it."""

    rule: str = Field(description="`id@version`.")
    tool: str
    agent: str | None
    when: list[ConditionOut]
    effect: Effect
    holds: bool | None = Field(description="Whether its conditions hold; null if that can't be judged.")
    applies: bool
    because: str


class PolicyTested(Out):
    """What would happen to the call."""

    kind: StepKind
    risk: Risk = Field(description="What is not a registered tool counts as reading.")
    rule: str = Field(
        description="The rule that applies, `id@version`; ids that begin with `default:` are built-in rules."
    )
    effect: Effect
    approvers: list[str]
    reason: str
    disabled: str | None = Field(
        description="The kill switch of the tool or the agent that denies the call regardless of the rules; null if none is on. A workflow's is "
        "not considered."
    )
    considered: list[ConsideredOut] = Field(description="The rules that are about the call; at most 200.")
