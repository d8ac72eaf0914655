"""The policy snapshot that workers read: built from everything in force, and published with each change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from agentgrid.control.plane import principal_of
from agentgrid.control.signing import Signer
from agentgrid.db import agents, commands, policies, principals, signing_keys, switches
from agentgrid.db.session import WriteSession
from agentgrid.db.tables import PolicyRow
from agentgrid.domain.approvals import Changes
from agentgrid.domain.conditions import Condition
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule, Snapshot

DECISIONS_LISTED = timedelta(days=1)
"""How long the snapshot lists a decision made with an API key that was later revoked: many times longer than a decision is valid."""


def of(rules: Sequence[PolicyRow]) -> Snapshot:
    """A snapshot of only the rules, without revocations or kill switches: enough to find the rule that applies to a tool."""
    return Snapshot(version=0, made_at=datetime.now(UTC), rules=tuple(rule_of(rule) for rule in rules))


def rule_of(row: PolicyRow) -> Rule:
    """The rule stored in a row."""
    return Rule(
        rule_id=row.rule_id,
        version=row.version,
        kind=row.kind,
        tool=row.tool,
        agent=row.agent,
        when=conditions_of(row),
        effect=Effect(row.effect),
        approvers=tuple(row.approvers),
        expires_seconds=row.expires_seconds,
        reason=row.reason,
        changes=Changes(row.changes),
    )


def conditions_of(row: PolicyRow) -> tuple[Condition, ...]:
    """The conditions stored in a row."""
    return tuple(Condition.model_validate(condition) for condition in row.when)


async def publish(session: WriteSession) -> Snapshot:
    """Build and store a snapshot of everything in force; workers are notified when the transaction commits."""
    await policies.lock(session)
    keys = await signing_keys.newest(session)
    people = [principal_of(row) for row in await principals.enabled(session)]
    snapshot = of(await policies.in_force(session)).model_copy(
        update={
            "version": await policies.next_snapshot_version(session),
            "made_at": await commands.clock(session),
            "disabled": await switches.disabled(session),
            "agents": {row.agent: agents.document(row).model_dump(mode="json") for row in await agents.chosen(session)},
            "approver_entries": {person.name: person.approver_entries for person in people if person.approver_entries},
            "revoked_principals": frozenset(await principals.disabled_names(session)),
            "revoked_keys": frozenset(key.key_id for key in keys if key.revoked_at is not None),
            "revoked_decisions": frozenset(await commands.decided_with_revoked_keys(session, DECISIONS_LISTED)),
            "public_keys": {key.key_id: key.public_key for key in keys if key.retired_at is None},
            "retired_keys": {key.key_id: key.public_key for key in keys if key.retired_at is not None},
        }
    )
    await policies.insert_snapshot(session, snapshot)
    return snapshot


async def ensure_published(session: WriteSession, signer: Signer) -> bool:
    """Register the signer's public key, and publish if it is new or if nothing was published yet. Returns whether it published."""
    await policies.lock(session)
    is_new = await signing_keys.register(session, key_id=signer.key_id, public_key=signer.public_key)
    if not is_new and await policies.newest_snapshot(session) is not None:
        return False
    await publish(session)
    return True
