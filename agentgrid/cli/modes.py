"""Words that options take, of which the domain has none, or none that imports quickly."""

from __future__ import annotations

from enum import StrEnum


class OutputFormat(StrEnum):
    """The output format."""

    TABLE = "table"
    JSON = "json"


class ApprovalStatus(StrEnum):
    """The status of an approval. `agentgrid.domain.approvals` has the same, but takes 0.15 s to import."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
