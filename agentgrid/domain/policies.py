"""Policy: operators' rules and kill switches, and how they apply to a call. Pure; the worker's interceptors evaluate it before every call.

A kill switch that is on denies every call, regardless of the rules. Of the rules that match a call, one applies, in the order of decision 0036,
which `prevailing` implements. If no rule matches, the built-in rule for the tool's risk (`BY_RISK`) applies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, computed_field, model_validator

from agentgrid.domain.activities import about
from agentgrid.domain.approvals import DEFAULT_EXPIRY_SECONDS, Changes
from agentgrid.domain.conditions import Condition, all_hold
from agentgrid.domain.effects import Effect
from agentgrid.domain.principals import ANY_APPROVER
from agentgrid.domain.steps import StepKind
from agentgrid.domain.switches import SwitchKind, Thing


class Risk(StrEnum):
    """What a tool can do to the outside world, in ascending order."""

    READ = "read"
    WRITE = "write"
    DESTRUCTIVE = "destructive"

    @property
    def writes(self) -> bool:
        """Whether it changes anything."""
        return self is not Risk.READ


TOOL_RULE = "tool:"
"""Prefix of the id of a tool's own rule, followed by the tool's name."""

AGENT_RULE = "agent:"
"""Prefix of the id of an agent's own rule, followed by the agent's name."""

BUILT_IN_RULE = "default:"
"""Prefix of the ids of the fixed rules in `BY_RISK`, followed by the risk."""


_STRICTNESS = {Effect.ALLOW: 0, Effect.REQUIRE_APPROVAL: 1, Effect.DENY: 2}


class Rule(BaseModel):
    """An operator's rule for calls by workflows and agents, matched by name or glob.

    A worker can't judge a rule with an unknown field, and treats it as one whose conditions can't be judged. So a new field must be left out of
    the snapshot when it has its default, and the default must mean the behaviour before the field existed.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    rule_id: str
    version: int = 1
    kind: str | None = None
    """The kind of call it applies to, a `StepKind` such as `tool` or `activity`. None: tools and plain activities.

    It is a text because a worker must be able to read a snapshot whose rules name unknown kinds.
    """
    tool: str
    """The name of a tool, the type of a plain activity, a name of the given kind, or a glob such as `crm_*`."""
    agent: str | None = Field(default=None, exclude_if=lambda agent: agent is None)
    """The agent whose calls it applies to: a name or a glob. None: all calls, by agents and by workflow code."""
    when: tuple[Condition, ...] = Field(default=(), exclude_if=lambda when: not when)
    """Conditions on the call's arguments, all of which must hold."""
    effect: Effect
    approvers: tuple[str, ...] = (ANY_APPROVER,)
    expires_seconds: float = DEFAULT_EXPIRY_SECONDS
    reason: str = ""
    changes: Changes = Field(default=Changes.ONE_PERSON, exclude_if=lambda changes: changes is Changes.ONE_PERSON)
    """How many people it takes to approve a tool call with changed arguments."""

    @property
    def reference(self) -> str:
        """How approvals and histories name this rule: `id@version`."""
        return f"{self.rule_id}@{self.version}"

    def fits(self, name: str, kind: StepKind = StepKind.TOOL) -> bool:
        """Whether it applies to calls of this kind and name."""
        return kind in about(self.kind) and self.matches(name)

    def matches(self, name: str) -> bool:
        """Whether its glob matches the name, for any kind."""
        return self.tool == name or fnmatchcase(name, self.tool)

    def is_about(self, agent: str | None) -> bool:
        """Whether it applies to the calls of this agent, or for None to calls by workflow code."""
        return self.agent is None or (agent is not None and (self.agent == agent or fnmatchcase(agent, self.agent)))

    def holds(self, arguments: Any) -> bool | None:
        """Whether its conditions hold; None if that can't be judged."""
        return None if self.model_extra else all_hold(self.when, arguments)


BY_RISK: dict[Risk, Rule] = {
    Risk.READ: Rule(rule_id="default:read", tool="*", effect=Effect.ALLOW),
    Risk.WRITE: Rule(rule_id="default:write", tool="*", effect=Effect.ALLOW),
    Risk.DESTRUCTIVE: Rule(rule_id="default:destructive", tool="*", effect=Effect.REQUIRE_APPROVAL),
}
"""The built-in rules, which apply if no other rule does: destructive tools require approval."""


OLDER = {"disabled_tools": SwitchKind.TOOL, "disabled_workflows": SwitchKind.WORKFLOW}
"""The fields that preceded `disabled` in older snapshots, with their kinds."""


