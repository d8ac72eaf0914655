"""API keys, the credentials of principals."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from agentgrid.api.schemas.common import In, Name, Out, Prose, Seconds
from agentgrid.control.api_keys import DEFAULT_LIFETIME, MAX_LIFETIME


class KeyIn(In):
    """Create a key."""

    principal: Name
    lifetime_seconds: Annotated[Seconds, Field(gt=0, le=MAX_LIFETIME.total_seconds())] = (
        DEFAULT_LIFETIME.total_seconds()
    )
    note: Prose = Field("", description="What the key is for; stored with the key and in the audit log.")


class KeyOut(Out):
    """A key, without its secret, which is not stored."""

    key_id: str = Field(description="Not secret.")
    principal: str
    status: Literal["live", "expired", "revoked"]
    note: str
    created_by: str = Field(description="Who requested it; `system` if it was created directly in the database.")
    issuers: list[str] = Field(
        description="Everyone who saw the key or took part in creating it. They count as initiators of the runs it starts. `system` means it was "
        "created directly in the database."
    )
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = Field(description="Accurate to the minute.")
    revoked_at: datetime | None


class KeyMade(KeyOut):
    """A new key, including its secret, which is shown in this response only."""

    key: str | None = Field(
        description="The full key. Null if an earlier request with the same `Idempotency-Key` created it: in that case revoke it and create "
        "another."
    )
