"""Policy: operators' rules for tools and plain activities. Each change publishes the snapshot that workers read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from agentgrid.control import commands, confirmation
from agentgrid.control.confirmation import Proposal
from agentgrid.control.plane import Caller, ControlPlane, principal_of
from agentgrid.control.signing import Signer
from agentgrid.db import commands as commands_table
from agentgrid.db import policies as table
from agentgrid.db import principals, signing_keys, switches, tools
from agentgrid.db.session import WriteSession, writing
from agentgrid.db.tables import Command, Policy
from agentgrid.domain.activities import about, governed
from agentgrid.domain.approvals import Changes
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.lifting import lifted
from agentgrid.domain.policies import BUILT_IN_RULE, TOOL_RULE, Effect, Risk, Rule, Snapshot
from agentgrid.domain.steps import StepKind
from agentgrid.errors import Conflict, Fault, InvalidInput, NotFound

RULE_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,126}")
"""Ids that operators choose. A colon is reserved for ids with a meaning: `tool:` and a tool's name, `default:` and a risk."""

DECISIONS_TOLD = timedelta(days=1)
"""How long the snapshot lists a decision made with an API key that was later revoked: many times as long as a decision is valid."""

TOOL = re.compile(r"[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]{0,253}[^\s\x00-\x1f\x7f])?")
"""A tool's name, an activity type, or a glob. Temporal allows any text as an activity type."""


@dataclass(frozen=True, kw_only=True)
class RulePut:
    """An operator's rule for a tool, a plain activity, or all that match a glob."""

    effect: Effect
    approvers: tuple[str, ...]
    expires: timedelta
    reason: str = ""
    changes: Changes = Changes.ONE_PERSON


async def put(
    plane: ControlPlane, caller: Caller, rule_id: str, tool: str, rule: RulePut, *, kind: StepKind | None = None
) -> Command:
    """Put a rule under an id that the operator chose. Raises InvalidInput, Conflict if another rule covers the same kind and name.

    kind: what the rule is about; None for tools and plain activities.
    """
    if not RULE_ID.fullmatch(rule_id):
        raise InvalidInput("invalid rule id", [Fault(pointer="rule_id", message=_id_fault(rule_id))])
    if not TOOL.fullmatch(tool):
        message = "must be a tool's name, an activity type or a glob: at most 255 characters, without control characters or surrounding blanks"
        raise InvalidInput("invalid rule", [Fault(pointer="/tool", message=message)])
    if kind is not None and not about(kind):
        known = ", ".join(sorted(each.step for each in governed()))
        raise InvalidInput("invalid rule", [Fault(pointer="/kind", message=f"rules can be about: {known}")])
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        await table.lock(session)
        await _check_only_one(session, rule_id, kind, tool)
        return await _put(session, caller, CommandKind.POLICY_PUT, rule_id, tool, rule, kind=kind, target=rule_id)


async def _check_only_one(session: WriteSession, rule_id: str, kind: StepKind | None, tool: str) -> None:
    for other in await table.in_force(session):
        if (other.kind, other.tool) == (kind, tool) and other.rule_id != rule_id:
            raise Conflict(
                f"the rule {other.rule_id!r} already covers {tool!r}: change that rule, or withdraw it first",
                status=f"{other.rule_id}@{other.version}",
            )


async def put_tool_policy(plane: ControlPlane, caller: Caller, tool: str, rule: RulePut) -> Command:
    """Put a catalog tool's own rule, which takes precedence over all others. Raises NotFound, InvalidInput."""
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        if await tools.get(session, tool) is None:
            raise NotFound("tool", tool)
        await table.lock(session)
        rule_id = f"{TOOL_RULE}{tool}"
        return await _put(session, caller, CommandKind.TOOL_POLICY, rule_id, tool, rule, target=tool)


async def withdraw(plane: ControlPlane, caller: Caller, rule_id: str, *, reason: str) -> Command:
    """Withdraw a rule; its versions are kept. Raises NotFound, Conflict."""
    if rule_id.startswith(BUILT_IN_RULE):
        raise Conflict(f"{rule_id!r} is a built-in rule: it applies if no other rule matches, and can't be withdrawn")
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        await table.lock(session)
        return await _withdraw(session, caller, rule_id, reason=reason)


async def _withdraw(
    session: WriteSession, caller: Caller, rule_id: str, *, reason: str, confirmed: Command | None = None
) -> Command:
    last = await table.newest(session, rule_id)
    if last is None:
        raise NotFound("policy", rule_id)
    changes = not last.withdrawn
    version = last.version + changes
    row = Policy(**{**last.model_dump(), "version": version, "withdrawn": True, "reason": reason})
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
    about_kind = StepKind(wish["kind"]) if wish.get("kind") is not None else None
    if kind is CommandKind.POLICY_PUT:
        await _check_only_one(session, target, about_kind, wish["tool"])
    rule_id = target if kind is CommandKind.POLICY_PUT else f"{TOOL_RULE}{target}"
    rule = _rule_put(wish["rule"])
    await _put(session, caller, kind, rule_id, wish["tool"], rule, kind=about_kind, target=target, confirmed=proposal)
    return ""


def _wire(rule: RulePut) -> dict[str, Any]:
    return {
        **asdict(rule),
        "effect": rule.effect.value,
        "approvers": list(rule.approvers),
        "expires": rule.expires.total_seconds(),
        "changes": rule.changes.value,
    }


