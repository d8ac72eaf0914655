"""Identifiers: UUIDv7."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import uuid_utils


def new_id() -> str:
    """A new UUIDv7, which sorts by creation time."""
    return str(uuid_utils.uuid7())


def made_at(identifier: str) -> datetime | None:
    """When a UUIDv7 was created, to the millisecond; None for any other UUID."""
    parsed = UUID(identifier)
    if parsed.version != 7:
        return None
    return datetime.fromtimestamp((parsed.int >> 80) / 1000, UTC)
