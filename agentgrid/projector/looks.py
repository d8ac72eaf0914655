"""When an open execution is looked at again, and when Temporal is asked about it."""

from __future__ import annotations

from datetime import datetime, timedelta

from agentgrid.projector import live
from agentgrid.projector.fold.state import FoldState
from agentgrid.projector.fold.summary import next_at
from agentgrid.projector.store import LiveReport

FOREIGN_INTERVAL = timedelta(seconds=30)
"""How often an open execution is read whose worker touches nothing."""
AFTER_TIMER = timedelta(milliseconds=250)


def asks(state: FoldState, checked_at: datetime | None, *, now: datetime, hinted: bool) -> bool:
    """Whether Temporal is asked now for what history doesn't say. hinted: somebody says that there is news."""
    at = live.ask_at(state, checked_at=checked_at, now=now)
    if at is None:
        return False
    if hinted:
        return checked_at is None or now - checked_at >= live.LEAST_INTERVAL
    return at <= now


def next_look(
    state: FoldState,
    checked_at: datetime | None,
    seen: LiveReport | None,
    *,
    now: datetime,
    foreign_interval: timedelta,
) -> datetime | None:
    """When something is due: a timer, an expiry, a retry, the end of our patience. None for never."""
    wanted: list[datetime] = []
    if (due := next_at(state)) is not None:
        # One that is past due means that no worker has taken what it set off.
        wanted.append(due + AFTER_TIMER if due > now else now + foreign_interval)
    if (ask := live.ask_at(state, checked_at=checked_at, now=now)) is not None:
        wanted.append(ask)
    if seen is not None and (retry := live.next_retry(seen)) is not None:
        wanted.append(max(retry + live.AFTER_RETRY, now + live.LEAST_INTERVAL))
    if not state.governed:
        wanted.append(now + foreign_interval)
    return min(wanted, default=None)
