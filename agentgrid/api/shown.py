"""What a caller may see of payloads. The one place that decides it: everything that holds a payload goes through here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentgrid.api.schemas.common import ErrorOut, StoredPayload
from agentgrid.domain.principals import Permission, Principal

MAX_CAUSES = 10


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What one caller may see."""

    payloads: bool

    @classmethod
    def to(cls, principal: Principal) -> Shown:
        """What this principal may see."""
        return cls(payloads=principal.may(Permission.READ_PAYLOADS))

    def payload(self, stored: Any) -> StoredPayload | None:
        """A stored payload, or None for those who may not read it."""
        return stored if self.payloads else None

    def error(self, stored: Any, *, depth: int = 0) -> ErrorOut | None:
        """An error: type and message for everybody; stack and details for those who may read payloads."""
        if not isinstance(stored, dict):
            return None
        return ErrorOut(
            type=stored.get("type"),
            message=stored.get("message"),
            retryable=stored.get("retryable"),
            stack=stored.get("stack") if self.payloads else None,
            details=stored.get("details") if self.payloads else None,
            cause=self.error(stored.get("cause"), depth=depth + 1) if depth < MAX_CAUSES else None,
        )
