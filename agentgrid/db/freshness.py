"""How current the projection is."""

from __future__ import annotations

from agentgrid.db.session import ReadSession
from agentgrid.db.tables import ProjectorState

LAG = "lag"
"""The row that every running projector keeps updating."""


async def lag(session: ReadSession) -> ProjectorState | None:
    """How far the projection is behind, and when that was last measured."""
    return await session.get(ProjectorState, LAG)
