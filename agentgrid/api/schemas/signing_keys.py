"""Signing keys: the public keys that verify decisions and memos."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from agentgrid.api.schemas.common import Out
from agentgrid.domain.policies import KeyStatus


class SigningKeyOut(Out):
    """A signing key and where it is in use."""

    key_id: str
    public_key: str = Field(description="The raw Ed25519 key, base64.")
    status: KeyStatus
    in_use: bool = Field(description="Whether a running API process signs with it.")
    approvals_pending: int = Field(
        description="The number of pending approvals that can be decided only with this key."
    )
    created_at: datetime
    retired_at: datetime | None
    revoked_at: datetime | None
