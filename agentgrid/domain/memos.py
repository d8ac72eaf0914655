"""The signed memo of a schedule, which states on whose behalf Temporal starts the schedule's runs.

A run started through the API has its own memo (`protocol.RunMemo`), which names the run's id. All runs of a schedule carry the same memo, and
Temporal generates their workflow ids: the id of the schedule's action, a hyphen, and the scheduled time. So this memo names everything about the
start that is the same for all runs: namespace, schedule, the beginning of the workflow id, workflow, task queue and input. It is valid only for
such a start, and only between two times. The signature covers a prefix that no other signed text begins with, so neither form can pass for the
other.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from agentgrid.domain.canonical import canonical

MAX_LIFETIME = timedelta(days=366)
"""A schedule's memo must be signed again within this time."""

MAX_BYTES = 64 * 1024
"""A larger memo is ignored: Temporal accepts 2 MiB, and canonicalising that takes most of a second."""

_SIGNED_AS = b"agentgrid schedule memo 1\n"
"""Prefix of the canonical text. Every other text that a signing key signs is a JSON object, and begins with a brace."""

_SCHEDULED_AT = re.compile(r"-\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
"""What Temporal appends to the workflow id of a schedule's action."""


class ScheduleMemo(BaseModel):
    """What all runs of one schedule have in common."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    form: Literal["schedule"] = "schedule"
    v: Literal[1] = 1
    namespace: str
    schedule_id: str
    workflow_id: str
    """The workflow id of the schedule's action, without the time that Temporal appends."""
    workflow: str
    task_queue: str
    input_digest: str
    """`temporal.payloads.input_digest` of the action's arguments, as encoded by the data converter, before any codec."""
    not_before: AwareDatetime
    expires_at: AwareDatetime
    """Runs that start later are shown as unattributed, so the schedule needs a new memo before then."""
    initiator: str
    issuers: tuple[str, ...] = Field(default=(), exclude_if=lambda issuers: not issuers)
    """Who issued the API key used to create the schedule, apart from the initiator."""
    command_id: str
    """The command that created or last changed the schedule."""
    reference: str | None = None
    tags: tuple[str, ...] = ()
    priority: int | None = None
    note: str | None = None
    template: str | None = None
    template_version: int | None = None
    key_id: str | None = None
    signature: str | None = None
    """Ed25519 signature, base64."""

    @model_validator(mode="after")
    def _lives(self) -> Self:
        if not timedelta(0) < self.expires_at - self.not_before <= MAX_LIFETIME:
            raise ValueError(f"expires_at must be after not_before, by at most {MAX_LIFETIME.days} days")
        return self


@dataclass(frozen=True, kw_only=True)
class ScheduledStart:
    """The start, from history, of an execution that a schedule may have started."""

    namespace: str
    scheduled_by: str | None
    """The schedule that Temporal names in the search attribute `TemporalScheduledById`."""
    workflow_id: str
    workflow: str
    task_queue: str
    input_digest: str
    started_at: datetime
    child: bool
    """Whether another workflow started it: a schedule never starts a child."""


def is_schedule_memo(claimed: Mapping[str, Any] | None) -> bool:
    """Whether the memo claims to be a schedule's. Verifies nothing."""
    return claimed is not None and claimed.get("form") == "schedule"


def signed_bytes(claimed: Mapping[str, Any]) -> bytes:
    """Exactly what the signature of a schedule's memo covers: all other fields that are not null."""
    return _SIGNED_AS + canonical(
        {name: value for name, value in claimed.items() if name != "signature" and value is not None}
    )


def verified_schedule(
    claimed: Mapping[str, Any], start: ScheduledStart, keys: Mapping[str, str]
) -> ScheduleMemo | None:
    """The memo, if one of these signing keys signed it for exactly this start; otherwise None. Never raises.

    keys: base64 public keys by key id.
    """
    try:
        if len(json.dumps(claimed)) > MAX_BYTES:
            return None
        memo = ScheduleMemo.model_validate(claimed)
        public = base64.b64decode(keys[memo.key_id or ""], validate=True)
        signature = base64.b64decode(memo.signature or "", validate=True)
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed_bytes(claimed))
    except (KeyError, InvalidSignature, ValueError, RecursionError):
        return None
    return memo if _names(memo, start) else None


def _names(memo: ScheduleMemo, start: ScheduledStart) -> bool:
    """Whether the memo is for this start."""
    claimed = (memo.namespace, memo.schedule_id, memo.workflow, memo.task_queue, memo.input_digest)
    actual = (start.namespace, start.scheduled_by, start.workflow, start.task_queue, start.input_digest)
    rest = start.workflow_id.removeprefix(memo.workflow_id)
    return (
        claimed == actual
        and start.workflow_id.startswith(memo.workflow_id)
        and _SCHEDULED_AT.fullmatch(rest) is not None
        and memo.not_before <= start.started_at < memo.expires_at
        and not start.child
    )
