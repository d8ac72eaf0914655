"""Context of the running activity."""

from __future__ import annotations

from contextvars import ContextVar

current_key: ContextVar[str] = ContextVar("agentgrid_key", default="")
"""Set by the activity half of the interceptors for the duration of one attempt."""
