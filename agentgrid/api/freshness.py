"""How far the projection is behind, from what the projectors say of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from agentgrid.api.schemas.service import Freshness
from agentgrid.db import freshness
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import ProjectorState

STALE_SECONDS = 30.0
"""A lag, or a silence, over this makes the projection stale."""


def of(states: Sequence[ProjectorState], now: datetime) -> Freshness:
    """The freshness that these rows tell. A projector that says nothing any more is as good as one that is behind."""
    if not states:
        return Freshness(lag_seconds=None, updated_at=None, stale=True)
    updated_at = max(state.updated_at for state in states)
    silence = (now - updated_at).total_seconds()
    lags = [
        float(state.value["lag_seconds"])
        for state in states
        if isinstance(state.value, dict) and isinstance(state.value.get("lag_seconds"), int | float)
    ]
    lag = max(lags, default=0.0)
    return Freshness(lag_seconds=round(lag, 3), updated_at=updated_at, stale=max(lag, silence) > STALE_SECONDS)


async def read(session: ReadSession, now: datetime) -> Freshness:
    """The freshness now."""
    return of(await freshness.states(session), now)
