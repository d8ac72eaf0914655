"""Signing keys: the public halves of what decisions and memos are signed with."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from agentgrid.api.schemas.common import Out
from agentgrid.domain.policies import KeyStatus


class SigningKeyOut(Out):
    """A signing key and what hangs on it."""

    key_id: str
    public_key: str = Field(description="The raw Ed25519 key, base64.")
    status: KeyStatus
    in_use: bool = Field(description="Whether a running API signs with it.")
    approvals_pending: int = Field(description="Approvals that wait, and that can be decided with no other key.")
    created_at: datetime
    retired_at: datetime | None
    revoked_at: datetime | None
