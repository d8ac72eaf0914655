"""Locks that only the control plane can take: rows of a table that workers' logins can't access.

Any login can take an advisory lock: a worker's login could block every start and every kill switch.
"""

from __future__ import annotations

from sqlalchemy import text

from agentgrid.db.session import WriteSession

POLICY = "policy"
"""Held during changes to rules, switches, principals and keys."""
EVENTS = "events"
"""Held while events are appended, so that they commit in the order of their numbers."""

TAKE = "SELECT 1 FROM locks WHERE name = $1 FOR UPDATE"


async def take(session: WriteSession, name: str) -> None:
    """Wait for the lock; it is held until the transaction ends."""
    await session.execute(text(TAKE.replace("$1", ":name")), {"name": name})
