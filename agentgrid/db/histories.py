"""The archive of closed executions' histories."""

from __future__ import annotations

from agentgrid.db.session import ReadSession
from agentgrid.db.tables import History


async def get(session: ReadSession, execution_id: str) -> History | None:
    """The archived history of one execution."""
    return await session.get(History, execution_id)
