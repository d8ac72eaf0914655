"""Policy: operators' rules for tools and plain activities. Each change publishes the snapshot that workers read (`snapshots.py`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

from agentgrid.control import commands, confirmation, snapshots
from agentgrid.control.confirmation import Proposal
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import policies as db_policies
from agentgrid.db import tools
from agentgrid.db.session import WriteSession, writing
from agentgrid.db.tables import Command, PolicyRow
from agentgrid.domain.activities import about, governed
from agentgrid.domain.approvals import Changes
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.conditions import MAX_CONDITIONS, Condition
from agentgrid.domain.conditions import fault as fault_of
from agentgrid.domain.effects import Effect
from agentgrid.domain.lifting import lifted
from agentgrid.domain.policies import AGENT_RULE, BUILT_IN_RULE, TOOL_RULE, Risk
from agentgrid.domain.steps import StepKind
from agentgrid.errors import Conflict, InvalidInput, InvalidPlace, NotFound

RULE_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,126}")
"""Ids that operators choose. Ids with a colon are reserved: `tool:` and a tool's name, `agent:` and an agent's, `default:` and a risk."""

AGENT_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
AGENT_GLOB = re.compile(r"[a-z0-9_*?\[\]!-]{1,100}")

TOOL = re.compile(r"[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]{0,253}[^\s\x00-\x1f\x7f])?")
"""A tool's name, an activity type, or a glob. Temporal allows any text as an activity type."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The calls that a rule applies to."""

    tool: str
    kind: StepKind | None = None
    agent: str | None = None
    when: tuple[Condition, ...] = ()

    def wire(self) -> dict[str, Any]:
        """The columns of a row, and part of a proposal's `wish`."""
        kind = None if self.kind is None else self.kind.value
        when = [condition.model_dump(mode="json") for condition in self.when]
        return {"kind": kind, "tool": self.tool, "agent": self.agent, "when": when}

    @classmethod
    def read(cls, wish: Mapping[str, Any]) -> Scope:
        """The scope in a proposal's `wish`."""
        kind = StepKind(wish["kind"]) if wish.get("kind") is not None else None
        when = tuple(Condition.model_validate(condition) for condition in wish.get("when", ()))
        return cls(tool=wish["tool"], kind=kind, agent=wish.get("agent"), when=when)

    def narrowed(self) -> str:
        """The limits to an agent and to conditions, in words to follow the tool's name; empty if there are none."""
        agent = f" for the agent {self.agent}" if self.agent is not None else ""
        return agent + (" under the same conditions" if self.when else "")


_NARROWING = ("kind", "agent", "when")


def scope_of(row: PolicyRow) -> Scope:
    """The calls that a stored rule applies to."""
    kind = None if row.kind is None else StepKind(row.kind)
    return Scope(tool=row.tool, kind=kind, agent=row.agent, when=snapshots.conditions_of(row))


@dataclass(frozen=True, kw_only=True)
class RulePut:
    """The content of an operator's rule."""

    effect: Effect
    approvers: tuple[str, ...]
    expires: timedelta
    reason: str = ""
    changes: Changes = Changes.ONE_PERSON
    title: str = ""
    """The rule in a few words, for approvers. Workers don't need it, so the snapshot omits it."""


async def put(
    plane: ControlPlane,
    caller: Caller,
    rule_id: str,
    tool: str,
    rule: RulePut,
    *,
    kind: StepKind | None = None,
    agent: str | None = None,
    when: Sequence[Condition] = (),
    expected: int | None = None,
) -> Command:
    """Put a rule under an id that the operator chose. Raises InvalidInput, Conflict if another rule covers the same calls.

    expected: the version that the caller last saw, 0 if none was in force. Raises Conflict if the current version differs.

    kind: the kind of calls; None for tools and plain activities.
    agent: the agent that makes the calls, by name or glob; None for calls by any agent or by workflow code.
    when: conditions on the call's arguments.
    """
    if not RULE_ID.fullmatch(rule_id):
        raise InvalidInput("invalid rule id", [InvalidPlace(pointer="rule_id", message=_id_fault(rule_id))])
    if not TOOL.fullmatch(tool):
        message = "must be a tool name, an activity type or a glob: at most 255 characters, without control characters or surrounding spaces"
        raise InvalidInput("invalid rule", [InvalidPlace(pointer="/tool", message=message)])
    if kind is not None and not about(kind):
        kinds = ", ".join(sorted(kind.step for kind in governed()))
        raise InvalidInput("invalid rule", [InvalidPlace(pointer="/kind", message=f"must be one of: {kinds}")])
    if agent is not None and not AGENT_GLOB.fullmatch(agent):
        message = "must be an agent name or a glob: at most 100 lower-case letters, digits, _ and * ? [ ] ! -"
        raise InvalidInput("invalid rule", [InvalidPlace(pointer="/agent", message=message)])
    _check_conditions(when)
    scope = Scope(tool=tool, kind=kind, agent=agent, when=tuple(when))
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        await db_policies.lock(session)
        await _check_version(session, rule_id, expected)
        await _check_only_one(session, rule_id, scope)
        return await _put(session, caller, CommandKind.POLICY_PUT, rule_id, scope, rule, target=rule_id)


