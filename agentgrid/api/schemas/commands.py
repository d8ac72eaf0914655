"""Commands: the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from agentgrid.api.schemas.common import Out
from agentgrid.domain.commands import CommandKind, CommandStatus


class CommandSummary(Out):
    """One change that somebody asked for."""

    command_id: str
    kind: CommandKind
    status: CommandStatus
    principal: str
    key_id: str | None
    run_id: str | None
    execution_id: str | None
    approval_id: str | None
    target: str | None
    route: str
    idempotency_key: str | None
    reason: str | None = Field(description="What the principal said.")
    outcome: dict[str, Any] | None = Field(
        description="What came of it; for a refused one `code` and, for callers who may read payloads, `message`."
    )
    address: str | None
    created_at: datetime
    delivered_at: datetime | None
    settled_at: datetime | None
    attempts: int


class UnattributedAct(Out):
    """What moved a run though no registered signing key and command bear out whose act it is."""

    signalled_at: datetime
    run_id: str
    execution_id: str
    event_id: int
    approval_id: str | None
    action: Literal["approved", "rejected", "pause", "resume"]
    claimed_principal: str | None = Field(description="Whom it names: anybody can say anything.")
    identity: str | None = Field(description="What its sender called itself to Temporal.")
    unattributed_because: str | None = Field(
        description="None where an earlier version wrote it, until its run is folded again."
    )


class Proposed(CommandSummary):
    """A change that takes two administrators, asked for by one: nothing has changed yet."""

    confirm: str = Field(description="Where another administrator confirms it, by `POST`.")
    withdraw: str = Field(description="Where it is withdrawn, by `POST`.")
    expires_at: datetime = Field(description="Until when it can be confirmed.")


class Confirmed(CommandSummary):
    """A proposed command as it is now."""

    key: str | None = Field(None, description="The API key that was proposed, whole, this one time.")


class CommandDetail(CommandSummary):
    """One command with the body of its request, for callers who may read payloads."""

    body: Any = None
