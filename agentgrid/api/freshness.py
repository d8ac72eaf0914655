"""How far the projection lags, from the projectors' own reports."""

from __future__ import annotations

from datetime import datetime

from agentgrid.api.schemas.service import Freshness
from agentgrid.db import freshness
from agentgrid.db.session import ReadSession

STALE_SECONDS = 30.0
"""The projection is stale if its lag or the time since the last report exceeds this."""


async def read(session: ReadSession, now: datetime) -> Freshness:
    """The current freshness. Projectors that stop reporting count as behind."""
    state = await freshness.lag(session)
    if state is None:
        return Freshness(lag_seconds=None, updated_at=None, stale=True)
    lag = float(state.value["lag_seconds"])
    silence = (now - state.updated_at).total_seconds()
    return Freshness(lag_seconds=lag, updated_at=state.updated_at, stale=max(lag, silence) > STALE_SECONDS)
