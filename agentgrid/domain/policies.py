"""Policy: operators' rules and kill switches, and how they apply to one call. Pure; the worker's interceptors evaluate it before every call.

A kill switch that is on denies every call, regardless of the rules. Of the rules that match a call, one applies: decision 0019 has the order,
`_precedence` implements it, and the built-in rule for the risk (`BY_RISK`) applies where no rule matches.
"""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, computed_field, model_validator

from agentgrid.domain.activities import about
from agentgrid.domain.approvals import DEFAULT_EXPIRY_SECONDS, Changes
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


class Effect(StrEnum):
    """What a rule says."""

    ALLOW = "allow"
    REQUIRE_APPROVAL = "require_approval"
    DENY = "deny"


TOOL_RULE = "tool:"
"""Prefix of the id of a tool's own rule; the tool's name follows."""

BUILT_IN_RULE = "default:"
"""The rules of `BY_RISK`, which nobody can change, are called this and the risk."""


_STRICTNESS = {Effect.ALLOW: 0, Effect.REQUIRE_APPROVAL: 1, Effect.DENY: 2}


class Rule(BaseModel):
    """One operator's rule about what workflows call, by a name or a glob."""

    model_config = ConfigDict(frozen=True)

    rule_id: str
    version: int = 1
    kind: str | None = None
    """What it is about: `tool`, `activity`, or another kind of calls, a `StepKind`. None: tools and plain activities.

    A text, because a worker must be able to read a snapshot whose rules name kinds that it does not know.
    """
    tool: str
    """A tool's name, the type of a plain activity, a name of that kind, or a glob such as `crm_*`."""
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
        """Whether its glob matches the name, whatever the kind."""
        return self.tool == name or fnmatchcase(name, self.tool)


BY_RISK: dict[Risk, Rule] = {
    Risk.READ: Rule(rule_id="default:read", tool="*", effect=Effect.ALLOW),
    Risk.WRITE: Rule(rule_id="default:write", tool="*", effect=Effect.ALLOW),
    Risk.DESTRUCTIVE: Rule(rule_id="default:destructive", tool="*", effect=Effect.REQUIRE_APPROVAL),
}
"""What holds where no rule speaks: what destroys is asked for."""


OLDER = {"disabled_tools": SwitchKind.TOOL, "disabled_workflows": SwitchKind.WORKFLOW}
"""The fields in which snapshots named what was disabled before `disabled`, with their kinds."""


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

    def rule_for(self, name: str, risk: Risk, kind: StepKind = StepKind.TOOL) -> Rule:
        """The rule that applies to calls of this kind and name, by the order in decision 0019."""
        fitting = (rule for rule in self.rules if rule.fits(name, kind))
        return max(fitting, key=lambda rule: _precedence(rule, name), default=BY_RISK[risk])


def _precedence(rule: Rule, name: str) -> tuple[bool, bool, bool, int, bool, int, str]:
    exact = rule.tool == name
    own = exact and rule.rule_id == f"{TOOL_RULE}{name}"
    denies, names_kind = rule.effect is Effect.DENY, rule.kind is not None
    return exact, own, denies, len(rule.tool), names_kind, _STRICTNESS[rule.effect], rule.rule_id