def plain_title(rule_id: str) -> str:
    """The title of a rule whose author gave it none."""
    if rule_id.startswith(BUILT_IN_RULE):
        return f"{rule_id.removeprefix(BUILT_IN_RULE).capitalize()} tools require approval"
    if rule_id.startswith(TOOL_RULE):
        return f"The rule for the tool {rule_id.removeprefix(TOOL_RULE)}"
    if rule_id.startswith(AGENT_RULE):
        return f"The rule for the agent {rule_id.removeprefix(AGENT_RULE)}"
    return f"The rule {rule_id}"


class KeyStatus(StrEnum):
    """The status of a signing key."""

    IN_FORCE = "in_force"
    """New terms name it."""
    RETIRED = "retired"
    """New terms don't name it; decisions under older terms that do are still valid."""
    REVOKED = "revoked"
    """Nothing that it signed is valid."""


class Snapshot(BaseModel):
    """The document through which policy reaches workers."""

    model_config = ConfigDict(frozen=True)

    version: int
    made_at: AwareDatetime
    rules: tuple[Rule, ...] = ()
    disabled: dict[str, frozenset[str]] = Field(default_factory=dict)
    """Names whose kill switch is on, by kind. `disabled_tools` and `disabled_workflows` are written for older workers and read from older snapshots."""
    agents: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """The agent versions that operators chose, by agent name, each in the form of an `AgentVersion`. They are parsed when a call opens, so that a
    worker that can't use one still has its policy."""
    revoked_principals: frozenset[str] = frozenset()
    revoked_keys: frozenset[str] = frozenset()
    """Ids of the signing keys whose decisions no longer count."""
    revoked_decisions: frozenset[str] = frozenset()
    """Command ids of recent decisions made with an API key that has since been revoked."""
    approver_entries: dict[str, frozenset[str]] = Field(default_factory=dict)
    """Who may currently decide: the name of each human approver, with the entries that allow it (their name, groups, `role:approver`).

    The worker checks it again before the effect, so removing a role or group between decision and effect stops the effect.
    """
    public_keys: dict[str, str] = Field(default_factory=dict)
    """The signing keys in force, base64 by key id."""
    retired_keys: dict[str, str] = Field(default_factory=dict)
    """Retired signing keys, base64 by key id. New terms don't name them; approvals opened earlier can still be decided with them."""

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(disabled := values.get("disabled", {}), dict):
            return values
        older = {kind: values[name] for name, kind in OLDER.items() if name in values}
        rest = {name: value for name, value in values.items() if name not in OLDER}
        return rest | {"disabled": {kind: names for kind, names in (disabled | older).items() if names}}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def disabled_tools(self) -> frozenset[str]:
        """The tools whose kill switch is on."""
        return self.disabled.get(SwitchKind.TOOL, frozenset())

    @computed_field  # type: ignore[prop-decorator]
    @property
    def disabled_workflows(self) -> frozenset[str]:
        """The workflows whose kill switch is on."""
        return self.disabled.get(SwitchKind.WORKFLOW, frozenset())

    def refusal(self, *things: Thing) -> str | None:
        """Why the first disabled one of these things can't be used, or None if none is disabled."""
        off = next((thing for thing in things if thing.name in self.disabled.get(thing.kind, frozenset())), None)
        return None if off is None else off.refusal()

    @property
    def keys_in_force(self) -> dict[str, str]:
        """The public keys that new terms name."""
        return self._unrevoked(self.public_keys)

    @property
    def keys_that_count(self) -> dict[str, str]:
        """The public keys whose decisions currently let a call through: those in force, and retired ones until they are revoked."""
        return self._unrevoked(self.retired_keys | self.public_keys)

    def _unrevoked(self, keys: dict[str, str]) -> dict[str, str]:
        return {key_id: key for key_id, key in keys.items() if key_id not in self.revoked_keys}

    def rule_for(
        self,
        name: str,
        risk: Risk,
        kind: StepKind = StepKind.TOOL,
        *,
        agent: str | None = None,
        arguments: Callable[[], Any] | None = None,
    ) -> Rule:
        """The rule that applies to a call of this kind and name, in the order of decision 0036.

        agent: the agent that makes the call. arguments: returns the call's arguments, and is called only if a rule has conditions; without it, or
        if it raises ValueError, no condition can be judged.
        """
        return self.weigh(name, risk, kind, agent=agent, arguments=arguments).rule

    def weigh(
        self,
        name: str,
        risk: Risk,
        kind: StepKind = StepKind.TOOL,
        *,
        agent: str | None = None,
        arguments: Callable[[], Any] | None = None,
    ) -> Weighed:
        """Like `rule_for`, with all the rules that were considered."""
        fitting = [rule for rule in self.rules if rule.fits(name, kind) and rule.is_about(agent)]
        if not fitting:
            return Weighed(rule=BY_RISK[risk], considered=())
        if not any(rule.when or rule.model_extra for rule in fitting):
            return prevailing([(rule, True) for rule in fitting], name, agent, BY_RISK[risk])
        try:
            if arguments is None:
                raise ValueError("no arguments")
            values = arguments()
        except ValueError:
            judged = [(rule, None if rule.when or rule.model_extra else True) for rule in fitting]
        else:
            judged = [(rule, rule.holds(values)) for rule in fitting]
        return prevailing(judged, name, agent, BY_RISK[risk])


