"""The status of an approval. Imports no library, because the command line loads it on every start."""

from __future__ import annotations

from enum import StrEnum


class ApprovalStatus(StrEnum):
    """The status of an approval."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