def _rule_put(said: dict[str, Any]) -> RulePut:
    expires = timedelta(seconds=said["expires"])
    changes = Changes(said.get("changes", Changes.ONE_PERSON))
    return RulePut(
        **said
        | {"effect": Effect(said["effect"]), "approvers": tuple(said["approvers"]), "expires": expires}
        | {"changes": changes}
    )


async def _put(
    session: WriteSession,
    caller: Caller,
    command: CommandKind,
    rule_id: str,
    tool: str,
    rule: RulePut,
    *,
    target: str,
    kind: StepKind | None = None,
    confirmed: Command | None = None,
) -> Command:
    """The rule's next version. An unchanged rule keeps its version: a new version would void the approvals that are pending under it."""
    if rule.effect is Effect.REQUIRE_APPROVAL and not rule.approvers:
        raise InvalidInput("nobody could approve", [Fault(pointer="/approvers", message="must name somebody")])
    said: dict[str, Any] = {
        "kind": None if kind is None else kind.value,
        "tool": tool,
        "effect": rule.effect.value,
        "approvers": list(rule.approvers),
        "expires_seconds": rule.expires.total_seconds(),
        "reason": rule.reason,
        "changes": rule.changes.value,
        "withdrawn": False,
    }
    last = await table.newest(session, rule_id)
    changes = last is None or last.model_dump(include=set(said)) != said
    before = 0 if last is None else last.version
    version = before + changes
    proposal = Proposal(
        kind=command,
        target=target,
        wish={"kind": said["kind"], "tool": tool, "rule": _wire(rule)},
        basis={"version": before},
        shown={"rule": rule_id, **{name: value for name, value in said.items() if name != "kind" or kind is not None}},
        reason=rule.reason or None,
    )
    row = Policy(rule_id=rule_id, version=version, **said) if changes else None
    return await _change(session, caller, row, f"{rule_id}@{version}", proposal, confirmed)


async def _change(
    session: WriteSession,
    caller: Caller,
    row: Policy | None,
    reference: str,
    proposal: Proposal,
    confirmed: Command | None,
) -> Command:
    """Add the rule's next version, if it differs, and publish; propose it instead if it relaxes a rule and there is a second administrator."""
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
        await publish(session)
    return recorded.command


async def _lifts(session: WriteSession, row: Policy | None) -> Sequence[str]:
    """The tools and activities whose policy this version of a rule would relax."""
    if row is None:
        return ()
    now = await table.in_force(session)
    then = [rule for rule in now if rule.rule_id != row.rule_id] + ([] if row.withdrawn else [row])
    risks = {name: Risk(risk) for name, risk in (await tools.risks(session)).items()}
    return lifted(snapshot_of(now), snapshot_of(then), risks)


def _id_fault(rule_id: str) -> str:
    if rule_id.startswith(TOOL_RULE):
        return f"ids that begin with {TOOL_RULE!r} are reserved for PUT /api/v1/tools/{{name}}/policy"
    if rule_id.startswith(BUILT_IN_RULE):
        return f"ids that begin with {BUILT_IN_RULE!r} are reserved for built-in rules"
    return "lower-case letters, digits and . _ -, at most 127, a letter or digit first"


def snapshot_of(rules: Sequence[Policy]) -> Snapshot:
    """A snapshot of the rules only, without revocations or kill switches: enough to find the rule that applies to a tool."""
    return Snapshot(version=0, made_at=datetime.now(UTC), rules=tuple(rule_of(rule) for rule in rules))


def rule_of(row: Policy) -> Rule:
    """The rule stored in a row."""
    return Rule(
        rule_id=row.rule_id,
        version=row.version,
        kind=row.kind,
        tool=row.tool,
        effect=Effect(row.effect),
        approvers=tuple(row.approvers),
        expires_seconds=row.expires_seconds,
        reason=row.reason,
        changes=Changes(row.changes),
    )


async def publish(session: WriteSession) -> Snapshot:
    """Build and store a snapshot of everything in force; workers are notified when the transaction commits."""
    await table.lock(session)
    keys = await signing_keys.newest(session)
    people = [principal_of(row) for row in await principals.enabled(session)]
    snapshot = snapshot_of(await table.in_force(session)).model_copy(
        update={
            "version": await table.next_snapshot_version(session),
            "made_at": await commands_table.clock(session),
            "disabled": await switches.disabled(session),
            "approver_entries": {person.name: person.approver_entries for person in people if person.approver_entries},
            "revoked_principals": frozenset(await principals.disabled_names(session)),
            "revoked_keys": frozenset(key.key_id for key in keys if key.revoked_at is not None),
            "revoked_decisions": frozenset(await commands_table.decided_with_revoked_keys(session, DECISIONS_TOLD)),
            "public_keys": {key.key_id: key.public_key for key in keys if key.retired_at is None},
            "retired_keys": {key.key_id: key.public_key for key in keys if key.retired_at is not None},
        }
    )
    await table.insert_snapshot(session, snapshot)
    return snapshot


async def ensure_published(session: WriteSession, signer: Signer) -> bool:
    """Register the signer's public key, and publish if it is new or if nothing was published yet."""
    await table.lock(session)
    news = await signing_keys.register(session, key_id=signer.key_id, public_key=signer.public_key)
    if not news and await table.newest_snapshot(session) is not None:
        return False
    await publish(session)
    return True