class Specificity(NamedTuple):
    """How specifically a rule matches a call, in three respects. A greater value is more specific."""

    tool: tuple[bool, int]
    """Whether it names the tool itself, and the length of its glob."""
    agent: tuple[bool, int]
    """Whether it names the agent itself, and the length of its glob; -1 if it applies to all calls."""
    conditions: bool

    def covers(self, other: Specificity) -> bool:
        """Whether it is at least as specific as the other in every respect."""
        return self.tool >= other.tool and self.agent >= other.agent and self.conditions >= other.conditions


@dataclass(frozen=True, kw_only=True)
class Considered:
    """A rule that matches a call, and why it does or doesn't count."""

    rule: Rule
    holds: bool | None
    """Whether its conditions hold; None if that can't be judged."""
    displaced_by: Rule | None = None
    """The more specific rule that displaces it."""


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """The rule that applies to a call, and all rules that match it."""

    rule: Rule
    considered: tuple[Considered, ...]


def prevailing(judged: Sequence[tuple[Rule, bool | None]], name: str, agent: str | None, built_in: Rule) -> Weighed:
    """The rule that applies, of those that match a call, each with whether its conditions hold. Their order makes no difference.

    A rule whose conditions can't be judged displaces no other, keeps others from displacing a denial as if it held, and counts unless it allows.
    So the result is the strictest possible one.
    """
    matching = [rule for rule, holds in judged if holds]
    possible = [rule for rule, holds in judged if holds is not False]

    def lifts(exception: Rule, denial: Rule) -> bool:
        # The denial stays in force if a rule that can't displace it takes the place of the exception.
        rivals = (rule for rule in possible if displaces(rule, exception, name, agent))
        return all(displaces(rival, denial, name, agent) for rival in rivals)

    def displacer(rule: Rule) -> Rule | None:
        displacing = (other for other in matching if displaces(other, rule, name, agent))
        return next((other for other in displacing if rule.effect is not Effect.DENY or lifts(other, rule)), None)

    considered = [
        Considered(rule=rule, holds=holds, displaced_by=None if holds is False else displacer(rule))
        for rule, holds in judged
    ]
    left = [candidate for candidate in considered if candidate.holds is not False and candidate.displaced_by is None]
    counting = [candidate.rule for candidate in left if candidate.holds or candidate.rule.effect is not Effect.ALLOW]
    if not matching:
        counting.append(built_in)

    def rank(rule: Rule) -> tuple[int, bool, Specificity, bool, bool, str]:
        specific, own = specificity(rule, name, agent), is_own(rule, name, agent)
        return _STRICTNESS[rule.effect], rule is not built_in, specific, own, rule.kind is not None, rule.rule_id

    return Weighed(rule=max(counting, key=rank), considered=tuple(considered))


def specificity(rule: Rule, name: str, agent: str | None) -> Specificity:
    """How specific the rule is for this call."""
    named = (False, -1) if rule.agent is None else (rule.agent == agent, len(rule.agent))
    return Specificity(
        tool=(rule.tool == name, len(rule.tool)), agent=named, conditions=bool(rule.when or rule.model_extra)
    )


def is_own(rule: Rule, name: str, agent: str | None) -> bool:
    """Whether it is the own rule of the tool or the agent."""
    return (rule.tool == name and rule.rule_id == f"{TOOL_RULE}{name}") or (
        agent is not None and rule.agent == agent and rule.rule_id == f"{AGENT_RULE}{agent}"
    )


def displaces(one: Rule, other: Rule, name: str, agent: str | None) -> bool:
    """Whether the first rule, if it holds, displaces the other for this call: it is more specific in one respect, and less specific in none.

    A rule that denies is displaced only by a rule that names the tool itself, and that names something for which the other has a glob or nothing.
    """
    mine, its = specificity(one, name, agent), specificity(other, name, agent)
    denied = other.effect is Effect.DENY
    if mine != its:
        names_more = mine.tool[0] > its.tool[0] or mine.agent[0] > its.agent[0]
        return mine.covers(its) and (not denied or (mine.tool[0] and names_more))
    owns = is_own(one, name, agent), is_own(other, name, agent)
    if owns[0] != owns[1]:
        return owns[0] and (not denied or mine.tool[0])
    return one.kind is not None and other.kind is None and (one.effect is Effect.DENY) == denied
