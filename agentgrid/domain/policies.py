"""Policy: operators' rules and kill switches, and how they apply to one call. Pure; the worker's interceptors evaluate it before every call.

A kill switch that is on denies every call, regardless of the rules. Of the rules that match a call, one applies: decision 0036 has the order,
`prevailing` implements it, and the built-in rule for the risk (`BY_RISK`) applies where no rule matches.
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
    """What a tool can do to the world, in rising order."""

    READ = "read"
    WRITE = "write"
    DESTRUCTIVE = "destructive"

    @property
    def writes(self) -> bool:
        """Whether it changes anything."""
        return self is not Risk.READ


TOOL_RULE = "tool:"
"""Prefix of the id of a tool's own rule; the tool's name follows."""

AGENT_RULE = "agent:"
"""Prefix of the id of an agent's own rule; the agent's name follows."""

BUILT_IN_RULE = "default:"
"""The rules of `BY_RISK`, which nobody can change, are called this and the risk."""


_STRICTNESS = {Effect.ALLOW: 0, Effect.REQUIRE_APPROVAL: 1, Effect.DENY: 2}


class Rule(BaseModel):
    """One operator's rule about what workflows and agents call, by a name or a glob.

    A worker can't judge a rule with a field that it doesn't know, and takes it as one whose conditions can't be judged. So a new field is left
    out of the snapshot where it has its default, which means what holds without the field.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    rule_id: str
    version: int = 1
    kind: str | None = None
    """What it is about: `tool`, `activity`, or another kind of calls, a `StepKind`. None: tools and plain activities.

    A text, because a worker must be able to read a snapshot whose rules name kinds that it does not know.
    """
    tool: str
    """A tool's name, the type of a plain activity, a name of that kind, or a glob such as `crm_*`."""
    agent: str | None = Field(default=None, exclude_if=lambda agent: agent is None)
    """The agent whose calls it is about: a name, or a glob. None: all calls, those of agents and of workflow code."""
    when: tuple[Condition, ...] = Field(default=(), exclude_if=lambda when: not when)
    """What must hold for the call's arguments; all of it."""
    effect: Effect
    approvers: tuple[str, ...] = (ANY_APPROVER,)
    expires_seconds: float = DEFAULT_EXPIRY_SECONDS
    reason: str = ""
    changes: Changes = Field(default=Changes.ONE_PERSON, exclude_if=lambda changes: changes is Changes.ONE_PERSON)
    """How many people it takes to approve a tool's call with changed arguments."""

    @property
    def reference(self) -> str:
        """How approvals and histories name this rule: `id@version`."""
        return f"{self.rule_id}@{self.version}"

    def fits(self, name: str, kind: StepKind = StepKind.TOOL) -> bool:
        """Whether it is about calls of this kind and name."""
        return kind in about(self.kind) and self.matches(name)

    def matches(self, name: str) -> bool:
        """Whether its glob matches the name, for any kind."""
        return self.tool == name or fnmatchcase(name, self.tool)

    def is_about(self, agent: str | None) -> bool:
        """Whether it is about the calls of this agent; None for calls that workflow code makes."""
        return self.agent is None or (agent is not None and (self.agent == agent or fnmatchcase(agent, self.agent)))

    def holds(self, arguments: Any) -> bool | None:
        """Whether its conditions hold; None if that can't be judged."""
        return None if self.model_extra else all_hold(self.when, arguments)


BY_RISK: dict[Risk, Rule] = {
    Risk.READ: Rule(rule_id="default:read", tool="*", effect=Effect.ALLOW),
    Risk.WRITE: Rule(rule_id="default:write", tool="*", effect=Effect.ALLOW),
    Risk.DESTRUCTIVE: Rule(rule_id="default:destructive", tool="*", effect=Effect.REQUIRE_APPROVAL),
}
"""What holds where no rule speaks: what destroys is asked for."""


OLDER = {"disabled_tools": SwitchKind.TOOL, "disabled_workflows": SwitchKind.WORKFLOW}
"""The fields in which snapshots named what was disabled before `disabled`, with their kinds."""


def plain_title(rule_id: str) -> str:
    """What a rule says, if its author gave it no title."""
    if rule_id.startswith(BUILT_IN_RULE):
        return f"{rule_id.removeprefix(BUILT_IN_RULE).capitalize()} tools ask"
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
    """New terms don't; decisions under terms that do still hold."""
    REVOKED = "revoked"
    """Nothing that it signed counts."""