def _check_conditions(when: Sequence[Condition]) -> None:
    if len(when) > MAX_CONDITIONS:
        raise InvalidInput(
            "invalid rule", [InvalidPlace(pointer="/when", message=f"must have at most {MAX_CONDITIONS} conditions")]
        )
    faults = [
        InvalidPlace(pointer=f"/when/{index}/{fault[0]}", message=fault[1])
        for index, condition in enumerate(when)
        if (fault := fault_of(condition)) is not None
    ]
    if faults:
        raise InvalidInput("invalid rule", faults)


async def _check_only_one(session: WriteSession, rule_id: str, scope: Scope) -> None:
    for other in await db_policies.in_force(session):
        if scope_of(other) == scope and other.rule_id != rule_id:
            raise Conflict(
                f"rule {other.rule_id!r} already covers {scope.tool!r}{scope.narrowed()}: change that rule, or withdraw it first",
                status=f"{other.rule_id}@{other.version}",
            )


async def _check_version(session: WriteSession, rule_id: str, expected: int | None) -> None:
    if expected is None:
        return
    last = await db_policies.newest(session, rule_id)
    version = 0 if last is None else last.version
    none_in_force = last is None or last.withdrawn
    if version != expected and not (expected == 0 and none_in_force):
        raise Conflict(
            f"rule {rule_id!r} is now at version {version}, not {expected}: read it again",
            status=f"{rule_id}@{version}",
        )


async def put_tool_policy(
    plane: ControlPlane, caller: Caller, tool: str, rule: RulePut, *, expected: int | None = None
) -> Command:
    """Put a catalog tool's own rule, which takes precedence over all others. Raises NotFound, InvalidInput."""
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        if await tools.get(session, tool) is None:
            raise NotFound("tool", tool)
        await db_policies.lock(session)
        rule_id = f"{TOOL_RULE}{tool}"
        await _check_version(session, rule_id, expected)
        return await _put(session, caller, CommandKind.TOOL_POLICY, rule_id, Scope(tool=tool), rule, target=tool)


async def put_agent_policy(
    plane: ControlPlane, caller: Caller, agent: str, rule: RulePut, *, expected: int | None = None
) -> Command:
    """Put an agent's own rule, which applies to all its calls. Raises NotFound if no agent can have this name, InvalidInput."""
    if not AGENT_NAME.fullmatch(agent):
        raise NotFound("agent", agent)
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        await db_policies.lock(session)
        await _check_version(session, f"{AGENT_RULE}{agent}", expected)
        scope = Scope(tool="*", agent=agent)
        return await _put(session, caller, CommandKind.AGENT_POLICY, f"{AGENT_RULE}{agent}", scope, rule, target=agent)


async def withdraw(
    plane: ControlPlane, caller: Caller, rule_id: str, *, reason: str, expected: int | None = None
) -> Command:
    """Withdraw a rule; its versions are kept. Raises NotFound, Conflict."""
    if rule_id.startswith(BUILT_IN_RULE):
        raise Conflict(
            f"{rule_id!r} is a built-in rule, which applies if no other rule matches; it can't be withdrawn, only overridden by another rule"
        )
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        await db_policies.lock(session)
        await _check_version(session, rule_id, expected)
        return await _withdraw(session, caller, rule_id, reason=reason)


async def _withdraw(
    session: WriteSession, caller: Caller, rule_id: str, *, reason: str, confirmed: Command | None = None
) -> Command:
    last = await db_policies.newest(session, rule_id)
    if last is None:
        raise NotFound("rule", rule_id)
    changes = not last.withdrawn
    version = last.version + changes
    row = PolicyRow(**{**last.model_dump(), "version": version, "withdrawn": True, "reason": reason})
    proposal = Proposal(
        kind=CommandKind.POLICY_WITHDRAW,
        target=rule_id,
        wish={},
        basis={"version": last.version},
        shown={"rule": rule_id, "withdrawn": True},
        reason=reason or None,
    )
    return await _change(session, caller, row if changes else None, f"{rule_id}@{version}", proposal, confirmed)


async def carry_out(session: WriteSession, caller: Caller, proposal: Command) -> str:
    """Carry out a proposal on the caller's confirmation. It is checked again, like a new request."""
    kind, target, wish = CommandKind(proposal.kind), proposal.target or "", proposal.body["wish"]
    if kind is CommandKind.POLICY_WITHDRAW:
        await _withdraw(session, caller, target, reason=proposal.reason or "", confirmed=proposal)
        return ""
    scope = Scope.read(wish)
    if kind is CommandKind.POLICY_PUT:
        await _check_only_one(session, target, scope)
    rule_id = f"{_PREFIXES.get(kind, '')}{target}"
    await _put(session, caller, kind, rule_id, scope, _rule_put(wish["rule"]), target=target, confirmed=proposal)
    return ""


