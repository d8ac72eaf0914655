"""Attributes signals to principals. History has only the signal's own claims, and anyone with access to Temporal can forge those.

A signal is attributed only if two facts outside history confirm it: the command that AgentGrid recorded before it sent the signal, with the
command's id as Temporal's request id; and, for a decision, the registered signing key, which must be the one in the approval's terms. Any
other signal is shown with its effect, but as unattributed. Commands and keys are never deleted, and retiring or revoking a key makes no
difference here: the same history always gives the same result, so a rebuild writes the same rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentgrid.domain.commands import CommandKind, CommandStatus
from agentgrid.projector import rows
from agentgrid.projector.fold.row_changes import ClaimedSender
from agentgrid.projector.store.batch import Batch


@dataclass(frozen=True, kw_only=True)
class CommandColumns:
    """The columns of a recorded command."""

    kind: str
    status: str
    principal: str
    run_id: str | None
    decision: Mapping[str, Any] | None = None
    """The signed decision."""


async def check_claims(batch: Batch) -> None:
    """Check the claims of the batch against recorded commands and registered signing keys."""
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


_CLAIMED = (
    CommandKind.APPROVAL_DECIDE,
    CommandKind.RUN_PAUSE,
    CommandKind.RUN_RESUME,
    CommandKind.RUN_INTERRUPT,
)


async def _commands(batch: Batch, command_ids: set[str]) -> dict[str, CommandColumns]:
    records = await batch.db.fetch(
        "SELECT command_id, kind, status, principal, run_id, body FROM commands WHERE command_id = ANY($1) "
        "AND kind = ANY($2)",
        # Ids with characters that a text column can't store match no command.
        sorted(map(rows.text, command_ids)),
        [kind.value for kind in _CLAIMED],
    )
    return {
        record["command_id"]: CommandColumns(
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


def unattributed(
    claim: ClaimedSender, run_id: str, command: CommandColumns | None, keys: Mapping[str, str]
) -> str | None:
    """Why the signal is unattributed; None if the claimed principal sent it."""
    if claim.kind is CommandKind.APPROVAL_DECIDE:
        if not claim.decision:
            return "it carries no signed decision"
        if claim.public_key is None:
            return "its signature could not be verified"
        if keys.get(claim.decision["key_id"]) != claim.public_key:
            return "it is signed with a key that is not registered here"
    if command is None or claim.request_id != claim.command_id:
        return "AgentGrid did not send this signal"
    if (command.kind, command.principal, command.run_id) != (claim.kind.value, claim.principal, run_id):
        return "it does not match the command that it names"
    if claim.kind is CommandKind.APPROVAL_DECIDE:
        # This compares all signed content, including approval, execution and verdict. A refused command has no signed decision.
        return None if command.decision == claim.decision else "it does not match the command that it names"
    return "the command that it names was refused" if command.status == CommandStatus.REFUSED else None
