"""Identifiers, made in one place."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import uuid_utils


def new_id() -> str:
    """A UUIDv7: unique, and sorted by the time of its making."""
    return str(uuid_utils.uuid7())


def is_uuid(value: str) -> bool:
    """Whether the text is a UUID in its one canonical form (lower case, hyphens)."""
    try:
        return str(UUID(value)) == value
    except ValueError:
        return False


def made_at(identifier: str) -> datetime | None:
    """When a UUIDv7 was made, to the millisecond; None for any other identifier."""
    parsed = UUID(identifier)
    if parsed.version != 7:
        return None
    return datetime.fromtimestamp((parsed.int >> 80) / 1000, UTC)
