"""Whose act a signal is. History has only what the signal says of itself, and anybody who reaches Temporal can say anything.

A person's act is what two things outside history bear out: the command that AgentGrid recorded before it sent the signal, under whose id
Temporal took it; and, of a decision, the registered public key, which must be the very one that the approval's terms name. All else is shown as
what it did, and as nobody's. Commands and keys are never deleted, and neither a key's retirement nor its revocation counts here: the same
history gives the same answer at any time, so a rebuild writes the same rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentgrid.domain.commands import CommandKind, CommandStatus
from agentgrid.projector.fold.changes import Claim
from agentgrid.projector.store.batch import Batch


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a command says of itself."""

    kind: str
    status: str
    principal: str
    run_id: str | None
    decision: Mapping[str, Any] | None = None
    """What was signed for it."""


async def find(batch: Batch) -> None:
    """Look up what bears out the claims of the batch."""
    claims = {
        (item.execution.execution_id, event_id): claim
        for item in batch.items
        for event_id, claim in item.changes.claims.items()
    }
    if not claims:
        return
    commands = await _commands(batch, {claim.command_id for claim in claims.values() if claim.command_id is not None})
    keys = await batch.registered_keys()
    batch.unattributed = {
        key: unattributed(claim, batch.run_of[key[0]], commands.get(claim.command_id or ""), keys)
        for key, claim in claims.items()
    }


async def _commands(batch: Batch, command_ids: set[str]) -> dict[str, Recorded]:
    records = await batch.db.fetch(
        "SELECT command_id, kind, status, principal, run_id, body FROM commands WHERE command_id = ANY($1) "
        "AND kind = ANY($2)",
        sorted(command_ids),
        [kind.value for kind in (CommandKind.APPROVAL_DECIDE, CommandKind.RUN_PAUSE, CommandKind.RUN_RESUME)],
    )
    return {
        record["command_id"]: Recorded(
            kind=record["kind"],
            status=record["status"],
            principal=record["principal"],
            run_id=record["run_id"],
            decision=_signed(record["body"]),
        )
        for record in records
    }


def _signed(body: str | None) -> Mapping[str, Any] | None:
    value = json.loads(body) if body is not None else None
    signed = value.get("signed") if isinstance(value, dict) else None
    decision = signed.get("decision") if isinstance(signed, dict) else None
    return decision if isinstance(decision, dict) else None


def unattributed(claim: Claim, run_id: str, command: Recorded | None, keys: Mapping[str, str]) -> str | None:
    """Why the signal is nobody's act, or None where it is its principal's."""
    if claim.kind is CommandKind.APPROVAL_DECIDE:
        if not claim.decision:
            return "it carries no signed decision"
        if claim.public_key is None:
            return "its signature was not found to hold"
        if keys.get(claim.decision["key_id"]) != claim.public_key:
            return "it is signed with a key that is not registered here"
    if command is None or claim.request_id != claim.command_id:
        return "AgentGrid has sent no such signal"
    if (command.kind, command.principal, command.run_id) != (claim.kind.value, claim.principal, run_id):
        return "the command that it names is another one"
    if claim.kind is CommandKind.APPROVAL_DECIDE:
        # Every word of what was signed, so also the approval, its execution and the verdict. A refused command has signed nothing.
        return None if command.decision == claim.decision else "the command that it names is another one"
    return "the command that it names was refused" if command.status == CommandStatus.REFUSED else None
