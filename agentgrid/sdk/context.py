"""Context variables of the running activity, and of workflow code run by an agent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

from agentgrid.domain.agents import AgentHeader
from agentgrid.domain.approvals import Decision

current_key: ContextVar[str | None] = ContextVar("agentgrid_key", default=None)
"""The call key. Set by the activity half of the gate for the duration of one attempt, and by tests."""

current_agent: ContextVar[AgentHeader | None] = ContextVar("agentgrid_agent", default=None)
"""The agent on whose behalf workflow code makes calls. Each task of the event loop has its own, so agents can run in parallel."""


@dataclass
class Note:
    """The decisions under which a workflow's call is made, for the code that makes it; none if it needed no approval."""

    decisions: list[Decision] = field(default_factory=list)
    """Oldest first. There are several if policy asks again, for example about arguments that the first decision changed."""


current_note: ContextVar[Note | None] = ContextVar("agentgrid_note", default=None)
"""Where the gate records the decisions on calls made in this context."""


@contextlib.contextmanager
def keyed(key: str) -> Iterator[str]:
    """Use this idempotency key for the calls in this block."""
    token = current_key.set(key)
    try:
        yield key
    finally:
        current_key.reset(token)
