"""What the projectors say of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from agentgrid.db.session import ReadSession
from agentgrid.db.tables import ProjectorState

P: Any = ProjectorState


async def states(session: ReadSession) -> Sequence[ProjectorState]:
    """Every row: cursors, lag, last verification."""
    return (await session.execute(select(ProjectorState).order_by(P.name))).scalars().all()
