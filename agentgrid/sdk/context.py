"""Context of the running activity, and of the workflow code that an agent runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

from agentgrid.domain.agents import AgentHeader
from agentgrid.domain.approvals import Decision

current_key: ContextVar[str | None] = ContextVar("agentgrid_key", default=None)
"""Set by the activity half of the interceptors for the duration of one attempt, and by tests."""

current_agent: ContextVar[AgentHeader | None] = ContextVar("agentgrid_agent", default=None)
"""The agent for which workflow code makes calls. Each task of the event loop has its own, so agents may run in parallel."""


@dataclass
class Note:
    """Under which decisions a call of workflow code is made, for the code that makes it; none if it needed no approval."""

    decisions: list[Decision] = field(default_factory=list)
    """Oldest first. There are several if policy asks again, which it does about the changed arguments if the first decision changed them."""


current_note: ContextVar[Note | None] = ContextVar("agentgrid_note", default=None)
"""Where the gate notes the decision on the calls that are made in this context."""


@contextlib.contextmanager
def keyed(key: str) -> Iterator[str]:
    """Give the calls in this block this idempotency key."""
    token = current_key.set(key)
    try:
        yield key
    finally:
        current_key.reset(token)
