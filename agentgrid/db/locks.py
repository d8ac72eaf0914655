"""Locks that only the control plane can take: rows of a table that workers' logins can't reach.

An advisory lock has a number that anybody who may connect can lock: a worker's login could hold up every start and every kill switch.
"""

from __future__ import annotations

from sqlalchemy import text

from agentgrid.db.session import WriteSession

POLICY = "policy"
"""Held while rules, switches, principals or keys change."""
EVENTS = "events"
"""Held while events are appended, so that they commit in the order of their numbers."""

TAKE = "SELECT 1 FROM locks WHERE name = $1 FOR UPDATE"


async def take(session: WriteSession, name: str) -> None:
    """Wait for whoever holds the lock; it is held until the transaction ends."""
    await session.execute(text(TAKE.replace("$1", ":name")), {"name": name})
