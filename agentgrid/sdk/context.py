"""What a running activity knows of its call."""

from __future__ import annotations

from contextvars import ContextVar

current_key: ContextVar[str] = ContextVar("agentgrid_key", default="")
"""Set by the activity half of the interceptors for the time of one attempt."""