_PREFIXES = {CommandKind.TOOL_POLICY: TOOL_RULE, CommandKind.AGENT_POLICY: AGENT_RULE}
"""The prefix of the rule id, before the command's target."""


def _wire(rule: RulePut) -> dict[str, Any]:
    return {
        **asdict(rule),
        "effect": rule.effect.value,
        "approvers": list(rule.approvers),
        "expires": rule.expires.total_seconds(),
        "changes": rule.changes.value,
    }


def _rule_put(wish: dict[str, Any]) -> RulePut:
    expires = timedelta(seconds=wish["expires"])
    changes = Changes(wish.get("changes", Changes.ONE_PERSON))
    return RulePut(
        **wish
        | {"effect": Effect(wish["effect"]), "approvers": tuple(wish["approvers"]), "expires": expires}
        | {"changes": changes}
    )


async def _put(
    session: WriteSession,
    caller: Caller,
    command: CommandKind,
    rule_id: str,
    scope: Scope,
    rule: RulePut,
    *,
    target: str,
    confirmed: Command | None = None,
) -> Command:
    """Put the rule's next version. An unchanged rule keeps its version: a new version would void the approvals pending under it."""
    if rule.effect is Effect.REQUIRE_APPROVAL and not rule.approvers:
        fault = InvalidPlace(pointer="/approvers", message="must name at least one approver")
        raise InvalidInput("a rule that requires approval needs approvers", [fault])
    columns: dict[str, Any] = {
        **scope.wire(),
        "effect": rule.effect.value,
        "approvers": list(rule.approvers),
        "expires_seconds": rule.expires.total_seconds(),
        "reason": rule.reason,
        "changes": rule.changes.value,
        "title": rule.title,
        "withdrawn": False,
    }
    last = await db_policies.newest(session, rule_id)
    outside_scope = {name: value for name, value in columns.items() if name not in scope.wire()}
    changes = last is None or scope_of(last) != scope or last.model_dump(include=set(outside_scope)) != outside_scope
    before = 0 if last is None else last.version
    version = before + changes
    proposal = Proposal(
        kind=command,
        target=target,
        wish={**scope.wire(), "rule": _wire(rule)},
        basis={"version": before},
        shown={"rule": rule_id, **{name: value for name, value in columns.items() if value or name not in _NARROWING}},
        reason=rule.reason or None,
    )
    row = PolicyRow(rule_id=rule_id, version=version, **columns) if changes else None
    return await _change(session, caller, row, f"{rule_id}@{version}", proposal, confirmed)


async def _change(
    session: WriteSession,
    caller: Caller,
    row: PolicyRow | None,
    reference: str,
    proposal: Proposal,
    confirmed: Command | None,
) -> Command:
    """Add the rule's next version, if it differs, and publish. If it relaxes a rule and there is a second administrator, propose it instead."""
    lifts = await _lifts(session, row)
    about: dict[str, Any] = {"lifts": list(lifts)} if lifts else {}
    proposal = replace(proposal, basis=proposal.basis | about, shown=proposal.shown | about)
    confirmation.check_basis(confirmed, proposal.basis)
    if lifts and confirmed is None and not confirmation.acts_alone(caller):
        proposed = await confirmation.propose_unless_alone(session, caller, proposal)
        if proposed is not None:
            return proposed
        about |= {"alone": True, "message": confirmation.ALONE}
    recorded = await confirmation.record(
        session,
        caller,
        proposal.kind,
        {"rule": reference, "changed": row is not None, **about},
        confirmed=confirmed,
        target=proposal.target,
        reason=proposal.reason,
    )
    if row is not None and not recorded.replayed:
        command = recorded.command
        row.created_by, row.created_at = command.principal, command.settled_at or command.created_at
        session.add(row)
        await session.flush()
        await snapshots.publish(session)
    return recorded.command


async def _lifts(session: WriteSession, row: PolicyRow | None) -> Sequence[str]:
    """The tools and activities whose policy this version of a rule would relax."""
    if row is None:
        return ()
    before = await db_policies.in_force(session)
    after = [rule for rule in before if rule.rule_id != row.rule_id] + ([] if row.withdrawn else [row])
    risks = {name: Risk(risk) for name, risk in (await tools.risks(session)).items()}
    return lifted(snapshots.of(before), snapshots.of(after), risks)


def _id_fault(rule_id: str) -> str:
    if rule_id.startswith(TOOL_RULE):
        return f"ids that begin with {TOOL_RULE!r} are reserved for PUT /api/v1/tools/{{name}}/policy"
    if rule_id.startswith(AGENT_RULE):
        return f"ids that begin with {AGENT_RULE!r} are reserved for PUT /api/v1/agents/{{name}}/policy"
    if rule_id.startswith(BUILT_IN_RULE):
        return f"ids that begin with {BUILT_IN_RULE!r} are reserved for built-in rules"
    return "must be lower-case letters, digits and . _ -, at most 127 characters, beginning with a letter or digit"