class Snapshot(BaseModel):
    """The one document through which policy reaches workers."""

    model_config = ConfigDict(frozen=True)

    version: int
    made_at: AwareDatetime
    rules: tuple[Rule, ...] = ()
    disabled: dict[str, frozenset[str]] = Field(default_factory=dict)
    """The names whose kill switch is on, by kind. `disabled_tools` and `disabled_workflows` are for older workers, and read from older snapshots."""
    agents: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """The versions that operators chose, by the agent's name: an `AgentVersion` each. Read when a call opens, so that a worker that can't use
    one still has its policy."""
    revoked_principals: frozenset[str] = frozenset()
    revoked_keys: frozenset[str] = frozenset()
    """Ids of the signing keys whose decisions no longer count."""
    revoked_decisions: frozenset[str] = frozenset()
    """Recent decisions, by command id, made with an API key that has since been revoked."""
    approver_entries: dict[str, frozenset[str]] = Field(default_factory=dict)
    """Who may decide at this moment: each human approver's name, with the entries under which they may (their name, groups, `role:approver`).

    The worker asks it again before the effect, so a role or group taken away between decision and effect stops the effect.
    """
    public_keys: dict[str, str] = Field(default_factory=dict)
    """The signing keys in force, base64 by key id."""
    retired_keys: dict[str, str] = Field(default_factory=dict)
    """Signing keys that new terms don't name any more, base64 by key id: approvals opened before may still be decided with them."""

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
        """Why the first of these things that is disabled may not be used, or None if none is."""
        off = next((thing for thing in things if thing.name in self.disabled.get(thing.kind, frozenset())), None)
        return None if off is None else off.refusal()

    @property
    def keys_in_force(self) -> dict[str, str]:
        """The public keys that new terms name."""
        return self._unrevoked(self.public_keys)

    @property
    def keys_that_count(self) -> dict[str, str]:
        """The public keys whose decisions let a call through now: those in force, and retired ones until they are revoked."""
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
        """The rule that applies to a call of this kind and name, by the order in decision 0036.

        agent: the agent that makes the call. arguments: makes the call's arguments, if a rule has conditions; if they are not known, or it
        raises ValueError, no condition can be judged.
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
                raise ValueError("not known")
            values = arguments()
        except ValueError:
            held = [(rule, None if rule.when or rule.model_extra else True) for rule in fitting]
        else:
            held = [(rule, rule.holds(values)) for rule in fitting]
        return prevailing(held, name, agent, BY_RISK[risk])


class Exactness(NamedTuple):
    """How exactly a rule names a call, in three respects; each grows with exactness."""

    tool: tuple[bool, int]
    """Whether it names the tool itself, and the length of its glob."""
    agent: tuple[bool, int]
    """Whether it names the agent itself, and the length of its glob; -1 if it is about all calls."""
    conditions: bool

    def covers(self, other: Exactness) -> bool:
        """Whether it is less exact than the other in no respect."""
        return self.tool >= other.tool and self.agent >= other.agent and self.conditions >= other.conditions


@dataclass(frozen=True, kw_only=True)
class Considered:
    """A rule that is about a call, and what became of it."""

    rule: Rule
    holds: bool | None
    """Whether its conditions hold; None if that can't be judged."""
    displaced_by: Rule | None = None
    """A rule that is more exact."""


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """The rule that applies to a call, and all that are about it."""

    rule: Rule
    considered: tuple[Considered, ...]


def prevailing(held: Sequence[tuple[Rule, bool | None]], name: str, agent: str | None, built_in: Rule) -> Weighed:
    """The rule that applies, of those that are about a call, each with whether its conditions hold. Their order makes no difference.

    One whose conditions can't be judged displaces no other, and counts unless it allows. So the result is the strictest of what could be.
    """
    matching = [rule for rule, holds in held if holds]

    known: dict[str, Rule | None] = {}

    def displacer(rule: Rule) -> Rule | None:
        if rule.rule_id not in known:
            denies = rule.effect is Effect.DENY
            displacing = (each for each in matching if displaces(each, rule, name, agent))
            # An exception to a denial that is itself displaced leaves the denial in force.
            known[rule.rule_id] = next((each for each in displacing if not denies or displacer(each) is None), None)
        return known[rule.rule_id]

    considered = [
        Considered(rule=rule, holds=holds, displaced_by=None if holds is False else displacer(rule))
        for rule, holds in held
    ]
    left = [each for each in considered if each.holds is not False and each.displaced_by is None]
    counting = [each.rule for each in left if each.holds or each.rule.effect is not Effect.ALLOW]
    if not matching:
        counting.append(built_in)

    def rank(rule: Rule) -> tuple[int, bool, Exactness, bool, bool, str]:
        exact, own = exactness(rule, name, agent), is_own(rule, name, agent)
        return _STRICTNESS[rule.effect], rule is not built_in, exact, own, rule.kind is not None, rule.rule_id

    return Weighed(rule=max(counting, key=rank), considered=tuple(considered))


def exactness(rule: Rule, name: str, agent: str | None) -> Exactness:
    """How exactly the rule names this call."""
    named = (False, -1) if rule.agent is None else (rule.agent == agent, len(rule.agent))
    return Exactness(
        tool=(rule.tool == name, len(rule.tool)), agent=named, conditions=bool(rule.when or rule.model_extra)
    )


def is_own(rule: Rule, name: str, agent: str | None) -> bool:
    """Whether it is the tool's own rule, or the agent's."""
    return (rule.tool == name and rule.rule_id == f"{TOOL_RULE}{name}") or (
        agent is not None and rule.agent == agent and rule.rule_id == f"{AGENT_RULE}{agent}"
    )


def displaces(one: Rule, other: Rule, name: str, agent: str | None) -> bool:
    """Whether the other rule doesn't count for this call where this one holds: it is more exact in one respect, and less in none.

    A rule that denies is displaced only by one that names the tool itself, and names something for which the other has a glob or nothing.
    """
    mine, its = exactness(one, name, agent), exactness(other, name, agent)
    denied = other.effect is Effect.DENY
    if mine != its:
        names_more = mine.tool[0] > its.tool[0] or mine.agent[0] > its.agent[0]
        return mine.covers(its) and (not denied or (mine.tool[0] and names_more))
    owns = is_own(one, name, agent), is_own(other, name, agent)
    if owns[0] != owns[1]:
        return owns[0] and (not denied or mine.tool[0])
    return one.kind is not None and other.kind is None and (one.effect is Effect.DENY) == denied
