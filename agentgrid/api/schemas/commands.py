"""Commands: the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

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


class CommandDetail(CommandSummary):
    """One command with the body of its request, for callers who may read payloads."""

    body: Any = None
