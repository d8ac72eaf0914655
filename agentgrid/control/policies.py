"""Policy: rules about tools, kill switches, revocations; each change publishes the one document that workers read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agentgrid.control import commands
from agentgrid.control.keys import principal_of
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.control.signing import Signer
from agentgrid.db import commands as commands_table
from agentgrid.db import policies as table
from agentgrid.db import principals, tools
from agentgrid.db.session import WriteSession, writing
from agentgrid.db.tables import Command, Policy
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.policies import Effect, Rule, Snapshot
from agentgrid.errors import Fault, InvalidInput, NotFound

RULE_PREFIX = "tool:"
"""The rule that the API puts about one tool is called this and the tool's name."""


@dataclass(frozen=True, kw_only=True)
class ToolPolicy:
    """What an operator says about one tool."""

    effect: Effect
    approvers: tuple[str, ...]
    expires: timedelta
    reason: str = ""
    disabled: bool = False


async def put_tool_policy(plane: ControlPlane, caller: Caller, tool: str, policy: ToolPolicy) -> Command:
    """Replace the rule about the tool, and publish it. Raises NotFound, InvalidInput."""
    if policy.effect is Effect.REQUIRE_APPROVAL and not policy.approvers:
        raise InvalidInput("nobody could approve", [Fault(pointer="/approvers", message="must name somebody")])
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        if await tools.get(session, tool) is None:
            raise NotFound("tool", tool)
        await table.lock(session)
        rule_id = f"{RULE_PREFIX}{tool}"
        version = await table.last_version(session, rule_id) + 1
        command = await commands.new(
            session, caller, CommandKind.TOOL_POLICY, target=tool, reason=policy.reason or None
        )
        command = commands.applied(command, {"rule": f"{rule_id}@{version}"})
        recorded = await commands.record(session, caller, command)
        if recorded.replayed:
            return recorded.command
        session.add(
            Policy(
                rule_id=rule_id,
                version=version,
                tool=tool,
                effect=policy.effect.value,
                approvers=list(policy.approvers),
                expires_seconds=policy.expires.total_seconds(),
                reason=policy.reason,
                disabled=policy.disabled,
                created_by=caller.principal.name,
                created_at=command.created_at,
            )
        )
        await session.flush()
        await publish(session)
    return command


def snapshot_of(rules: Sequence[Policy]) -> Snapshot:
    """What the rules say, with nobody and nothing revoked: enough to tell which rule holds for a tool."""
    return Snapshot(
        version=0,
        made_at=datetime.now(UTC),
        rules=tuple(
            Rule(
                rule_id=rule.rule_id,
                version=rule.version,
                tool=rule.tool,
                effect=Effect(rule.effect),
                approvers=tuple(rule.approvers),
                expires_seconds=rule.expires_seconds,
                reason=rule.reason,
            )
            for rule in rules
        ),
        disabled_tools=frozenset(rule.tool for rule in rules if rule.disabled),
    )


async def publish(session: WriteSession) -> Snapshot:
    """Make and store the snapshot of everything that holds now; workers hear of it when the transaction commits."""
    await table.lock(session)
    keys = await table.signing_keys(session)
    people = [principal_of(row) for row in await principals.enabled(session)]
    snapshot = snapshot_of(await table.in_force(session)).model_copy(
        update={
            "version": await table.next_snapshot_version(session),
            "made_at": await commands_table.clock(session),
            "approver_entries": {person.name: person.approver_entries for person in people if person.approver_entries},
            "revoked_principals": frozenset(await principals.disabled_names(session)),
            "revoked_keys": frozenset(key.key_id for key in keys if key.revoked_at is not None),
            "public_keys": {key.key_id: key.public_key for key in keys if key.retired_at is None},
        }
    )
    await table.insert_snapshot(session, snapshot)
    return snapshot


async def ensure_published(session: WriteSession, signer: Signer) -> bool:
    """Register the signer's public key, and publish where that is news or nothing was published yet."""
    await table.lock(session)
    news = await table.register_signing_key(session, key_id=signer.key_id, public_key=signer.public_key)
    if not news and await table.newest_snapshot(session) is not None:
        return False
    await publish(session)
    return True
